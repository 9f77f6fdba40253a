"""The contents of another process's pages, read in large pieces.

Nothing is stopped, and nothing is faulted in as long as the pages that are asked for are present.
process_vm_readv(2) is the faster way, and only for pages that are mapped once: it pins them, and
the kernel gives a process a copy of its own of an anonymous page that is pinned and mapped by
others too, a KSM page among them (gup_must_unshare, 5.19). Those are read from /proc/<pid>/mem.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import xxhash

from ksmtrace.kernel.page_table import EXCLUSIVE, PageTable, anonymous
from ksmtrace.kernel.sysfs import ROOT

Words = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]
Contents = Sequence[memoryview]

PIECE_PAGES = 1024
"""Read at once; the kernel takes no more ranges in a call either (IOV_MAX)."""

_GONE = (errno.ESRCH, errno.ENOENT)
_UNREADABLE = (errno.EFAULT, errno.EIO)

_readv = ctypes.CDLL(None, use_errno=True).process_vm_readv
_readv.argtypes = [
    *(ctypes.c_int, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong),
    ctypes.c_ulong,
]
_readv.restype = ctypes.c_ssize_t


class GoneError(OSError):
    """The process has gone."""


class PageReader:
    """Reads pages of a process into one buffer; a context manager.

    Args:
        pid: whose.
        root: where /proc is.
    """

    def __init__(self, pid: int, root: Path = ROOT) -> None:
        self._pid = pid
        self._path = root / f"proc/{pid}/mem"
        self._file: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            os.close(self._file)

    def pieces(self, addresses: Words, exclusive: Mask) -> Iterator[tuple[Places, Contents]]:
        """The contents of pages, in pieces: their places among `addresses`, and each one's bytes.

        The bytes are good until the next piece. Pages that cannot be read are in no piece.

        Args:
            addresses: of the pages, in order, shape (n,).
            exclusive: which of them are mapped once, and are no KSM pages.

        Raises:
            GoneError: the process has gone.
            OSError: it may not be read (ptrace(2), PTRACE_MODE_ATTACH_REALCREDS).
        """
        for read, chosen in ((self._pinned, exclusive), (self._held, ~exclusive)):
            places = np.flatnonzero(chosen)
            at = 0
            while at < len(places):
                wanted = places[at : at + PIECE_PAGES]
                try:
                    count = read(addresses[wanted])
                except OSError as error:
                    if error.errno in _GONE:
                        raise GoneError(error.errno, os.strerror(error.errno)) from error
                    raise
                if count:
                    yield wanted[:count], _PAGES[:count]
                at += count if count == len(wanted) else count + 1

    def _pinned(self, addresses: Words) -> int:
        """Fill the buffer by process_vm_readv; returns how many pages were read."""
        begins, counts = _runs(addresses)
        theirs = np.empty((len(begins), 2), dtype=np.uint64)
        theirs[:, 0] = addresses[begins]
        theirs[:, 1] = counts * mmap.PAGESIZE
        ours = np.array([_ADDRESS, len(addresses) * mmap.PAGESIZE], dtype=np.uint64)
        count = _readv(self._pid, ours.ctypes.data, 1, theirs.ctypes.data, len(theirs), 0)
        if count >= 0:
            return int(count) // mmap.PAGESIZE
        return _nothing(ctypes.get_errno())

    def _held(self, addresses: Words) -> int:
        """The same from /proc/<pid>/mem."""
        if self._file is None:
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        done = 0
        for begin, count in zip(*_runs(addresses), strict=True):
            part = _VIEW[done * mmap.PAGESIZE : (done + int(count)) * mmap.PAGESIZE]
            try:
                read = os.preadv(self._file, [part], int(addresses[begin])) // mmap.PAGESIZE
            except OSError as error:
                read = _nothing(error.errno or errno.EIO)
            done += read
            if read < count:
                break
        return done


_BUFFER = mmap.mmap(-1, PIECE_PAGES * mmap.PAGESIZE)
_ADDRESS = ctypes.addressof(ctypes.c_char.from_buffer(_BUFFER))
_VIEW = memoryview(_BUFFER)
_PAGES = [_VIEW[at : at + mmap.PAGESIZE] for at in range(0, len(_VIEW), mmap.PAGESIZE)]


def _nothing(number: int) -> int:
    """No page was read; an error unless it is one of that page alone."""
    if number not in _UNREADABLE:
        raise OSError(number, os.strerror(number))
    return 0


def _runs(addresses: Words) -> tuple[Places, Places]:
    """Where each run of pages that follow one another begins, and how many it has."""
    begins = np.flatnonzero(addresses[1:] - addresses[:-1] != mmap.PAGESIZE)
    bounds = np.empty(len(begins) + 2, dtype=np.intp)
    bounds[0], bounds[1:-1], bounds[-1] = 0, begins + 1, len(addresses)
    return bounds[:-1], bounds[1:] - bounds[:-1]


def present_contents(
    table: PageTable, reader: PageReader, addresses: Words, merged: Mask
) -> Iterator[tuple[Places, Contents]]:
    """The contents of those pages that are there, in pieces: their places, and their bytes.

    Which of them are still there, and mapped by nobody else, is looked up just before: a page that
    is not would be brought in, and one that has become shared would be copied.

    Args:
        table: of the process that `reader` reads.
        reader: reads them.
        addresses: of the pages, in order, shape (n,).
        merged: which of them are KSM pages.

    Raises:
        OSError: as `PageReader.pieces`.
    """
    entries = table.entries_at(addresses)
    there = np.flatnonzero(anonymous(entries))
    alone = ((entries[there] & EXCLUSIVE) != 0) & ~merged[there]
    for places, contents in reader.pieces(addresses[there], alone):
        yield there[places], contents


class PageHasher:
    """Hashes of pages by XXH3 of 64 bits, under a key that nobody else has: equal ones are equal.

    Attributes:
        zero: the hash of a page of zeroes.
    """

    def __init__(self, key: int | None = None) -> None:
        self._key = int.from_bytes(os.urandom(8), "little") if key is None else key
        self._digest: Callable[[memoryview | bytes, int], int] = xxhash.xxh3_64_intdigest
        self.zero = self._digest(bytes(mmap.PAGESIZE), self._key)

    def hashes(self, pages: Contents) -> Words:
        """The hash of each page, shape (n,)."""
        found = map(self._digest, pages, repeat(self._key))
        return np.fromiter(found, dtype=np.uint64, count=len(pages))
