"""The contents of another process's pages: process_vm_readv(2), in large pieces.

Nothing is stopped, and nothing is faulted in as long as the pages that are asked for are present.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from collections.abc import Callable, Iterator
from itertools import repeat

import numpy as np
import numpy.typing as npt
import xxhash

Words = npt.NDArray[np.uint64]

PIECE_PAGES = 1024
"""Read at once; the kernel takes no more ranges in a call either (IOV_MAX)."""

_GONE = (errno.ESRCH, errno.ENOENT)

_libc = ctypes.CDLL(None, use_errno=True)
_readv = _libc.process_vm_readv
_readv.argtypes = [
    *(ctypes.c_int, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong),
    ctypes.c_ulong,
]
_readv.restype = ctypes.c_ssize_t


class GoneError(OSError):
    """The process has gone."""


class PageReader:
    """Reads pages of one process after another into one buffer.

    Attributes:
        unread: pages that could not be read, so far: unmapped meanwhile, or without permission.
    """

    def __init__(self) -> None:
        self._buffer = mmap.mmap(-1, PIECE_PAGES * mmap.PAGESIZE)
        self._view = memoryview(self._buffer)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._buffer))
        self.unread = 0

    def pieces(self, pid: int, addresses: Words) -> Iterator[tuple[int, int, memoryview]]:
        """The contents of pages, in pieces: first and end of their places, and their bytes.

        The bytes are good until the next piece. Pages that cannot be read are in no piece.

        Args:
            pid: whose.
            addresses: of the pages, in order, shape (n,).

        Raises:
            GoneError: the process has gone.
            PermissionError: it may not be read (ptrace(2), PTRACE_MODE_ATTACH_REALCREDS).
        """
        at = 0
        while at < len(addresses):
            wanted = addresses[at : at + PIECE_PAGES]
            read = self._read(pid, wanted)
            if read:
                yield at, at + read, self._view[: read * mmap.PAGESIZE]
            if read < len(wanted):
                read += 1
                self.unread += 1
            at += read

    def _read(self, pid: int, addresses: Words) -> int:
        """Fill the buffer with pages; returns how many were read before one that cannot be."""
        begins = np.flatnonzero(np.diff(addresses, prepend=0) != mmap.PAGESIZE)
        begins = begins if len(begins) and begins[0] == 0 else np.concatenate([[0], begins])
        counts = np.diff(begins, append=len(addresses))
        theirs = np.empty((len(begins), 2), dtype=np.uint64)
        theirs[:, 0] = addresses[begins]
        theirs[:, 1] = counts * mmap.PAGESIZE
        ours = np.array([self._address, len(addresses) * mmap.PAGESIZE], dtype=np.uint64)
        count = _readv(pid, ours.ctypes.data, 1, theirs.ctypes.data, len(theirs), 0)
        if count >= 0:
            return int(count) // mmap.PAGESIZE
        number = ctypes.get_errno()
        if number in _GONE:
            raise GoneError(number, os.strerror(number))
        if number != errno.EFAULT:
            raise OSError(number, os.strerror(number))
        return 0


class PageHasher:
    """Hashes of pages by XXH3 of 64 bits, under a key that nobody else has: equal ones are equal.

    Attributes:
        zero: the hash of a page of zeroes.
    """

    def __init__(self, key: int | None = None) -> None:
        self._key = int.from_bytes(os.urandom(8), "little") if key is None else key
        self._digest: Callable[[memoryview | bytes, int], int] = xxhash.xxh3_64_intdigest
        self.zero = self._digest(bytes(mmap.PAGESIZE), self._key)

    def hashes(self, content: memoryview) -> Words:
        """The hash of each page of `content`, shape (n,)."""
        pages = [content[at : at + mmap.PAGESIZE] for at in range(0, len(content), mmap.PAGESIZE)]
        found = map(self._digest, pages, repeat(self._key))
        return np.fromiter(found, dtype=np.uint64, count=len(pages))
