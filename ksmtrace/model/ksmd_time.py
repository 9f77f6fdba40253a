"""CPU time of ksmd, by readings of its counter."""

from __future__ import annotations

from ksmtrace.events.kinds import Gauge
from ksmtrace.events.readings import Reading


class KsmdTime:
    """ksmd's CPU time between the first reading of it and the last.

    An interval in which a clock went back is left out.

    Attributes:
        cpu_ns: CPU time; 0 while there are fewer than two readings.
        wall_ns: the time in which it was spent.
    """

    def __init__(self) -> None:
        self.cpu_ns = 0
        self.wall_ns = 0
        self._last: tuple[int, int] | None = None

    def read(self, reading: Reading) -> int | None:
        """Take in a reading.

        Returns the CPU time since the reading before, in nanoseconds: 0 for the first one, and
        where a clock went back. None if `reading` has no KSMD_CPU_NS.
        """
        cpu = reading.values.get(Gauge.KSMD_CPU_NS)
        if cpu is None:
            return None
        last, self._last = self._last, (reading.ns, cpu)
        if last is None or reading.ns < last[0] or cpu < last[1]:
            return 0
        self.wall_ns += reading.ns - last[0]
        self.cpu_ns += cpu - last[1]
        return cpu - last[1]

    @property
    def cores(self) -> float | None:
        """CPU time by time."""
        return self.cpu_ns / self.wall_ns if self.wall_ns else None
