"""KSM pages that are mapped now and by whom, from /proc/<pid>/pagemap and /proc/kpageflags.

A tracer that joins late starts from this.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ksmtrace.kernel.anonymous import present_spans
from ksmtrace.kernel.files import NOT_AS_KNOWN, UNREAD, UnreadError, load_bytes, number, process_ids
from ksmtrace.kernel.sysfs import ROOT

_KPF_KSM = np.uint64(1 << 21)
_PRESENT = np.uint64(1 << 63)
_PFN = np.uint64((1 << 55) - 1)
_WORD = 8
_NEAR_PAGES = 4096
_PIECE_PAGES = 1 << 18
_FRAMES_AT_ONCE = 1024
MOST_PAGES = 1 << 29
"""Page table entries looked at at most."""

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class KsmPages:
    """Page table entries that map KSM pages: three arrays of equal length, dtype uint64.

    Attributes:
        via: the file by which they were found, as `ksm_page_file` returns it.
    """

    pid: Words
    address: Words
    pfn: Words
    via: str


def ksm_page_file(root: Path = ROOT) -> str:
    """Name of the file in /proc that shows KSM pages here: "kpageflags" or "kpagecount".

    Some kernels (Debian's 6.12.107, 6.18.15) set KPF_KSM on every anonymous page, so kpageflags is
    of no use there. This is found by a page of our own that cannot be merged: nobody advised it.

    Raises:
        OSError: page frames are not shown, or the kernel has no such files.
    """
    with mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as own:
        own[0] = 1
        address = np.frombuffer(own, dtype=np.uint8).ctypes.data
        pfn = _frames(root, os.getpid(), address, 1)
        if not pfn.any():
            # pagemap(5): frames are 0 without CAP_SYS_ADMIN, and nothing fails
            raise PermissionError(errno.EPERM, "pagemap hides page frames (needs CAP_SYS_ADMIN)")
        flags = words_by_pfn(root / "proc/kpageflags", pfn)
    return "kpagecount" if flags.any() and int(flags[0] & _KPF_KSM) else "kpageflags"


class KsmPageReader:
    """Reads in pieces every KSM page that a process maps, in processes that have merged pages.

    By "kpagecount" the frames are those of merging processes that are mapped more than once: forked
    pages that were never merged count too, and KSM pages with one mapper do not. Pages change while
    they are read: this is a snapshot.

    Args:
        root: where /proc is.
        most_pages: page table entries looked at at most; each piece is `_PIECE_PAGES` of them.

    Attributes:
        left_out: pids of processes of which something was not read, as `most_pages` had been.
    """

    def __init__(self, root: Path = ROOT, most_pages: int = MOST_PAGES) -> None:
        self._root = root
        self._left = most_pages
        self.left_out: list[int] = []

    def pieces(self) -> Iterator[KsmPages]:
        """The pages, by process and address; a piece is empty where none of its pages is merged.

        Raises:
            OSError: not root, or the kernel has no pagemap.
        """
        via = ksm_page_file(self._root)
        for pid in _merging(self._root):
            path = self._root / f"proc/{pid}/pagemap"
            try:
                pagemap = path.open("rb", buffering=0)
            except OSError as error:
                _note(path, error)
                continue
            with pagemap:
                yield from self._of_process(pid, pagemap.fileno(), via)

    def _of_process(self, pid: int, pagemap: int, via: str) -> Iterator[KsmPages]:
        for span in present_spans(self._root, pid, pagemap):
            sought = span.most_present
            for first in range(span.start, span.end, _PIECE_PAGES * mmap.PAGESIZE):
                wanted = min(_PIECE_PAGES, (span.end - first) // mmap.PAGESIZE)
                count = min(wanted, self._left)
                if count:
                    self._left -= count
                    pfn = self._frames(pid, pagemap, first, count)
                    sought -= int(np.count_nonzero(pfn))
                    yield self._piece(pid, first, pfn, via)
                if count < wanted:
                    self.left_out.append(pid)
                    return
                if sought <= 0:
                    break

    def _frames(self, pid: int, pagemap: int, first: int, count: int) -> Words:
        try:
            return _entries(pagemap, first, count)
        except OSError as error:
            _note(self._root / f"proc/{pid}/pagemap", error)
            return np.zeros(0, dtype=np.uint64)

    def _piece(self, pid: int, first: int, pfn: Words, via: str) -> KsmPages:
        mapped = np.flatnonzero(pfn)
        distinct, back = np.unique(pfn[mapped], return_inverse=True)
        if via == "kpageflags":
            merged = (words_by_pfn(self._root / "proc/kpageflags", distinct) & _KPF_KSM) != 0
        else:
            merged = words_by_pfn(self._root / "proc/kpagecount", distinct) > 1
        mapped = mapped[merged[back]]
        address = np.uint64(first) + mapped.astype(np.uint64) * np.uint64(mmap.PAGESIZE)
        return KsmPages(np.full(len(mapped), pid, dtype=np.uint64), address, pfn[mapped], via)


def read_ksm_pages(root: Path = ROOT) -> KsmPages:
    """All pieces of a `KsmPageReader` as one.

    Raises:
        OSError: not root, or the kernel has no pagemap.
    """
    pieces = list(KsmPageReader(root).pieces())
    empty = [np.zeros(0, dtype=np.uint64)]
    columns = zip(*((piece.pid, piece.address, piece.pfn) for piece in pieces), strict=True)
    pid, address, pfn = (np.concatenate(column) for column in columns) if pieces else empty * 3
    return KsmPages(pid, address, pfn, pieces[0].via if pieces else ksm_page_file(root))


def read_ksm_frames(pid: int, address: int, count: int, root: Path = ROOT) -> Words:
    """Frame numbers of a process's `count` pages from `address` on; 0 for one that is no KSM page.

    kpageflags tells which are: `ksm_page_file` must be that.

    Raises:
        OSError: not root, or the kernel has no pagemap.
    """
    frames = np.zeros(count, dtype=np.uint64)
    for first in range(0, count, _PIECE_PAGES):
        part = frames[first : first + _PIECE_PAGES]
        part[:] = _frames(root, pid, address + first * mmap.PAGESIZE, len(part))
    distinct, back = np.unique(frames, return_inverse=True)
    merged = (words_by_pfn(root / "proc/kpageflags", distinct) & _KPF_KSM) != 0
    return np.where(merged[back], frames, np.uint64(0))


def _merging(root: Path) -> list[int]:
    """Processes with merged pages; before 5.19, which has no count of them, all processes."""
    found = []
    for pid in process_ids(root):
        path = root / f"proc/{pid}/ksm_merging_pages"
        try:
            text = load_bytes(path)
        except UnreadError:
            continue
        if text is None:
            merging: int | None = int((root / f"proc/{pid}/maps").exists())
        elif not text.strip():
            merging = 0  # a kernel thread's
        else:
            merging = number(text.strip())
        if merging is None:
            UNREAD.note(path, NOT_AS_KNOWN)
        elif merging:
            found.append(pid)
    return sorted(found)


def _frames(root: Path, pid: int, address: int, count: int) -> Words:
    """Frame numbers of pages from `address` on; 0 for one that is not present."""
    try:
        with (root / f"proc/{pid}/pagemap").open("rb", buffering=0) as pagemap:
            return _entries(pagemap.fileno(), address, count)
    except (ProcessLookupError, FileNotFoundError):
        return np.zeros(count, dtype=np.uint64)  # the process has gone meanwhile


def _entries(pagemap: int, address: int, count: int) -> Words:
    """The same by the descriptor of a pagemap."""
    entries = _words(os.pread(pagemap, count * _WORD, address // mmap.PAGESIZE * _WORD))
    pfn = np.where(entries & _PRESENT, entries & _PFN, np.uint64(0))
    return np.pad(pfn, (0, count - len(pfn)))


def _words(read: bytes) -> Words:
    """The whole words in what was read: a file that shrinks is read short."""
    return np.frombuffer(read[: len(read) // _WORD * _WORD], dtype=np.uint64)


def _note(path: Path, error: OSError) -> None:
    """Count a failure, unless it is that the process has gone."""
    if error.errno not in (errno.ESRCH, errno.ENOENT):
        UNREAD.note(path, error.errno or errno.EIO)


def words_by_pfn(path: Path, pfn: Words) -> Words:
    """Words of a file with one word per frame, at the frame numbers `pfn`, which are sorted."""
    words = np.zeros(len(pfn), dtype=np.uint64)
    cuts = np.flatnonzero(np.diff(pfn) > _NEAR_PAGES) + 1
    with path.open("rb", buffering=0) as file:
        for part in np.split(np.arange(len(pfn)), cuts):
            for at in range(0, len(part), _FRAMES_AT_ONCE):
                near = part[at : at + _FRAMES_AT_ONCE]
                first, last = int(pfn[near[0]]), int(pfn[near[-1]])
                read = _words(os.pread(file.fileno(), (last - first + 1) * _WORD, first * _WORD))
                inside = (pfn[near] - np.uint64(first)).astype(np.int64)
                known = inside < len(read)
                words[near[known]] = read[inside[known]]
    return words
