"""Tunables inferred from decisions, for captures without records of writes.

They are those of the capture's beginning until a decision shows another value. A decision that
only a write explains is unknown, not a difference, as long as the kernel could have taken that
write.
"""

from __future__ import annotations

from ksmtrace.conformance import tunables_recorded
from ksmtrace.conformance.rules import Rule
from ksmtrace.conformance.shadow import Shadow, ShadowItem
from ksmtrace.conformance.tunables_recorded import Tunables
from ksmtrace.conformance.verdicts import Verdict, Verdicts
from ksmtrace.events.row import EventRow

_SMALLEST_LIMIT = 2
_TIMES_THAT_CONVINCE = 2


class SharingLimit(tunables_recorded.SharingLimit):
    """max_page_sharing: between two times without any shared page it is one number.

    A page that passes over a node with room shows a lower limit than assumed. It was a difference
    after all when another page joins a node as large before the limit could be written again.
    """

    def __init__(self, shadow: Shadow, verdicts: Verdicts) -> None:
        self._tunables = shadow.ksm.tunables
        self._verdicts = verdicts
        self._doubtful: list[tuple[EventRow, int | None, str]] = []
        self._most: int | None = None
        self._least = _SMALLEST_LIMIT
        self._assumed = self._tunables["max_page_sharing"]

    def emptied(self) -> None:
        """The limit may be written now, and doubts stay."""
        for _ in self._doubtful:
            self._verdicts.unknown(Rule.SHARING_LIMIT)
        self._doubtful.clear()
        self._least, self._most = _SMALLEST_LIMIT, None

    def joined(self, sharers: int, *, had_room: bool) -> Verdict:
        """A page joined a node of so many sharers; the limit is larger."""
        if self._doubtful and self._most is not None and sharers >= self._most:
            for event, scan, kernel in self._doubtful:
                self._verdicts.part(
                    Rule.STABLE_SEARCH, event, kernel, "it to join that node", scan=scan
                )
            self._tunables["max_page_sharing"] = self._assumed
            had_room = sharers < self._assumed
            self._doubtful.clear()
            self._most = None
        if had_room:
            self._least = max(self._least, sharers + 1)
            return Verdict.AGREED
        if not sharers or (self._most is not None and sharers >= self._most):
            return Verdict.PARTED
        self._least = self._tunables["max_page_sharing"] = sharers + 1
        return Verdict.UNKNOWN

    def passed(self, event: EventRow, kernel: str, sharers: int, *, had_room: bool) -> Verdict:
        """A page did not join such a node: the limit is no larger. Counts UNKNOWN itself, later."""
        if had_room and sharers < self._least:
            return Verdict.PARTED
        self._most = sharers if self._most is None else min(self._most, sharers)
        if not had_room:
            return Verdict.AGREED
        if not self._doubtful:
            self._assumed = self._tunables["max_page_sharing"]
        self._doubtful.append((event, self._verdicts.scan, kernel))
        self._tunables["max_page_sharing"] = sharers
        return Verdict.UNKNOWN


class SmartScan(tunables_recorded.SmartScan):
    """Whether smart scan is on, and its decisions.

    One page that should have been passed over, and was not, is a difference once the next one is
    passed over as expected. Two in a row show that smart_scan was switched off; ages of later pages
    are then not known.
    """

    def __init__(self, shadow: Shadow, verdicts: Verdicts, tunables: Tunables) -> None:
        super().__init__(shadow, verdicts, tunables)
        self._doubtful: list[tuple[EventRow, int | None]] = []

    def end(self) -> None:
        """What is in doubt stays so."""
        for _ in self._doubtful:
            self._verdicts.unknown(Rule.SMART_SCAN)
        self._doubtful.clear()

    def switched(self, _ts: int) -> None:
        """A reading shows another value; when it was written is not known."""
        self._forget_ages()

    def skipped_while_off(self, _item: ShadowItem, _event: EventRow) -> None:
        """It was switched on."""
        self._shadow.ksm.tunables["smart_scan"] = 1
        self._forget_ages()
        self._verdicts.unknown(Rule.SMART_SCAN)

    def skipped_as_expected(self) -> None:
        """It is on: what is in doubt was a difference."""
        for event, scan in self._doubtful:
            self._verdicts.part(
                Rule.SMART_SCAN, event, "examined the page", "it to be passed over", scan=scan
            )
        self._doubtful.clear()

    def surprised(self, item: ShadowItem, event: EventRow, *, skipped: bool) -> None:
        """A page that was not passed over may say that it was switched off."""
        if skipped:
            super().surprised(item, event, skipped=True)
            return
        self._doubtful.append((event, self._verdicts.scan))
        if len(self._doubtful) == _TIMES_THAT_CONVINCE:
            self._shadow.ksm.tunables["smart_scan"] = 0
            self._forget_ages()
            self.end()

    def _forget_ages(self) -> None:
        for item in self._shadow.items.values():
            item.age_known = False


class ZeroPages(tunables_recorded.ZeroPages):
    """use_zero_pages: on if an empty page was tried with the zero page, off if one was not."""

    def tried(self, _event: EventRow, _kernel: str, _engine: str) -> None:
        """It is on."""
        self._values["use_zero_pages"] = 1
        self._verdicts.agree(Rule.ZERO_PAGE)

    def not_tried(self, _event: EventRow) -> None:
        """It is off, perhaps since a write."""
        if self._values["use_zero_pages"]:
            self._values["use_zero_pages"] = 0
            self._verdicts.unknown(Rule.ZERO_PAGE)
        else:
            self._verdicts.agree(Rule.ZERO_PAGE)
