"""The scan-time advisor (6.8): sets pages_to_scan so that a pass takes as long as wished."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.state import Ksm

_EWMA_WEIGHT = 30
_LEAST_CPU_PERCENT = 10


class Advisor:
    """struct advisor_ctx; all its arithmetic is in whole numbers, as the kernel's.

    Attributes:
        change: how scan times change from pass to pass, in percent, averaged.
    """

    __slots__ = ("_start_ms", "change", "cpu_time_ns", "prev_scan_time")

    def __init__(self) -> None:
        self._start_ms = 0
        self.reset()

    def reset(self) -> None:
        """Forget what was seen (set_advisor_defaults)."""
        self.prev_scan_time = 0
        self.change = 0
        self.cpu_time_ns = 0

    def start_scan(self, ksm: Ksm) -> None:
        """A pass begins (advisor_start_scan)."""
        self._start_ms = ksm.now_ms

    def stop_scan(self, ksm: Ksm) -> None:
        """A pass ended: if the advisor is on, set pages_to_scan (advisor_stop_scan)."""
        if ksm.tunables["advisor_mode"]:
            pages = self.advise(ksm.tunables, ksm.now_ms - self._start_ms, ksm.ksmd_ns)
            ksm.tunables["pages_to_scan"] = pages

    def advise(self, tunables: dict[str, int], elapsed_ms: int, ksmd_ns: int) -> int:
        """The next pages_to_scan (scan_time_advisor).

        `advisor_min_pages_to_scan` is where it starts, and no lower bound.

        Args:
            tunables: the files of /sys/kernel/mm/ksm as they are.
            elapsed_ms: how long the pass took, sleeps included.
            ksmd_ns: CPU time of ksmd so far.
        """
        scan_time = max(1, elapsed_ms // 1000)
        cpu_ms = (ksmd_ns - self.cpu_time_ns) // 1_000_000
        cpu_percent = max(1, cpu_ms * 100 // (scan_time * 1000))
        last = self.prev_scan_time or scan_time
        factor = max(1, tunables["advisor_target_scan_time"] * 100 // scan_time)
        change = max(1, scan_time * 100 // last)
        change = ((100 - _EWMA_WEIGHT) * self.change + _EWMA_WEIGHT * change) // 100
        pages = tunables["pages_to_scan"] * 100 // factor * change // 100
        per_percent = max(1, tunables["pages_to_scan"] // cpu_percent)
        pages = min(pages, per_percent * tunables["advisor_max_cpu"])
        pages = max(pages, per_percent * _LEAST_CPU_PERCENT)
        self.change = change
        self.prev_scan_time = scan_time
        self.cpu_time_ns = ksmd_ns
        return min(pages, tunables["advisor_max_pages_to_scan"])
