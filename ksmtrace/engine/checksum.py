"""The checksums by which ksmd tells that a page has changed: xxh64 since 5.0, jhash2 before."""

from __future__ import annotations

import struct

PAGE_SIZE = 4096

_M32 = 0xFFFFFFFF
_M64 = 0xFFFFFFFFFFFFFFFF

PRIME_1 = 0x9E3779B185EBCA87
PRIME_2 = 0xC2B2AE3D27D4EB4F
PRIME_3 = 0x165667B19E3779F9
PRIME_4 = 0x85EBCA77C2B2AE63

JHASH_INITVAL = 0xDEADBEEF
JHASH_SEED = 17

_WORDS_64 = struct.Struct(f"<{PAGE_SIZE // 8}Q")
_WORDS_32 = struct.Struct(f"<{PAGE_SIZE // 4}I")


def xxhash(page: bytes) -> int:
    """Low 32 bits of xxh64 with seed 0: calc_checksum of 5.0 and later, on 64-bit machines."""
    return xxh64(page) & _M32


def xxh64(page: bytes) -> int:
    """XXH64 with seed 0 of exactly one page; 4096 is a multiple of the 32-byte stripe, so there is no tail."""
    words = _WORDS_64.unpack(page)
    lanes = []
    for lane, start in enumerate((PRIME_1 + PRIME_2, PRIME_2, 0, -PRIME_1)):
        sum_ = start & _M64
        for word in words[lane::4]:
            sum_ = (sum_ + word * PRIME_2) & _M64
            sum_ = ((sum_ << 31 | sum_ >> 33) * PRIME_1) & _M64
        lanes.append(sum_)
    digest = sum(_rotate64(sum_, by) for sum_, by in zip(lanes, (1, 7, 12, 18), strict=True))
    for sum_ in lanes:
        mixed = (_rotate64(sum_ * PRIME_2 & _M64, 31) * PRIME_1) & _M64
        digest = ((digest & _M64) ^ mixed) * PRIME_1 + PRIME_4
    digest = (digest + PAGE_SIZE) & _M64
    digest = ((digest ^ digest >> 33) * PRIME_2) & _M64
    digest = ((digest ^ digest >> 29) * PRIME_3) & _M64
    return digest ^ digest >> 32


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


def _rotate64(value: int, by: int) -> int:
    return (value << by | value >> 64 - by) & _M64


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
