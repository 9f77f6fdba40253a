"""Judges the order of a pass: process by process, addresses ascending, every rmap_item once."""

from __future__ import annotations

from ksmtrace.conformance.rules import Rule
from ksmtrace.conformance.shadow import Shadow
from ksmtrace.conformance.verdicts import Verdicts
from ksmtrace.events.row import EventRow


class ScanOrder:
    """The position of ksmd's cursor, as candidates show it."""

    def __init__(self, shadow: Shadow, verdicts: Verdicts) -> None:
        self._shadow = shadow
        self._verdicts = verdicts
        self._scan: int | None = None
        self._last_scan: int | None = None
        self._met: set[int] = set()
        self.restart()

    def restart(self) -> None:
        """The cursor is at the head of the list of processes."""
        self._mm: int | None = None
        self._address = -1
        self._left: set[int] = set()

    def began(self, event: EventRow) -> None:
        """SCAN_START."""
        last, now = self._last_scan, event.aux
        if last is not None:
            self._verdicts.judge(
                Rule.WHOLE_PASS,
                event,
                f"began pass {now} after pass {last}",
                f"pass {last + 1}, or 0 after run=2",
                agreed=now in (last + 1, 0),
            )
        self._scan = self._verdicts.scan = now
        self._last_scan = None
        self._met.clear()
        self._shadow.begin_pass()
        self.restart()

    def ended(self, event: EventRow) -> None:
        """SCAN_STOP."""
        if self._scan is not None:
            unmet = len(self._shadow.items) - len(self._met)
            self._verdicts.judge(
                Rule.WHOLE_PASS,
                event,
                f"ended pass {event.aux} with {unmet} rmap_items not met",
                f"the end of pass {self._scan} with all met",
                agreed=event.aux == self._scan and not unmet,
            )
        self._last_scan, self._scan = event.aux, None
        self.restart()

    def entered(self, mm: int) -> None:
        """MM_ENTER: the address of a process that is gone may be used again."""
        self._left.discard(mm)

    def freed(self, key: int) -> None:
        """An rmap_item is gone; once there are none, a pass may start again unseen (run=2)."""
        self._met.discard(key)
        if not self._shadow.items:
            self.restart()

    def met(self, event: EventRow) -> None:
        """A candidate: examined or passed over."""
        mm, address = event.mm, event.address
        self._met.add(event.rmap_item)
        if mm == self._mm:
            agreed = address > self._address
            kernel = f"came to it after {self._address:#x}"
            stale = self._shadow.between(mm, self._address, address)
        else:
            agreed = mm not in self._left
            kernel = "came back to a process that this pass had left"
            stale = self._shadow.between(mm, -1, address)
            if self._mm is not None:
                stale += self._shadow.between(self._mm, self._address, None)
                self._left.add(self._mm)
        if agreed and stale:
            kernel = f"left {stale} rmap_items on the way that have no page"
        self._verdicts.judge(
            Rule.SCAN_ORDER,
            event,
            kernel,
            "ascending addresses, each process once, and what has no page freed",
            agreed=agreed and not stale,
        )
        self._mm, self._address = mm, address
