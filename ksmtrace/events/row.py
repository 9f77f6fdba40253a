"""One event as plain Python numbers, for followers that take a stream event by event."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind, Flag

_PAGE_SHIFT = 12

# As plain numbers: to test an IntFlag is several times slower, and there are millions of events.
_STABLE_BEFORE = int(Flag.STABLE_BEFORE)
_STABLE_AFTER = int(Flag.STABLE_AFTER)
_EITHER_TREE_BEFORE = int(Flag.STABLE_BEFORE | Flag.UNSTABLE_BEFORE)
_FREED = int(Flag.FREED)
_SAME_PAGE = int(Flag.SAME_PAGE)
_ZERO_PAGE = int(Flag.ZERO_PAGE)
_NEW_NODE = int(Flag.NEW_NODE)
_BY_KERNEL = int(Flag.BY_KERNEL)


class EventRow(NamedTuple):
    """A record: the fields of `RECORD`, and as `number` its place in the stream, from 0."""

    number: int
    ts: int
    kind: int
    flags: int
    err: int
    oldchecksum: int
    checksum: int
    mm: int
    address: int
    pfn: int
    rmap_item: int
    aux: int

    @property
    def vpn(self) -> int:
        """Number of the page in its address space."""
        return self.address >> _PAGE_SHIFT

    @property
    def before(self) -> int:
        """The tree that the rmap_item was in: `STABLE_BEFORE`, `UNSTABLE_BEFORE` or 0."""
        return self.flags & _EITHER_TREE_BEFORE

    @property
    def after(self) -> int:
        """The tree that it ended in, as the bits of `before`."""
        return self.flags >> 2 & _EITHER_TREE_BEFORE

    @property
    def stable_before(self) -> bool:
        """Flag STABLE_BEFORE."""
        return self.flags & _STABLE_BEFORE != 0

    @property
    def stable_after(self) -> bool:
        """Flag STABLE_AFTER."""
        return self.flags & _STABLE_AFTER != 0

    @property
    def freed(self) -> bool:
        """Flag FREED: the rmap_item itself is gone."""
        return self.flags & _FREED != 0

    @property
    def same_page(self) -> bool:
        """Flag SAME_PAGE: the page is the KSM page itself, a fork's copy of its entry."""
        return self.flags & _SAME_PAGE != 0

    @property
    def zero_page(self) -> bool:
        """Flag ZERO_PAGE."""
        return self.flags & _ZERO_PAGE != 0

    @property
    def new_node(self) -> bool:
        """Flag NEW_NODE."""
        return self.flags & _NEW_NODE != 0

    @property
    def by_kernel(self) -> bool:
        """Flag BY_KERNEL."""
        return self.flags & _BY_KERNEL != 0

    def in_words(self) -> str:
        """What happened, for a message."""
        what = EventKind(self.kind).name
        if self.err:
            what += f" (err {self.err})"
        return f"{what} of rmap_item {self.rmap_item:#x}" if self.rmap_item else what


_COLUMNS = EventRow._fields[1:]


def rows_of(batch: EventBatch, first: int = 0) -> Iterator[EventRow]:
    """The records of `batch`, numbered from `first` on."""
    columns = (batch.events[name].tolist() for name in _COLUMNS)
    numbers = range(first, first + len(batch))
    return map(EventRow._make, zip(numbers, *columns, strict=True))
