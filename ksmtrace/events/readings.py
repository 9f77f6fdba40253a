"""Readings of the kernel's counters, put together from the SAMPLE records that carry them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ksmtrace.events import numbers as kinds
from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import PAGE_GAUGES, Flag, Gauge

_COUNTERS = frozenset(Gauge) - {Gauge.FAULT_PROBES}
"""The gauges that are read together; the other is a mark in the stream."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The counters that were read together.

    Attributes:
        values: by gauge; pages, counts, bytes or nanoseconds as the gauge is. Read-only.
        failed: why others could not be read, as errno, by gauge. Read-only.
        ns: CLOCK_MONOTONIC of the last of them, in nanoseconds.
        at_scan_stop: the probe itself read them as a pass ended.
        behind: events that are older follow it: it says nothing of the stream so far.
    """

    values: Mapping[Gauge, int]
    ns: int
    at_scan_stop: bool
    failed: Mapping[Gauge, int] = field(default_factory=lambda: MappingProxyType({}))
    behind: bool = False

    @property
    def rmap_items(self) -> int | None:
        """As read, or by the four page gauges; None where neither was read."""
        if Gauge.RMAP_ITEMS in self.values:
            return self.values[Gauge.RMAP_ITEMS]
        if all(gauge in self.values for gauge in PAGE_GAUGES):
            return sum(self.values[gauge] for gauge in PAGE_GAUGES)
        return None

    @property
    def pages_volatile(self) -> int | None:
        """As read, or as pages_volatile_show makes it of ksm_rmap_items; None without either.

        None too where a gauge that takes part failed.
        """
        if Gauge.PAGES_VOLATILE in self.values or Gauge.RMAP_ITEMS not in self.values:
            return self.values.get(Gauge.PAGES_VOLATILE)
        if not self.failed.keys().isdisjoint(PAGE_GAUGES):
            return None
        others = sum(self.values.get(gauge, 0) for gauge in PAGE_GAUGES)
        return max(0, self.values[Gauge.RMAP_ITEMS] - others)


class ReadingTracker:
    """Collects readings, however their records are cut into batches.

    What precedes a loss is no part of a reading that ends after it: that may be a later one.
    """

    def __init__(self) -> None:
        self._values: dict[Gauge, int] = {}
        self._failed: dict[Gauge, int] = {}

    def apply(self, batch: EventBatch) -> list[Reading]:
        """The readings that end in this batch, in order, without gauges of a newer version.

        Args:
            batch: a part that `ksmtrace.events.cut.cut` makes.
        """
        if batch.lost:
            self._values, self._failed = {}, {}
        samples = batch.of(kinds.SAMPLE)
        found = []
        for gauge, value, err, flags, ns in zip(
            samples["address"].tolist(),
            samples["aux"].astype("<i8").tolist(),
            samples["err"].tolist(),
            samples["flags"].tolist(),
            samples["ts"].tolist(),
            strict=True,
        ):
            if gauge in _COUNTERS and err:
                self._failed[Gauge(gauge)] = -err
            elif gauge in _COUNTERS:
                self._values[Gauge(gauge)] = value
            if flags & Flag.LAST_OF_SAMPLE:
                values = MappingProxyType(self._values)
                why = MappingProxyType(self._failed)
                at_scan_stop, behind = flags & Flag.AT_SCAN_STOP, flags & Flag.BEHIND
                found.append(Reading(values, ns, bool(at_scan_stop), why, bool(behind)))
                self._values, self._failed = {}, {}
        return found
