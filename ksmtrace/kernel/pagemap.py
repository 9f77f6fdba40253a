"""KSM pages that are mapped now and by whom, from /proc/<pid>/pagemap and /proc/kpageflags.

A tracer that joins late starts from this.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ksmtrace.kernel.sysfs import ROOT

_KPF_KSM = np.uint64(1 << 21)
_PRESENT = np.uint64(1 << 63)
_PFN = np.uint64((1 << 55) - 1)
_WORD = 8
_NEAR_PAGES = 4096
_MOST_PAGES = 1 << 20

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
    """
    with mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as own:
        own[0] = 1
        address = np.frombuffer(own, dtype=np.uint8).ctypes.data
        pfn = _frames(root, os.getpid(), address, 1)
        flags = _by_pfn(root / "proc/kpageflags", pfn)
    return "kpagecount" if flags.any() and int(flags[0] & _KPF_KSM) else "kpageflags"


def read_ksm_pages(root: Path = ROOT) -> KsmPages:
    """Every KSM page that a process maps, in processes that have merged pages.

    By "kpagecount" the frames are those of merging processes that are mapped more than once: forked
    pages that were never merged count too, and KSM pages with one mapper do not. Pages change while
    they are read: this is a snapshot.

    Raises:
        OSError: not root, or the kernel has no pagemap.
    """
    via = ksm_page_file(root)
    pids: list[Words] = []
    addresses: list[Words] = []
    frames: list[Words] = []
    for pid in _merging(root):
        for start, end in _private_ranges(root, pid):
            for first in range(start, end, _MOST_PAGES * mmap.PAGESIZE):
                count = min(_MOST_PAGES, (end - first) // mmap.PAGESIZE)
                pfn = _frames(root, pid, first, count)
                mapped = np.flatnonzero(pfn)
                addresses.append(
                    np.uint64(first) + mapped.astype(np.uint64) * np.uint64(mmap.PAGESIZE)
                )
                frames.append(pfn[mapped])
                pids.append(np.full(len(mapped), pid, dtype=np.uint64))
    empty = [np.zeros(0, dtype=np.uint64)]
    pid_of, address, pfn = (np.concatenate(column or empty) for column in (pids, addresses, frames))
    distinct, back = np.unique(pfn, return_inverse=True)
    if via == "kpageflags":
        merged = (_by_pfn(root / "proc/kpageflags", distinct) & _KPF_KSM) != 0
    else:
        merged = _by_pfn(root / "proc/kpagecount", distinct) > 1
    chosen = merged[back]
    return KsmPages(pid_of[chosen], address[chosen], pfn[chosen], via)


def read_ksm_frames(pid: int, address: int, count: int, root: Path = ROOT) -> Words:
    """Frame numbers of a process's `count` pages from `address` on; 0 for one that is no KSM page.

    kpageflags tells which are: `ksm_page_file` must be that.

    Raises:
        OSError: not root, or the kernel has no pagemap.
    """
    frames = np.zeros(count, dtype=np.uint64)
    for first in range(0, count, _MOST_PAGES):
        part = frames[first : first + _MOST_PAGES]
        part[:] = _frames(root, pid, address + first * mmap.PAGESIZE, len(part))
    distinct, back = np.unique(frames, return_inverse=True)
    merged = (_by_pfn(root / "proc/kpageflags", distinct) & _KPF_KSM) != 0
    return np.where(merged[back], frames, np.uint64(0))


def _merging(root: Path) -> list[int]:
    """Processes with merged pages; before 5.19, which has no count of them, all processes."""
    found = []
    for entry in (root / "proc").iterdir():
        if entry.name.isdigit():
            try:
                merging = (entry / "ksm_merging_pages").read_text()
            except FileNotFoundError:
                merging = "1" if entry.exists() else "0"
            except OSError:
                continue
            if int(merging or 0):  # a kernel thread's is empty
                found.append(int(entry.name))
    return sorted(found)


def _private_ranges(root: Path, pid: int) -> list[tuple[int, int]]:
    """(start, end) of private mappings without a file: KSM merges no others."""
    try:
        lines = (root / f"proc/{pid}/maps").read_text().splitlines()
    except OSError:
        return []
    ranges = []
    for line in lines:
        fields = line.split(maxsplit=5)
        # [vdso], [vvar…], [vsyscall], [uprobes] are the kernel's own pages, the same in every
        # process
        own = len(fields) == 5 or not fields[5].startswith(("[v", "[uprobes"))
        if own and fields[1][3] == "p" and fields[4] == "0":
            start, end = (int(part, 16) for part in fields[0].split("-"))
            ranges.append((start, end))
    return ranges


def _frames(root: Path, pid: int, address: int, count: int) -> Words:
    """Frame numbers of pages from `address` on; 0 for one that is not present."""
    try:
        with (root / f"proc/{pid}/pagemap").open("rb", buffering=0) as pagemap:
            entries = np.frombuffer(
                os.pread(pagemap.fileno(), count * _WORD, address // mmap.PAGESIZE * _WORD),
                dtype=np.uint64,
            )
    except (ProcessLookupError, FileNotFoundError):
        return np.zeros(count, dtype=np.uint64)  # the process has gone meanwhile
    pfn = np.where(entries & _PRESENT, entries & _PFN, np.uint64(0))
    return np.pad(pfn, (0, count - len(pfn)))


def _by_pfn(path: Path, pfn: Words) -> Words:
    """Words of a file with one word per frame, at the frame numbers `pfn`, which are sorted."""
    words = np.zeros(len(pfn), dtype=np.uint64)
    cuts = np.flatnonzero(np.diff(pfn) > _NEAR_PAGES) + 1
    with path.open("rb", buffering=0) as file:
        for part in np.split(np.arange(len(pfn)), cuts):
            if not len(part):
                continue
            first, last = int(pfn[part[0]]), int(pfn[part[-1]])
            read = np.frombuffer(
                os.pread(file.fileno(), (last - first + 1) * _WORD, first * _WORD), dtype=np.uint64
            )
            inside = (pfn[part] - np.uint64(first)).astype(np.int64)
            known = inside < len(read)
            words[part[known]] = read[inside[known]]
    return words
