"""What pages contain: one object per distinct content, so that comparing and hashing are done once."""

from __future__ import annotations

from collections import deque
from weakref import ref

import numpy as np

from ksmtrace.engine.bulk_checksum import Checksum
from ksmtrace.engine.checksum import PAGE_SIZE

_WORD = 8
_WORDS = PAGE_SIZE // _WORD
_LEAST_SWEEP = 1024

_LEAST_AT_ONCE, _MOST_AT_ONCE = 128, 8192
"""Fewer pages are hashed faster one by one; more do not fit the cache."""


class PageData:
    """The bytes of a page, immutable; equal contents of one pool are the same object.

    A page that repeats one word of 8 bytes is kept as that word.

    Attributes:
        unit: the word, or all 4096 bytes.
    """

    __slots__ = ("__weakref__", "checksum_memo", "unit")

    def __init__(self, unit: bytes) -> None:
        self.unit = unit
        self.checksum_memo: int | None = None

    def __bytes__(self) -> bytes:
        return self.unit if len(self.unit) == PAGE_SIZE else self.unit * _WORDS


class PagePool:
    """Makes `PageData`, and knows their checksums.

    Pages that repeat one word are hashed many at a time, in the order in which they were first seen.

    Args:
        checksum: how the kernel computes it.

    Attributes:
        only_words: every page so far has repeated a word.
    """

    def __init__(self, checksum: Checksum) -> None:
        self._hash = checksum
        self._unhashed: deque[PageData] = deque()
        self._known: dict[bytes, PageData] = {}
        self._sweep_at = _LEAST_SWEEP
        self.only_words = True
        self.zero = self.page(bytes(PAGE_SIZE))

    def page(self, content: bytes) -> PageData:
        """The one object for these 4096 bytes.

        Raises:
            ValueError: `content` is not 4096 bytes long.
        """
        if len(content) != PAGE_SIZE:
            raise ValueError(f"a page has {PAGE_SIZE} bytes, not {len(content)}")
        unit = content[:_WORD]
        if unit * _WORDS != content:
            unit = content
        data = self._known.get(unit)
        if data is None:
            if len(self._known) >= self._sweep_at:
                self._sweep()
            data = self._known[unit] = PageData(unit)
            if len(unit) == _WORD:
                self._unhashed.append(data)
            else:
                self.only_words = False
        return data

    def poke(self, data: PageData, offset: int, value: int) -> PageData:
        """`data` with one byte changed."""
        content = bytearray(bytes(data))
        content[offset] = value
        return self.page(bytes(content))

    def checksum(self, data: PageData) -> int:
        """The 32-bit checksum of `data`, as calc_checksum (all versions) computes it."""
        known = data.checksum_memo
        while known is None and len(data.unit) == _WORD and len(self._unhashed) >= _LEAST_AT_ONCE:
            self._hash_many()
            known = data.checksum_memo
        if known is None:
            known = data.checksum_memo = self._hash.of_page(bytes(data))
        return known

    def _sweep(self) -> None:
        # Forget what no page contains any more. A weak dictionary would do so at once, at 150 bytes a page.
        known = [(unit, ref(data)) for unit, data in self._known.items()]
        self._known.clear()
        for unit, held in known:
            data = held()
            if data is not None:
                self._known[unit] = data
        self._sweep_at = max(_LEAST_SWEEP, 2 * len(self._known))

    def _hash_many(self) -> None:
        count = min(len(self._unhashed), _MOST_AT_ONCE)
        some = [self._unhashed.popleft() for _ in range(count)]
        words = np.frombuffer(b"".join(data.unit for data in some), dtype="<u8")
        for data, checksum in zip(some, self._hash.of_words(words).tolist(), strict=True):
            data.checksum_memo = checksum
