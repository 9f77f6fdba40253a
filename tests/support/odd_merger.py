"""A process with PAGES equal mergeable pages and something odd about it; run as a script.

Usage: PAGES [name HEX | file HEX | reserve BYTES | touched BYTES]. `name` is its comm,
`file` the path of a file that it maps, `reserve` address space that it does not touch, `touched`
the same with one page written at the beginning and one at the end. It prints "ready" and ends with
its standard input.
"""

import ctypes
import mmap
import sys

PR_SET_NAME = 15
MAP_NORESERVE = 0x4000


def reserve(size: int, prot: int) -> int:
    """Address of `size` bytes that nothing is mapped to yet."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    return libc.mmap(None, size, prot, flags, -1, 0)


def main(pages: int, oddity: str = "", value: str = "") -> None:
    merged = mmap.mmap(-1, pages * mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    merged.madvise(mmap.MADV_NOHUGEPAGE)
    merged[:] = b"A" * len(merged)
    merged.madvise(mmap.MADV_MERGEABLE)
    if oddity == "name":
        ctypes.CDLL(None).prctl(PR_SET_NAME, bytes.fromhex(value), 0, 0, 0)
    if oddity == "file":
        with open(bytes.fromhex(value), "w+b") as file:
            file.write(bytes(mmap.PAGESIZE))
            file.flush()
            mapped = mmap.mmap(file.fileno(), mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ)
            assert mapped[0] == 0
    if oddity in ("reserve", "touched"):
        at = reserve(int(value), mmap.PROT_READ | mmap.PROT_WRITE)
        for place in (0, int(value) - mmap.PAGESIZE) if oddity == "touched" else ():
            ctypes.memset(at + place, 1, 1)
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
