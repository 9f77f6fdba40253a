"""The kernel's own counters of the stable tree, over time."""

from __future__ import annotations

from ksmtrace.events import Gauge
from ksmtrace.events.readings import Reading
from ksmtrace.model.timeline import Timeline


class Readings:
    """The last value of each counter, and shared and sharing pages at each reading.

    Attributes:
        last: by gauge, what was read last; counters that this kernel has not are missing.
        now_ns: CLOCK_MONOTONIC of the last reading.
        over_time: pages_shared and pages_sharing, seconds since the run began.
    """

    def __init__(self) -> None:
        self.last: dict[Gauge, int] = {}
        self.now_ns = 0
        self.over_time = Timeline("shared", "sharing")

    @property
    def chains(self) -> tuple[int, int] | None:
        """Chains, and stable nodes in them, as read last; None where they were not read."""
        chains = self.last.get(Gauge.STABLE_NODE_CHAINS)
        dups = self.last.get(Gauge.STABLE_NODE_DUPS)
        return None if chains is None or dups is None else (chains, dups)

    def add(self, reading: Reading, began_ns: int) -> None:
        """Take in a reading of a run that began at `began_ns`."""
        self.last.update(reading.values)
        self.now_ns = max(self.now_ns, reading.ns)
        shared, sharing = (
            self.last.get(gauge) for gauge in (Gauge.PAGES_SHARED, Gauge.PAGES_SHARING)
        )
        if shared is not None:
            self.over_time.add(max(0, reading.ns - began_ns) / 1e9, shared, sharing or 0)
