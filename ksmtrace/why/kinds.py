"""What words that differ between two pages look like."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from ksmtrace.estimate.pages import Mask, Words
from ksmtrace.why.surroundings import Now, Surroundings

_YEAR, _DAY = 366 * 86_400_000_000_000, 86_400_000_000_000
_UNITS = (("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000))
_LEAST_TIME = 100_000
"""A smaller number is a count rather than a time."""
_SMALL = np.uint64(1 << 24)
_LEAST_ADDRESS = np.uint64(1 << 16)


class Look(IntEnum):
    """What a field looks like."""

    POINTER = 0
    TIME = 1
    COUNTER = 2
    CANARY = 3
    ALLOCATOR = 4
    TEXT = 5
    UNKNOWN = 6

    @property
    def key(self) -> str:
        """Its name in the JSON document."""
        return self.name.lower()


LOOKS = MappingProxyType(
    {
        Look.POINTER: "pointer into the process's own memory",
        Look.TIME: "time",
        Look.COUNTER: "counter or small number",
        Look.CANARY: "canary of the stack protector",
        Look.ALLOCATOR: "header of a chunk of glibc's allocator",
        Look.TEXT: "text",
        Look.UNKNOWN: "none of these",
    }
)
"""Each in words."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Words of 8 bytes at the same place of two pages, arrays of shape (n,).

    Attributes:
        offset: in the page.
        own, other: values, little-endian.
        own_before, own_after, other_before, other_after: those of the words around, 0 at an edge.
        header: whether both may be headers of chunks by what lies behind them.
        often: whether both values occur more than once in their process.
    """

    offset: npt.NDArray[np.int64]
    own: Words
    other: Words
    own_before: Words
    other_before: Words
    own_after: Words
    other_after: Words
    header: Mask
    often: Mask

    def __len__(self) -> int:
        return len(self.offset)


@dataclass(frozen=True, slots=True)
class Looks:
    """What words look like, shape (n,).

    Attributes:
        look: `Look`.
        detail: in a few words, such as "realtime ns".
    """

    look: npt.NDArray[np.int8]
    detail: npt.NDArray[np.object_]

    def take(self, where: Mask, look: Look, detail: str | npt.NDArray[np.object_]) -> None:
        """Settle what is not settled yet."""
        free = where & (self.look == Look.UNKNOWN)
        self.look[free] = look
        self.detail[free] = detail[free] if isinstance(detail, np.ndarray) else detail


def looks_of_words(pairs: Pairs, own: Surroundings, other: Surroundings, time: Now) -> Looks:
    """What whole words look like, each the first of these that holds."""
    found = Looks(
        np.full(len(pairs), Look.UNKNOWN, dtype=np.int8), np.full(len(pairs), "", dtype=object)
    )
    a, b = pairs.own, pairs.other
    _take_canaries(found, pairs, own, other)
    _take_pointers(found, a, b, own, other)
    found.take(pairs.header & (pairs.offset % 16 == 8), Look.ALLOCATOR, "size and flags")
    _take_times(found, pairs, own, other, time)
    printable = _printable(a, 8) & _printable(b, 8)
    found.take(printable, Look.TEXT, "")
    found.take(_numbers(a, b, 1 << 40, 1 << 16), Look.COUNTER, "")
    return found


def looks_of_halves(a: Words, b: Words, time: Now) -> Looks:
    """What fields of 4 bytes look like, as `looks_of_words`."""
    found = Looks(np.full(len(a), Look.UNKNOWN, dtype=np.int8), np.full(len(a), "", dtype=object))
    found.take(_printable(a, 4) & _printable(b, 4), Look.TEXT, "")
    for clock, low, high in _windows(time, 0):
        if clock == "realtime":
            inside = _inside(a, low // 10**9, high // 10**9)
            inside &= _inside(b, low // 10**9, high // 10**9)
            found.take(inside, Look.TIME, "realtime s, 4 bytes")
    found.take(_numbers(a, b, 1 << 32, 1 << 12), Look.COUNTER, "")
    return found


def _take_canaries(found: Looks, pairs: Pairs, own: Surroundings, other: Surroundings) -> None:
    a, b = pairs.own, pairs.other
    if own.canary and other.canary:
        known = (a == np.uint64(own.canary)) & (b == np.uint64(other.canary))
        found.take(known, Look.CANARY, "AT_RANDOM's, as glibc has it")
    alike = _random_but_low(a) & _random_but_low(b) & pairs.often
    alike &= (own.mapping_of(a) < 0) & (other.mapping_of(b) < 0)
    found.take(alike, Look.CANARY, "the same in the process")


def _random_but_low(values: Words) -> Mask:
    """Whether the lowest byte is 0, and the others look drawn at random."""
    octets = _octets(values)
    zeroes: npt.NDArray[np.int64] = np.sum(octets == 0, axis=1, dtype=np.int64)
    drawn: Mask = (octets[:, 0] == 0) & (octets[:, 7] != 0)
    drawn &= zeroes <= 2
    return drawn


def _take_pointers(
    found: Looks, a: Words, b: Words, own: Surroundings, other: Surroundings
) -> None:
    ours, theirs = own.mapping_of(a), other.mapping_of(b)
    names = np.array([f"into {name or 'anonymous memory'}" for name in own.names] or [""], object)
    others = np.array(
        [f"into {name or 'anonymous memory'}" for name in other.names] or [""], object
    )
    is_pointer = (ours >= 0) & (a >= _LEAST_ADDRESS)
    is_other = (theirs >= 0) & (b >= _LEAST_ADDRESS)
    detail = np.where(ours >= 0, names[np.maximum(ours, 0)], others[np.maximum(theirs, 0)])
    found.take(is_pointer & is_other, Look.POINTER, detail)
    found.take((is_pointer & (b == 0)) | (is_other & (a == 0)), Look.POINTER, detail)


def _windows(time: Now, started: int) -> tuple[tuple[str, int, int], ...]:
    """Clocks, and from when to when a time is near, in nanoseconds."""
    return (
        ("realtime", time.real - _YEAR, time.real + _DAY),
        ("monotonic", started, time.monotonic),
    )


def _take_times(
    found: Looks, pairs: Pairs, own: Surroundings, other: Surroundings, time: Now
) -> None:
    a, b = pairs.own, pairs.other
    started = min(own.started, other.started)
    for clock, low, high in _windows(time, started):
        for unit, factor in _UNITS:
            first, last = low // factor, high // factor
            near = _inside(a, max(first, _LEAST_TIME), last)
            near &= _inside(b, max(first, _LEAST_TIME), last)
            found.take(near, Look.TIME, f"{clock} {unit}")
        first, last = low // 10**9, high // 10**9 + 1
        fine = _fraction(pairs.own_after) & _fraction(pairs.other_after)
        fine &= pairs.own_after != pairs.other_after
        found.take(
            fine & _inside(a, first, last) & _inside(b, first, last), Look.TIME, f"{clock} s"
        )
        after = _inside(pairs.own_before, first, last) & _inside(pairs.other_before, first, last)
        after &= (pairs.own_before != 0) & _fraction(a) & _fraction(b)
        found.take(after, Look.TIME, f"{clock}, fraction of a second")


def _fraction(values: Words) -> Mask:
    """Whether a value may be microseconds or nanoseconds of a second, and is no small number."""
    return _inside(values, 1_000, 999_999_999)


def _inside(values: Words, low: int, high: int) -> Mask:
    if high < max(low, 0):
        return np.zeros(len(values), dtype=np.bool_)
    found: Mask = (values >= np.uint64(max(low, 0))) & (values <= np.uint64(high))
    return found


def _octets(values: Words) -> npt.NDArray[np.uint8]:
    """The bytes of each value, the lowest first, shape (n, 8)."""
    return values.astype("<u8").view(np.uint8).reshape(-1, 8)


def _printable(values: Words, size: int) -> Mask:
    """Whether all bytes are printable ASCII."""
    octets = _octets(values)[:, :size]
    printable: Mask = (octets >= 0x20) & (octets < 0x7F)
    found: Mask = np.all(printable, axis=1)
    return found


def _numbers(a: Words, b: Words, most: int, apart: int) -> Mask:
    """Small numbers, or larger ones that are not far from each other."""
    small = (a < _SMALL) & (b < _SMALL)
    distance = np.maximum(a, b) - np.minimum(a, b)
    limit = np.uint64(most - 1)
    found: Mask = small | ((a <= limit) & (b <= limit) & (distance < np.uint64(apart)))
    return found
