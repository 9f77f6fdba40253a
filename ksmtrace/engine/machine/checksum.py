"""The checksums by which ksmd tells that a page has changed: xxh64 since 5.0, jhash2 before."""

from __future__ import annotations

import struct

from xxhash import xxh64_intdigest

PAGE_SIZE = 4096

_M32 = 0xFFFFFFFF

JHASH_INITVAL = 0xDEADBEEF
JHASH_SEED = 17

_WORDS_32 = struct.Struct(f"<{PAGE_SIZE // 4}I")


def xxhash(page: bytes) -> int:
    """Low 32 bits of xxh64 with seed 0: calc_checksum of 5.0 and later, on 64-bit machines."""
    return xxh64(page) & _M32


def xxh64(page: bytes) -> int:
    """XXH64 with seed 0."""
    return xxh64_intdigest(page)


def jhash2(page: bytes) -> int:
    """jhash2 over the page's 1024 words with initval 17: calc_checksum before 5.0."""
    words = _WORDS_32.unpack(page)
    a = b = c = (JHASH_INITVAL + (len(words) << 2) + JHASH_SEED) & _M32
    # 1024 words are 341 groups of three and one word over, which goes through the final mix.
    for index in range(0, len(words) - 3, 3):
        a = (a + words[index]) & _M32
        b = (b + words[index + 1]) & _M32
        c = (c + words[index + 2]) & _M32
        a, b, c = _jhash_mix(a, b, c)
    return _jhash_final((a + words[-1]) & _M32, b, c)


def _rotate32(value: int, by: int) -> int:
    return (value << by | value >> 32 - by) & _M32


def _jhash_mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for by in (4, 6, 8, 16, 19, 4):
        a = ((a - c) & _M32) ^ _rotate32(c, by)
        c = (c + b) & _M32
        a, b, c = b, c, a
    return a, b, c


def _jhash_final(a: int, b: int, c: int) -> int:
    for by in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _rotate32(b, by)) & _M32
        a, b, c = b, c, a
    return b
