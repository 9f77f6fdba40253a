"""Checksums of many pages at once, of pages that repeat one word of 8 bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from xxhash import xxh64_intdigest

from ksmtrace.engine.machine.checksum import JHASH_INITVAL, JHASH_SEED, PAGE_SIZE, jhash2, xxhash

Checksums = npt.NDArray[np.uint32]

_REPEAT = PAGE_SIZE // 8


@dataclass(frozen=True, slots=True)
class Checksum:
    """One way to compute calc_checksum.

    Attributes:
        of_page: the checksum of 4096 bytes.
        of_words: the checksums of pages that repeat a word of 8 bytes each.
    """

    of_page: Callable[[bytes], int]
    of_words: Callable[[list[bytes]], Checksums]


def jhash2_of_words(words: list[bytes]) -> Checksums:
    """`checksum.jhash2` of the pages that repeat these words; arithmetic wraps at 32 bits."""
    halves = np.frombuffer(b"".join(words), np.uint32).reshape(-1, 2)
    count = PAGE_SIZE // 4
    start = (JHASH_INITVAL + (count << 2) + JHASH_SEED) % 2**32
    a, b, c = (np.full(len(words), start, dtype=np.uint32) for _ in range(3))
    for index in range(0, count - 3, 3):
        a, b, c = (x + halves[:, (index + at) % 2] for at, x in enumerate((a, b, c)))
        for by in (4, 6, 8, 16, 19, 4):
            a = (a - c) ^ _rotate32(c, by)
            a, b, c = b, c + b, a
    a = a + halves[:, (count - 1) % 2]
    for by in (14, 11, 25, 16, 4, 14, 24):
        c = (c ^ b) - _rotate32(b, by)
        a, b, c = b, c, a
    return b


def _rotate32(values: Checksums, by: int) -> Checksums:
    return values << np.uint32(by) | values >> np.uint32(32 - by)


def xxhash_of_words(words: list[bytes]) -> Checksums:
    """`checksum.xxhash` of the pages that repeat these words."""
    digests = [xxh64_intdigest(word * _REPEAT) for word in words]
    return np.array(digests, dtype=np.uint64).astype(np.uint32)


def one_by_one(of_page: Callable[[bytes], int]) -> Checksum:
    """A checksum that has no way for many pages."""

    def of_words(words: list[bytes]) -> Checksums:
        return np.array([of_page(word * _REPEAT) for word in words], dtype=np.uint32)

    return Checksum(of_page, of_words)


XXHASH = Checksum(xxhash, xxhash_of_words)
"""calc_checksum of 5.0 and later."""

JHASH2 = Checksum(jhash2, jhash2_of_words)
"""calc_checksum before 5.0."""
