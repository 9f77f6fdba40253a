"""Whether KSM has settled: pages_sharing hardly changes from pass to pass."""

from __future__ import annotations

from ksmtrace.events.kinds import EventKind, Gauge
from ksmtrace.events.readings import Reading
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.model.scan import Scan
from ksmtrace.model.verdict import MOST_CHANGE_RATIO
from ksmtrace.session import Knowledge, Session

QUIET_PASSES = 2
"""So many quiet passes in a row are settled: a new page is merged in the second pass that sees it,
so one proves nothing."""


class Settling:
    """pages_sharing at the ends of passes.

    It is reconstructed where removals of all processes are seen, else the last that was read from
    the kernel. Where the ends of passes are not seen, a step of full_scans between two readings
    stands for one. A machine that has only zero pages settles by these.

    Attributes:
        change_ratio: how much pages_sharing changed in the last pass, of the larger of both values;
            None while fewer than two pass ends in a row are known.
        gauge: what that is of: PAGES_SHARING, or KSM_ZERO_PAGES.
    """

    def __init__(self) -> None:
        self._full_scans: int | None = None
        self._read: int | None = None
        self._last: int | None = None
        self._ends = 0
        self._quiet = 0
        self._since: tuple[int, int] | None = None  # pass ends counted from 1, time
        self.change_ratio: float | None = None
        self.gauge = Gauge.PAGES_SHARING

    @property
    def settled(self) -> bool | None:
        """Whether the last `QUIET_PASSES` passes were quiet; None while too few ends are known."""
        if self._quiet >= QUIET_PASSES:
            return True
        return None if self.change_ratio is None else False

    @property
    def after_passes(self) -> int | None:
        """Passes from the start of the run to the last that was not quiet; None unless settled."""
        return self._since[0] if self.settled and self._since is not None else None

    def after_seconds(self, session: Session) -> float | None:
        """The same as time."""
        if not self.settled or self._since is None:
            return None
        return max(0, self._since[1] - session.monotonic_ns) / 1e9

    def read(self, reading: Reading, session: Session) -> None:
        """Take in a reading of the kernel's counters."""
        values = reading.values
        if Gauge.PAGES_SHARING in values:
            self.gauge = Gauge.PAGES_SHARING
        elif Gauge.KSM_ZERO_PAGES in values and Gauge.GENERAL_PROFIT in values:
            self.gauge = Gauge.KSM_ZERO_PAGES
        self._read = values.get(self.gauge, self._read)
        scans = reading.values.get(Gauge.FULL_SCANS)
        if session.sees(EventKind.SCAN_STOP) or scans is None:
            return
        before, self._full_scans = self._full_scans, scans
        if before is not None and scans > before:
            self._pass_ended(self._read, reading.ns)

    def scan_ended(self, scan: Scan, reconstruction: Reconstruction, session: Session) -> None:
        """A pass ended, seen as an event."""
        known = self._read
        followed = session.sees(EventKind.REMOVE_RMAP_ITEM) and session.knows(Knowledge.RMAP_ITEMS)
        if followed and not session.only_pids:
            known = reconstruction.gauges()[Gauge.PAGES_SHARING]
        self._pass_ended(known, scan.ended_ns)

    def _pass_ended(self, sharing: int | None, ns: int) -> None:
        self._ends += 1
        before, self._last = self._last, sharing
        if sharing is None or before is None:
            self.change_ratio, self._quiet = None, 0
            self._since = (self._ends, ns)
            return
        self.change_ratio = abs(sharing - before) / max(sharing, before, 1)
        if self.change_ratio < MOST_CHANGE_RATIO:
            self._quiet += 1
        else:
            self._quiet = 0
            self._since = (self._ends, ns)
