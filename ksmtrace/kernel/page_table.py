"""What a process's page table holds, page by page, and what the kernel tells of the frames.

/proc/<pid>/pagemap, /proc/kpageflags and /proc/kpagecount
(Documentation/admin-guide/mm/pagemap.rst).
"""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator
from enum import IntFlag
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from ksmtrace.kernel.anonymous import Span, anonymous_spans, held_spans
from ksmtrace.kernel.files import UNREAD
from ksmtrace.kernel.mappings import Mapping
from ksmtrace.kernel.pagemap import words_by_pfn
from ksmtrace.kernel.sysfs import ROOT

Words = npt.NDArray[np.uint64]

EXCLUSIVE = np.uint64(1 << 56)
FILE = np.uint64(1 << 61)
"""Of a file, or of shared memory (Documentation/admin-guide/mm/pagemap.rst)."""
SWAPPED = np.uint64(1 << 62)
PRESENT = np.uint64(1 << 63)
_FRAME = np.uint64((1 << 55) - 1)
_WORD = 8
_PIECE = 1 << 18
MOST_ENTRIES = 1 << 29
"""Entries of one process that `PageTable.pieces` reads at most."""
_SMALL_PAGES = 1 << 18
_SHIFT = mmap.PAGESIZE.bit_length() - 1
_NEAR_BYTES = 512 * mmap.PAGESIZE
"""Reading the entries between two pages takes less than another call, up to here."""


class Kpf(IntFlag):
    """Flags of a frame in /proc/kpageflags (include/uapi/linux/kernel-page-flags.h)."""

    KSM = 1 << 21
    THP = 1 << 22
    ZERO_PAGE = 1 << 24


class PageTable:
    """The page table of a process, as pagemap shows it; a context manager.

    Args:
        pid: whose.
        root: where /proc is.

    Raises:
        OSError: there is no such process, or it may not be read.
    """

    def __init__(self, pid: int, root: Path = ROOT) -> None:
        self._path = root / f"proc/{pid}/pagemap"
        self._left = MOST_ENTRIES
        self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._descriptor)

    def spans(self, mapping: Mapping) -> Iterator[Span]:
        """Spans of a mapping that hold its present anonymous pages, and others, by address.

        All of it, where half is present. Else by PAGEMAP_SCAN, at the cost of the page tables that
        exist; before 6.7, which has none, all of a mapping of which something is present.
        """
        if mapping.present_pages * mmap.PAGESIZE * 2 > mapping.end - mapping.start:
            yield Span(mapping.start, mapping.end, mapping.present_pages)
            return
        try:
            yield from anonymous_spans(self._descriptor, mapping.start, mapping.end)
        except OSError as error:
            if error.errno not in (errno.ENOTTY, errno.EINVAL):
                UNREAD.note(self._path, error.errno or errno.EIO)
            elif mapping.present_pages:
                yield Span(mapping.start, mapping.end, mapping.present_pages)

    def pieces(self, mapping: Mapping) -> Iterator[tuple[int, Words]]:
        """The entries of `spans`, in pieces: the address of the first, and they.

        Of all mappings together `MOST_ENTRIES` at most; that there are more is noted in `UNREAD`.
        """
        for span in self.spans(mapping):
            for first in range(span.start, span.end, _PIECE * mmap.PAGESIZE):
                if self._left <= 0:
                    UNREAD.note(self._path, errno.EFBIG)
                    return
                count = min(_PIECE, (span.end - first) // mmap.PAGESIZE, self._left)
                self._left -= count
                yield first, self.entries(first, count)

    def held_spans(self, mapping: Mapping) -> Iterator[Span]:
        """Spans of a mapping outside of which nothing is present or in swap, by address.

        By PAGEMAP_SCAN; before 6.7, which has none, all of a mapping that has something, or is
        small: smaps does not tell where only the zero page is.
        """
        try:
            yield from held_spans(self._descriptor, mapping.start, mapping.end)
        except OSError as error:
            pages = (mapping.end - mapping.start) // mmap.PAGESIZE
            if error.errno not in (errno.ENOTTY, errno.EINVAL):
                UNREAD.note(self._path, error.errno or errno.EIO)
            elif mapping.present_pages or mapping.swapped_pages or pages <= _SMALL_PAGES:
                yield Span(mapping.start, mapping.end, pages)

    def entries(self, start: int, count: int) -> Words:
        """The entries of `count` pages from address `start` on, as the kernel writes them.

        0 for what cannot be read, as of a process that has gone meanwhile.
        """
        read = b""
        try:
            read = os.pread(self._descriptor, count * _WORD, start // mmap.PAGESIZE * _WORD)
        except OSError as error:
            if error.errno not in (errno.ESRCH, errno.ENOENT):
                UNREAD.note(self._path, error.errno or errno.EIO)
        if len(read) == count * _WORD:
            return np.frombuffer(read, dtype=np.uint64)
        found = np.zeros(count, dtype=np.uint64)
        whole = len(read) // _WORD
        found[:whole] = np.frombuffer(read[: whole * _WORD], dtype=np.uint64)
        return found

    def entries_at(self, addresses: Words) -> Words:
        """The entries of pages at addresses in order, shape (n,), as `entries` has them; n > 0."""
        first, last = int(addresses[0]), int(addresses[-1])
        if last - first == (len(addresses) - 1) * mmap.PAGESIZE:
            return self.entries(first, len(addresses))
        found = np.zeros(len(addresses), dtype=np.uint64)
        cuts = np.flatnonzero(addresses[1:] - addresses[:-1] > _NEAR_BYTES) + 1
        for part in np.split(np.arange(len(addresses)), cuts):
            first, last = int(addresses[part[0]]), int(addresses[part[-1]])
            offsets = (addresses[part] - np.uint64(first)) >> np.uint64(_SHIFT)
            near = self.entries(first, ((last - first) >> _SHIFT) + 1)
            found[part] = near[offsets.astype(np.intp)]
        return found


def anonymous(entries: Words) -> npt.NDArray[np.bool_]:
    """Which entries map a present page that is no file's and not shared memory's, shape (n,)."""
    found: npt.NDArray[np.bool_] = (entries & (PRESENT | FILE)) == PRESENT
    return found


def frames(entries: Words) -> Words:
    """Frame numbers, shape (n,): 0 where no page is present, everywhere without CAP_SYS_ADMIN."""
    return np.where(entries & PRESENT, entries & _FRAME, np.uint64(0))


def frame_flags(pfn: Words, root: Path = ROOT) -> Words:
    """What /proc/kpageflags has of frames, shape (n,), as `Kpf`; 0 for frame 0.

    Raises:
        OSError: not root, or the kernel has no such file.
    """
    return _of_frames(root / "proc/kpageflags", pfn)


def frame_counts(pfn: Words, root: Path = ROOT) -> Words:
    """How often frames are mapped, by /proc/kpagecount, shape (n,); 0 for frame 0.

    Raises:
        OSError: not root, or the kernel has no such file.
    """
    return _of_frames(root / "proc/kpagecount", pfn)


def _of_frames(path: Path, pfn: Words) -> Words:
    distinct, back = np.unique(pfn, return_inverse=True)
    found = words_by_pfn(path, distinct)
    found[distinct == 0] = 0
    return found[back]
