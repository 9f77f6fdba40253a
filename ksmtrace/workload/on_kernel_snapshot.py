"""Snapshots of a workload that runs on a kernel: counters, and who shares which KSM page."""

from __future__ import annotations

import errno
from collections.abc import Mapping

from ksmtrace.engine.ksm.counters import COUNTERS
from ksmtrace.errors import HostError
from ksmtrace.events.kinds import Gauge
from ksmtrace.kernel.pagemap import ksm_page_file, read_ksm_frames
from ksmtrace.kernel.sysfs import read_counters
from ksmtrace.workload.guard import KsmGuard
from ksmtrace.workload.tunables import errno_text

GAUGES = tuple(Gauge[name.upper()] for name in COUNTERS)
"""The counters of a snapshot, in the engine's order."""

_SINCE_BOOT = (Gauge.PAGES_SCANNED, Gauge.PAGES_SKIPPED)


class Layout:
    """Where the regions of each process lie: (address, pages) by process and region."""

    def __init__(self) -> None:
        self.processes: dict[str, dict[str, tuple[int, int]]] = {}

    def spawn(self, process: str) -> None:
        """A process without regions."""
        self.processes[process] = {}

    def fork(self, process: str, child: str) -> None:
        """A process with its parent's regions."""
        self.processes[child] = dict(self.processes[process])

    def exit(self, process: str) -> None:
        """A process less."""
        del self.processes[process]

    def map(self, process: str, region: str, pages: int, address: int) -> None:
        """A new region; what is unmapped of it later has no pages, and is not taken out."""
        self.processes[process][region] = (address, pages)


class Counters:
    """The kernel's counters; those that only grow count from the beginning of the run."""

    def __init__(self) -> None:
        self._start = read_counters()

    def read(self) -> dict[str, int | None]:
        """All `GAUGES` now; None for one that this kernel does not have."""
        now = read_counters()
        counters: dict[str, int | None] = {}
        for gauge in GAUGES:
            value = now.get(gauge)
            if value is not None and gauge in _SINCE_BOOT:
                value -= self._start[gauge]
            counters[gauge.name.lower()] = value
        return counters


def check_clean(ksm: KsmGuard) -> None:
    """Make sure that nothing of what others did with KSM is left.

    Raises:
        HostError: something is.
    """
    for gauge, value in read_counters().items():
        if gauge in GAUGES and gauge not in _SINCE_BOOT and value:
            raise HostError(f"KSM holds pages of others: {gauge.name.lower()} is {value}")
    # Nodes of pages that are mapped where nobody can unmerge them show only by this refusal.
    if ksm.has("max_page_sharing"):
        try:
            ksm.write("max_page_sharing", ksm.counter("max_page_sharing") + 1)
        except OSError as error:
            raise HostError(
                "KSM holds pages of others: max_page_sharing is refused with "
                f"{errno_text(error.errno or errno.EBUSY)}"
            ) from error


def read_groups(layout: Layout, pids: Mapping[str, int]) -> list[list[str]] | None:
    """Who shares: a group of "process/region/page" for each KSM page; None if that is unknown."""
    if ksm_page_file() != "kpageflags":
        return None
    groups: dict[int, list[str]] = {}
    for process, regions in layout.processes.items():
        for region, (address, pages) in regions.items():
            frames = read_ksm_frames(pids[process], address, pages)
            for page in frames.nonzero()[0].tolist():
                groups.setdefault(int(frames[page]), []).append(f"{process}/{region}/{page}")
    return sorted(sorted(group) for group in groups.values())
