"""Whether all of ksmd's state is known by the events of a run, and if not, why."""

from __future__ import annotations

from ksmtrace.events.kinds import EventKind
from ksmtrace.session import Session


class Completeness:
    """From the start on when KSM was empty, else from the end of the first pass seen whole.

    After a loss again from the end of the first such pass. Where removals are not seen, what is
    merged is counted from the first reading on, and a loss is final. The end of the stream is final
    everywhere.

    Attributes:
        reason: why not all is known; "" where all is.
    """

    def __init__(self, session: Session) -> None:
        self.reason = "no reading of the kernel's counters yet"
        self._sees_removals = session.sees(EventKind.REMOVE_RMAP_ITEM)
        self._limited = bool(session.only_pids)
        self._started = False
        self._pass_whole = False
        self._ended = False

    def start(self, held: int) -> bool:
        """Take the first reading, of `held` rmap_items in all; returns whether it was the first."""
        if self._started:
            return False
        self._started = True
        if self._limited:
            self.reason = "limited to some processes (--pid); the kernel's gauges are of all"
        elif held and self._sees_removals:
            self.reason = "joined late: no pass seen whole yet"
        else:
            self.reason = ""
        return True

    def follow(self, mark: int) -> None:
        """Follow a SCAN_START, SCAN_STOP, LOST or STREAM_END."""
        if self._limited or self._ended:
            return
        if mark == EventKind.LOST:
            self._pass_whole = False
            self.reason = "events were lost"
            if self._sees_removals:
                self.reason += ": no pass seen whole since"
        elif mark == EventKind.SCAN_START:
            self._pass_whole = True
        elif mark == EventKind.STREAM_END:
            self._ended = True
            self.reason = "the stream of events has ended"
        elif self._pass_whole and self._started and self._sees_removals:
            self.reason = ""
