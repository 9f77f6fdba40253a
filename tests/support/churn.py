"""Processes that are born and gone: python -m support.churn ALIVE BIRTHS [LONGEST_SECONDS].

Each is forked, maps mergeable memory of which a part has twins, a part is its own and a part
changes, and ends after some seconds. It ends with SIGTERM, and prints how many were born.
"""

import mmap
import os
import random
import signal
import sys
import time
from contextlib import suppress

PAGE = mmap.PAGESIZE
TWIN_PAGES, OWN_PAGES, CHANGING_PAGES = 32, 16, 4
LONGEST_SECONDS = 6.0


def live(number: int, longest: float) -> None:
    """The life of one process, which has `number` in its own pages."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    chance = random.Random(number)
    pages = TWIN_PAGES + OWN_PAGES + CHANGING_PAGES
    memory = mmap.mmap(-1, pages * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for page in range(TWIN_PAGES):
        memory[page * PAGE : (page + 1) * PAGE] = bytes([page + 1]) * PAGE
    for page in range(TWIN_PAGES, pages):
        memory[page * PAGE : (page + 1) * PAGE] = chance.randbytes(PAGE)
    memory.madvise(mmap.MADV_MERGEABLE)
    end = time.monotonic() + chance.uniform(0.5, longest)
    while time.monotonic() < end:
        time.sleep(0.25)
        for page in range(TWIN_PAGES + OWN_PAGES, pages):
            memory[page * PAGE : page * PAGE + 8] = chance.randbytes(8)
        memory[chance.randrange(TWIN_PAGES) * PAGE] = chance.randrange(256)


def main(alive: int, births: int, longest: float = LONGEST_SECONDS) -> None:
    """Keep so many alive until so many have been born, or for good where that is 0."""
    ended = False

    def end(*_: object) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, end)
    born = 0
    living: set[int] = set()
    while not ended and (not births or born < births):
        while len(living) < alive:
            born += 1
            if (pid := os.fork()) == 0:
                live(born, longest)
                os._exit(0)
            living.add(pid)
        with suppress(ChildProcessError):
            while (gone := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                living.discard(gone)
        time.sleep(0.05)
    for pid in living:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    print(born, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *map(float, sys.argv[3:4]))
