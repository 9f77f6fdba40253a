"""What pages contain: one object per distinct content, compared and hashed once."""

from __future__ import annotations

from collections import deque
from weakref import ref

import numpy as np
import numpy.typing as npt

from ksmtrace.engine.machine.bulk_checksum import Checksum
from ksmtrace.engine.machine.checksum import PAGE_SIZE

_WORD = 8
_WORDS = PAGE_SIZE // _WORD
_LEAST_SWEEP = 1024

_LEAST_AT_ONCE, _MOST_AT_ONCE = 128, 8192
"""Fewer pages are hashed faster one by one; more do not fit the cache."""


def compare_units(a: bytes, b: bytes) -> int:
    """-1, 0 or 1, as a page with unit `a` is less than, equal to or greater than one with `b`."""
    if a == b:
        return 0
    if len(a) != len(b):
        a, b = a * (PAGE_SIZE // len(a)), b * (PAGE_SIZE // len(b))
    return -1 if a < b else 1


class PageData:
    """The bytes of a page, immutable; equal contents of one pool are the same object.

    A page that repeats one word of 8 bytes is kept as that word.

    Attributes:
        unit: the word, or all 4096 bytes.
        number: its place in `PagePool.contents`; used again once no page contains it.
    """

    __slots__ = ("__weakref__", "checksum_memo", "number", "unit")

    def __init__(self, unit: bytes) -> None:
        self.unit = unit
        self.number = -1
        self.checksum_memo: int | None = None

    def __bytes__(self) -> bytes:
        return self.unit if len(self.unit) == PAGE_SIZE else self.unit * _WORDS


class PagePool:
    """Makes `PageData`, and knows their checksums.

    Pages that repeat one word are hashed many at a time, in the order in which they were first
    seen.

    Args:
        checksum: how the kernel computes it.

    Attributes:
        sweeps: how often `sweep` has forgotten contents.
        only_words: every page so far has repeated a word.
        contents: all contents by number; empty until `number_contents`.
    """

    def __init__(self, checksum: Checksum) -> None:
        self._hash = checksum
        self._unhashed: deque[PageData] = deque()
        self._known: dict[bytes, PageData] = {}
        self._sweep_at = _LEAST_SWEEP
        self.sweeps = 0
        self.only_words = True
        self.contents: list[PageData] = []
        self._free: list[int] | None = None
        self._checksums = np.zeros(0, np.uint32)
        self._hashed = np.zeros(0, np.bool_)
        self.zero = self.page(bytes(PAGE_SIZE))

    def number_contents(self) -> None:
        """Give contents numbers from now on, and forget them by `sweep` alone."""
        self._free = []
        self._unhashed.clear()
        self._number(self.zero)

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
            if self._free is None and len(self._known) >= self._sweep_at:
                self._forget_unused()
            data = self._known[unit] = PageData(unit)
            if self._free is not None:
                self._number(data)
            if len(unit) != _WORD:
                self.only_words = False
            elif self._free is None:
                self._unhashed.append(data)
        return data

    def units_of(self, numbers: npt.NDArray[np.int32]) -> list[bytes]:
        """`PageData.unit` of contents by number."""
        contents = self.contents
        return [contents[number].unit for number in numbers.tolist()]

    def number_of(self, unit: bytes) -> int:
        """The number of a content that some page has."""
        return self._known[unit].number

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

    def forget_checksums(self) -> None:
        """From here on checksums are computed otherwise; contents have no numbers."""
        known = list(self._known.values())
        for data in known:
            data.checksum_memo = None
        self._unhashed = deque(data for data in known if len(data.unit) == _WORD)

    def checksums(self, numbers: npt.NDArray[np.int32]) -> npt.NDArray[np.uint32]:
        """The checksums of contents by number."""
        new = len(self.contents) - len(self._hashed)
        if new > 0:
            self._checksums = np.append(self._checksums, np.zeros(new + _LEAST_SWEEP, np.uint32))
            self._hashed = np.append(self._hashed, np.zeros(new + _LEAST_SWEEP, np.bool_))
        missing = numbers[~self._hashed[numbers]]
        if len(missing):
            # Each once: of equal ones the last is found in the place that all of them wrote to.
            order = np.arange(len(missing), dtype=np.uint32)
            self._checksums[missing] = order
            missing = missing[self._checksums[missing] == order]
            self._checksums[missing] = self._hash_all(self.units_of(missing))
            self._hashed[missing] = True
        return self._checksums[numbers]

    def sweep(self, used: npt.NDArray[np.int32]) -> None:
        """Forget what no page contains any more, if there may be much of it.

        Args:
            used: numbers of contents in use, besides those that objects refer to.
        """
        if self._free is None or len(self._known) < self._sweep_at:
            return
        self.sweeps += 1
        keep = np.zeros(len(self.contents), np.bool_)
        keep[used] = True
        keep[[self.zero.number, *self._free]] = True
        candidates = np.flatnonzero(~keep).tolist()
        held = {number: ref(self.contents[number]) for number in candidates}
        units = {number: self.contents[number].unit for number in candidates}
        for number in candidates:
            self.contents[number] = self.zero
            del self._known[units[number]]
        for number in candidates:
            data = held[number]()
            if data is None:
                self._free.append(number)
                self._hashed[number : number + 1] = False
            else:
                self.contents[number] = self._known[data.unit] = data
        self._sweep_at = max(_LEAST_SWEEP, 2 * len(self._known))

    def _number(self, data: PageData) -> None:
        assert self._free is not None, "`number_contents` has been called"
        if self._free:
            data.number = self._free.pop()
            self.contents[data.number] = data
        else:
            data.number = len(self.contents)
            self.contents.append(data)

    def _forget_unused(self) -> None:
        # A weak dictionary would do so at once, at 150 bytes a page.
        known = [(unit, ref(data)) for unit, data in self._known.items()]
        self._known.clear()
        for unit, held in known:
            data = held()
            if data is not None:
                self._known[unit] = data
        self._sweep_at = max(_LEAST_SWEEP, 2 * len(self._known))

    def _hash_all(self, units: list[bytes]) -> npt.NDArray[np.uint32]:
        if self.only_words or all(len(unit) == _WORD for unit in units):
            return self._hash.of_words(units)
        pages = (unit * (PAGE_SIZE // len(unit)) for unit in units)
        return np.array([self._hash.of_page(page) for page in pages], np.uint32)

    def _hash_many(self) -> None:
        count = min(len(self._unhashed), _MOST_AT_ONCE)
        some = [self._unhashed.popleft() for _ in range(count)]
        checksums = self._hash.of_words([data.unit for data in some]).tolist()
        for data, checksum in zip(some, checksums, strict=True):
            data.checksum_memo = checksum
