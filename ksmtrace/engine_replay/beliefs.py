"""Tunables as the capture lets us know them: those of its beginning, until the stream itself shows that one was written.

A capture does not say when a tunable is written. A decision that only a write can explain is unknown, not parted, as long
as the kernel could have taken that write.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from ksmtrace.engine_replay.account import Account
from ksmtrace.engine_replay.event import Event
from ksmtrace.engine_replay.mirror import Mirror, SeenItem
from ksmtrace.engine_replay.rules import Rule

_SMALLEST_LIMIT = 2
_FOLLOWED = ("max_page_sharing", "merge_across_nodes", "smart_scan", "use_zero_pages")
_TIMES_TO_BELIEVE = 2


class Verdict(Enum):
    """What a decision says."""

    AGREED = 0
    UNKNOWN = 1
    PARTED = 2


def take_tunables(mirror: Mirror, shown: Mapping[str, str]) -> None:
    """Let the mirror have the tunables of the capture's session."""
    for name in _FOLLOWED:
        if shown.get(name, "").isdecimal():
            mirror.ksm.tunables[name] = int(shown[name])


def tunables_now(mirror: Mirror) -> dict[str, int]:
    """The tunables that are believed in, those that this kernel has."""
    absent = mirror.ksm.variant.absent_tunables
    return {name: mirror.ksm.tunables[name] for name in _FOLLOWED if name not in absent}


class SharingLimit:
    """max_page_sharing, which the kernel lets nobody write while pages are shared (EBUSY): between two such times it is one number.

    A page that passes over a node with room says that the limit is lower than believed. It was a difference after all
    when another page joins a node as large before the limit could be written again.
    """

    def __init__(self, mirror: Mirror, account: Account) -> None:
        self._tunables = mirror.ksm.tunables
        self._account = account
        self._doubtful: list[tuple[Event, int | None, str]] = []
        self._most: int | None = None
        self._least = _SMALLEST_LIMIT
        self._believed = self._tunables["max_page_sharing"]

    def emptied(self) -> None:
        """No page is shared, or the stream is over: the limit may be written now, and doubts stay."""
        for _ in self._doubtful:
            self._account.unknown(Rule.SHARING_LIMIT)
        self._doubtful.clear()
        self._least, self._most = _SMALLEST_LIMIT, None

    def joined(self, sharers: int, *, had_room: bool) -> Verdict:
        """A page joined a node of so many sharers; the limit is larger."""
        if self._doubtful and self._most is not None and sharers >= self._most:
            for event, scan, kernel in self._doubtful:
                self._account.part(
                    Rule.STABLE_SEARCH, event, kernel, "it to join that node", scan=scan
                )
            self._tunables["max_page_sharing"] = self._believed
            had_room = sharers < self._believed
            self._doubtful.clear()
            self._most = None
        if had_room:
            self._least = max(self._least, sharers + 1)
            return Verdict.AGREED
        if not sharers or (self._most is not None and sharers >= self._most):
            return Verdict.PARTED
        self._least = self._tunables["max_page_sharing"] = sharers + 1
        return Verdict.UNKNOWN

    def passed(self, event: Event, kernel: str, sharers: int, *, had_room: bool) -> Verdict:
        """A page equal to that of a node of so many sharers did not join it; the limit is no larger.

        `kernel` is that in words, for when it was a difference. An unknown verdict is counted here, later.
        """
        if had_room and sharers < self._least:
            return Verdict.PARTED
        self._most = sharers if self._most is None else min(self._most, sharers)
        if not had_room:
            return Verdict.AGREED
        if not self._doubtful:
            self._believed = self._tunables["max_page_sharing"]
        self._doubtful.append((event, self._account.scan, kernel))
        self._tunables["max_page_sharing"] = sharers
        return Verdict.UNKNOWN


class SmartScan:
    """Whether smart scan is on, and its decisions.

    One page that should have been passed over and was not is a difference once the next one is passed over as expected;
    two in a row say that smart_scan was switched off, and of later ones the ages are not known.
    """

    def __init__(self, mirror: Mirror, account: Account) -> None:
        self._mirror = mirror
        self._account = account
        self._doubtful: list[tuple[Event, int | None]] = []
        self.orphans: set[int] = set()

    def decide(self, item: SeenItem, event: Event, *, skipped: bool, ksm_page: bool) -> None:
        """Judge one page that was passed over or examined; `ksm_page` says that it is a KSM page."""
        tunables, rule = self._mirror.ksm.tunables, Rule.SMART_SCAN
        if "smart_scan" in self._mirror.ksm.variant.absent_tunables:
            if skipped:
                self._account.part(rule, event, "passed over the page", "no smart scan at all")
            return
        if not tunables["smart_scan"]:
            if skipped:
                tunables["smart_scan"] = 1
                self._forget_ages()
                self._account.unknown(rule)
            else:
                self._account.agree(rule)
            return
        if event.pfn and event.pfn in self.orphans:
            item.age_known = False
        expected = self._mirror.would_skip(item, ksm_page=ksm_page)
        if not item.age_known:
            self._account.unknown(rule)
        elif expected == skipped:
            self._account.agree(rule)
            if skipped:
                self._settle()
        else:
            self._surprised(item, event, skipped=skipped)

    def end(self) -> None:
        """The stream is over: what is in doubt stays so."""
        for _ in self._doubtful:
            self._account.unknown(Rule.SMART_SCAN)
        self._doubtful.clear()

    def _surprised(self, item: SeenItem, event: Event, *, skipped: bool) -> None:
        item.age_known = False
        if skipped:
            self._account.part(
                Rule.SMART_SCAN,
                event,
                "passed over the page",
                f"it to be examined at age {item.age}",
            )
            return
        self._doubtful.append((event, self._account.scan))
        if len(self._doubtful) == _TIMES_TO_BELIEVE:
            self._mirror.ksm.tunables["smart_scan"] = 0
            self._forget_ages()
            self.end()

    def _settle(self) -> None:
        for event, scan in self._doubtful:
            self._account.part(
                Rule.SMART_SCAN, event, "examined the page", "it to be passed over", scan=scan
            )
        self._doubtful.clear()

    def _forget_ages(self) -> None:
        for item in self._mirror.items.values():
            item.age_known = False
