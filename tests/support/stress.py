"""Does to mergeable memory whatever a process may, all at once: python -m support.stress SEED.

It ends with SIGTERM. What it does is drawn from SEED.
"""

import ctypes
import mmap
import os
import random
import signal
import sys
import time

PAGE = mmap.PAGESIZE
PAGES = 64
_PROT_READ_WRITE, _PRIVATE_ANONYMOUS = 3, 0x22
_MAY_MOVE = 1
_MERGEABLE, _UNMERGEABLE, _DISCARD, _PAGE_OUT, _HUGE = 12, 13, 4, 21, 14
_FAILED = ctypes.c_void_p(-1).value


class Memory:
    """One mapping, and what may happen to it; a step that the kernel refuses is left out."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._libc = ctypes.CDLL(None, use_errno=True)
        for call in (self._libc.mmap, self._libc.mremap):
            call.restype = ctypes.c_void_p
        self._map()

    def step(self) -> None:
        """Do one thing."""
        acts = (self._write, self._write, self._advise, self._protect, self._move, self._again)
        self._chance.choice((*acts, self._fork))()

    def _map(self) -> None:
        size = ctypes.c_size_t(PAGES * PAGE)
        where = self._libc.mmap(None, size, _PROT_READ_WRITE, _PRIVATE_ANONYMOUS, -1, 0)
        if where == _FAILED:
            raise MemoryError
        self._start = where
        self._call(self._libc.madvise, 0, PAGES, _MERGEABLE)
        self._fill(0, PAGES)

    def _fill(self, first: int, pages: int) -> None:
        for page in range(first, first + pages):
            kind = self._chance.randrange(6)
            byte = (page % 8) if kind else self._chance.randrange(256)
            ctypes.memset(self._start + page * PAGE, byte, PAGE)

    def _call(self, call, first: int, pages: int, argument: int) -> None:
        start = ctypes.c_void_p(self._start + first * PAGE)
        call(start, ctypes.c_size_t(pages * PAGE), argument)

    def _part(self) -> tuple[int, int]:
        first = self._chance.randrange(PAGES)
        return first, self._chance.randint(1, PAGES - first)

    def _write(self) -> None:
        self._fill(*self._part())

    def _advise(self) -> None:
        advice = (_MERGEABLE, _MERGEABLE, _UNMERGEABLE, _DISCARD, _PAGE_OUT, _HUGE)
        self._call(self._libc.madvise, *self._part(), self._chance.choice(advice))

    def _protect(self) -> None:
        first, pages = self._part()
        for protection in (self._chance.choice((0, 1)), _PROT_READ_WRITE):
            self._call(self._libc.mprotect, first, pages, protection)

    def _move(self) -> None:
        size = ctypes.c_size_t(PAGES * PAGE)
        where = self._libc.mremap(ctypes.c_void_p(self._start), size, size, _MAY_MOVE)
        if where != _FAILED:
            self._start = where

    def _again(self) -> None:
        self._call(self._libc.munmap, 0, PAGES, 0)
        self._map()

    def _fork(self) -> None:
        if (pid := os.fork()) == 0:
            self._write()
            time.sleep(self._chance.uniform(0, 0.2))
            os._exit(0)
        time.sleep(self._chance.uniform(0, 0.05))
        os.waitpid(pid, 0)


def main(seed: int) -> None:
    """Go on until the end."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    chance = random.Random(seed)
    memory = Memory(chance)
    while True:
        memory.step()
        time.sleep(chance.uniform(0, 0.05))


if __name__ == "__main__":
    main(int(sys.argv[1]))
