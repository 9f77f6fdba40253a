"""Pages that ksmd examines in its CPU time, and how long its passes take."""

from __future__ import annotations

from bisect import bisect_left

from ksmtrace.events.kinds import Gauge
from ksmtrace.events.readings import Reading
from ksmtrace.model.ksmd_time import KsmdTime

BUCKETS_SECONDS = tuple(4.0**power for power in range(-4, 8))
"""Upper bounds of durations of passes: from 4 ms to 4.5 hours, each four times the last."""


class KsmdPages:
    """Pages examined in the time for which ksmd's CPU time is known.

    Attributes:
        ksmd: its CPU time.
    """

    def __init__(self) -> None:
        self.ksmd = KsmdTime()
        self._pages = 0
        self._known = True
        self._last: int | None = None

    def read(self, reading: Reading, examined: int | None) -> None:
        """Take in a reading, and the pages `examined` so far, where they are known by events."""
        before = self.ksmd.wall_ns
        if self.ksmd.read(reading) is None:
            return
        now = reading.values.get(Gauge.PAGES_SCANNED) if examined is None else examined
        last, self._last = self._last, now
        if self.ksmd.wall_ns == before:
            return
        if now is None or last is None:
            self._known = False
        else:
            self._pages += now - last

    def pages_by(self, ns: int) -> float | None:
        """Pages by second of `ns`."""
        return self._pages / (ns / 1e9) if ns and self._known else None


class PassTimes:
    """Durations of passes.

    Of those seen whole; where no ends are seen, by the steps of full_scans between readings.

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
