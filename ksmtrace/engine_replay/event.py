"""One record of a stream as plain numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ksmtrace.events import EventBatch, EventKind, Flag

_COLUMNS = (
    *("ts", "kind", "flags", "err", "oldchecksum", "checksum"),
    *("mm", "address", "pfn", "rmap_item", "aux"),
)


class Event(NamedTuple):
    """A record; the fields are those of `RECORD`, and `number` is its place in the stream, from 0."""

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
    def before(self) -> int:
        """The tree that the rmap_item was in: `STABLE_BEFORE`, `UNSTABLE_BEFORE` or 0."""
        return self.flags & (Flag.STABLE_BEFORE | Flag.UNSTABLE_BEFORE)

    @property
    def after(self) -> int:
        """The tree that it ended in, as the bits of `before`."""
        return self.flags >> 2 & (Flag.STABLE_BEFORE | Flag.UNSTABLE_BEFORE)

    @property
    def freed(self) -> bool:
        """Whether the rmap_item itself is gone."""
        return bool(self.flags & Flag.FREED)

    @property
    def same_page(self) -> bool:
        """For an attempt: whether the page is the KSM page itself, a fork's copy of its entry."""
        return bool(self.flags & Flag.SAME_PAGE)

    def said(self) -> str:
        """What happened, in words."""
        what = (
            f"{EventKind(self.kind).name} (err {self.err})"
            if self.err
            else EventKind(self.kind).name
        )
        return f"{what} of rmap_item {self.rmap_item:#x}" if self.rmap_item else what


def events_of(batch: EventBatch, first: int) -> Iterator[Event]:
    """The records of `batch`, numbered from `first` on."""
    columns = (batch.events[name].tolist() for name in _COLUMNS)
    for number, values in enumerate(zip(*columns, strict=True), first):
        yield Event(number, *values)
