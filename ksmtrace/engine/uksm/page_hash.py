"""The sampled hash of a page, of as many of its words as the hash strength says."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable
from weakref import WeakKeyDictionary

import numpy as np

from ksmtrace.engine.machine.bulk_checksum import Checksum, Checksums
from ksmtrace.engine.machine.checksum import PAGE_SIZE
from ksmtrace.engine.machine.content import PageData, PagePool

HASH_STRENGTH_FULL = PAGE_SIZE // 4
HASH_STRENGTH_MAX = HASH_STRENGTH_FULL + 10
HASH_STRENGTH_START = HASH_STRENGTH_FULL >> 4

_SEED = 0xDEADBEEF
_M32 = 0xFFFFFFFF
_WORDS = struct.Struct(f"<{HASH_STRENGTH_FULL}I")


class PageHash:
    """Hashes of contents at the present strength, and at the highest.

    Both are remembered by content. The kernel goes from one strength to another from word to word
    (delta_hash); hashing anew gives the same, since what it goes on from is of the same content.

    Args:
        chance: draws the order in which words are sampled, which UKSM draws once a boot.

    Attributes:
        pool: the contents; their `checksum` is the hash at the present strength.
        strength: how many words are sampled, 1 to 1034; beyond 1024 the first come again.
        permutation: numbers of the page's 1024 words, in the order in which they are sampled.
    """

    def __init__(self, chance: random.Random) -> None:
        self.strength = HASH_STRENGTH_START
        self._maxima: WeakKeyDictionary[PageData, int] = WeakKeyDictionary()
        self.pool = PagePool(Checksum(self._of_page, self._of_words))
        self.draw(chance)

    def draw(self, chance: random.Random) -> None:
        """Draw another order of words; what was hashed before is forgotten."""
        self.permutation = list(range(HASH_STRENGTH_FULL))
        chance.shuffle(self.permutation)
        self._maxima.clear()
        self.change_strength(self.strength)

    def change_strength(self, strength: int) -> None:
        """Sample so many words from now on."""
        self.strength = strength
        self.pool.forget_checksums()
        self._zero_hash = self.of(self.pool.zero)

    def of(self, data: PageData) -> int:
        """The hash at the present strength, 32 bits (page_hash, random_sample_hash)."""
        return self.pool.checksum(data)

    def max_of(self, data: PageData) -> int:
        """The hash at the highest strength, 1 in place of 0 (page_hash_max)."""
        known = self._maxima.get(data)
        if known is None:
            words = _WORDS.unpack(bytes(data))
            known = self._maxima[data] = _mix(words[at] for at in self._sampled(True)) or 1
        return known

    def is_zero(self, value: int) -> bool:
        """Whether a hash is that of an empty page (find_zero_page_hash).

        The kernel's table ends before the highest strength. What it reads there is unknown; here it
        equals nothing.
        """
        return value == self._zero_hash and self.strength < HASH_STRENGTH_MAX

    def _sampled(self, highest: bool = False) -> list[int]:
        strength = HASH_STRENGTH_MAX if highest else self.strength
        again = max(0, strength - HASH_STRENGTH_FULL)
        return self.permutation[:strength] + self.permutation[:again]

    def _of_page(self, page: bytes) -> int:
        words = _WORDS.unpack(page)
        return _mix(words[at] for at in self._sampled())

    def _of_words(self, words: list[bytes]) -> Checksums:
        halves = np.frombuffer(b"".join(words), np.uint32).reshape(-1, 2).T.copy()
        value = np.full(len(words), _SEED, dtype=np.uint32)
        for at in self._sampled():
            value += halves[at % 2]
            value += value << np.uint32(8)
            value ^= value >> np.uint32(12)
        return value


def _mix(words: Iterable[int]) -> int:
    value = _SEED
    for word in words:
        value = (value + word) * 257 & _M32
        value ^= value >> 12
    return value
