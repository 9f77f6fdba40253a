"""What ksmd's CPU time buys, and how long its passes take."""

from __future__ import annotations

from bisect import bisect_left

from ksmtrace.events.kinds import Gauge
from ksmtrace.events.readings import Reading

BUCKETS_SECONDS = tuple(4.0**power for power in range(-4, 8))
"""Upper bounds of the histogram of pass durations: from 4 ms to 4.5 hours, each four times the last."""


class KsmdTime:
    """ksmd's CPU time between readings of it, and what else grew in that time; nothing where a clock was set back."""

    def __init__(self) -> None:
        self.cpu_ns = self.wall_ns = self.scanned = 0
        self._scanned_known = True
        self._last: tuple[int, int, int | None] | None = None

    def read(self, reading: Reading, examined: int | None) -> None:
        """Take in a reading; `examined` is the number of pages examined so far, where events tell it."""
        cpu = reading.values.get(Gauge.KSMD_CPU_NS)
        if cpu is None:
            return
        scanned = reading.values.get(Gauge.PAGES_SCANNED) if examined is None else examined
        last, self._last = self._last, (reading.ns, cpu, scanned)
        if last is None or reading.ns <= last[0] or cpu < last[1]:
            return
        self.wall_ns += reading.ns - last[0]
        self.cpu_ns += cpu - last[1]
        if scanned is None or last[2] is None:
            self._scanned_known = False
        else:
            self.scanned += scanned - last[2]

    def cores(self) -> float | None:
        """CPU time by time."""
        return self.cpu_ns / self.wall_ns if self.wall_ns else None

    def pages_by(self, ns: int) -> float | None:
        """Pages examined by second of `ns`."""
        return self.scanned / (ns / 1e9) if ns and self._scanned_known else None


class PassTimes:
    """Durations of passes: those seen whole, and by the steps of full_scans between readings where no ends are seen.

    Attributes:
        counts: passes by duration, for each of `BUCKETS_SECONDS` and for all that is longer.
        last_seconds, total_seconds: of passes seen whole.
    """

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_SECONDS) + 1)
        self.last_seconds: float | None = None
        self.total_seconds = 0.0
        self._scans: tuple[int, int] | None = None  # full_scans, and when it was first read so
        self._steps = self._steps_ns = 0

    def add(self, seconds: float) -> None:
        """A pass seen whole."""
        self.counts[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self.last_seconds = seconds
        self.total_seconds += seconds

    def read(self, reading: Reading) -> None:
        """Take in a reading of the kernel's counters."""
        scans = reading.values.get(Gauge.FULL_SCANS)
        if scans is None:
            return
        before, now = self._scans, (scans, reading.ns)
        if before is None or scans < before[0] or reading.ns < before[1]:
            self._scans = now
        elif scans > before[0]:
            self._steps += scans - before[0]
            self._steps_ns += reading.ns - before[1]
            self._scans = now

    @property
    def mean_seconds(self) -> float | None:
        """Of passes seen whole, else by the steps of full_scans."""
        if self.last_seconds is not None:
            return self.total_seconds / sum(self.counts)
        return self._steps_ns / 1e9 / self._steps if self._steps else None
