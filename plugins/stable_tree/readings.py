"""What the kernel itself says of the stable tree, over time."""

from __future__ import annotations

from ksmtrace.events import EventBatch, EventKind, Flag, Gauge
from ksmtrace.model.timeline import Timeline


class Readings:
    """The last value of each counter, and shared and sharing pages at each reading.

    Attributes:
        last: by `Gauge`, what was read last; counters that this kernel has not are missing.
        now_ns: CLOCK_MONOTONIC of the last reading.
        over_time: pages_shared and pages_sharing, seconds since the run began.
    """

    def __init__(self) -> None:
        self.last: dict[int, int] = {}
        self.now_ns = 0
        self.over_time = Timeline("shared", "sharing")

    @property
    def chains(self) -> tuple[int, int] | None:
        """Chains, and stable nodes in them, as read last; None where they were not read."""
        chains = self.last.get(Gauge.STABLE_NODE_CHAINS)
        dups = self.last.get(Gauge.STABLE_NODE_DUPS)
        return None if chains is None or dups is None else (chains, dups)

    def apply(self, batch: EventBatch, began_ns: int) -> None:
        """Take in the SAMPLE records of a batch."""
        samples = batch.of(EventKind.SAMPLE)
        for gauge, value, flags, ts in zip(
            samples["address"].tolist(),
            samples["aux"].astype("<i8").tolist(),
            samples["flags"].tolist(),
            samples["ts"].tolist(),
            strict=True,
        ):
            self.last[gauge] = value
            if not flags & Flag.LAST_OF_SAMPLE:
                continue
            self.now_ns = max(self.now_ns, ts)
            if Gauge.PAGES_SHARED in self.last:
                shared, sharing = (
                    self.last.get(g, 0) for g in (Gauge.PAGES_SHARED, Gauge.PAGES_SHARING)
                )
                self.over_time.add(max(0, ts - began_ns) / 1e9, shared, sharing)
