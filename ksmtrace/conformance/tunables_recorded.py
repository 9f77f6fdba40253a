"""Tunables by the records of their writes: each decision is judged by the value that held then.

A write takes effect between its beginning, which is its time, and its return, which is the place of
its record. ksmd may work meanwhile. A page that it came to before the write began was decided on
under the old value, in the middle of the call under either, and so was the first page after the
record; and a decision that only the new value explains may come before the record.
"""

from __future__ import annotations

from dataclasses import dataclass

from ksmtrace.conformance.rules import Rule
from ksmtrace.conformance.shadow import Shadow, ShadowItem
from ksmtrace.conformance.verdicts import Verdict, Verdicts
from ksmtrace.events.row import EventRow


@dataclass(slots=True)
class _Doubt:
    """A decision that another value of a tunable would explain.

    Attributes:
        next_ts: when ksmd came to the page after it; None while it has not.
    """

    name: str
    value: int
    rule: Rule
    event: EventRow
    scan: int | None
    kernel: str
    engine: str
    next_ts: int | None = None


class Tunables:
    """The values, and decisions that a write under way may explain."""

    def __init__(self, shadow: Shadow, verdicts: Verdicts) -> None:
        self._values = shadow.ksm.tunables
        self._verdicts = verdicts
        self._before: dict[str, tuple[int, int]] = {}
        self._written: set[str] = set()
        self._just_written: set[str] = set()
        self._doubts: list[_Doubt] = []

    def wrote(self, name: str, value: int, ts: int) -> None:
        """`name` has become `value` by a write that began at `ts`."""
        self._before[name] = (self._values[name], ts)
        self._values[name] = value
        self._written.add(name)
        explained = [
            doubt
            for doubt in self._doubts
            if (doubt.name, doubt.value) == (name, value)
            and (doubt.next_ts is None or ts < doubt.next_ts)
        ]
        for doubt in explained:
            self._verdicts.agree(doubt.rule)
            self._doubts.remove(doubt)

    def before(self, name: str, event: EventRow) -> int | None:
        """The value before the latest write, if ksmd came to the page before that began."""
        value, since = self._before.get(name, (None, 0))
        return value if event.ts < since else None

    def just_before(self, name: str) -> int | None:
        """The value before the latest write, if this page is the first after that one's record.

        ksmd can be preempted between a decision and the time that the record has, and the write be
        done meanwhile.
        """
        return self._before[name][0] if name in self._just_written else None

    def doubt(
        self, name: str, value: int, rule: Rule, event: EventRow, kernel: str, engine: str
    ) -> None:
        """A difference, unless it turns out that `name` was being made `value`."""
        self._doubts.append(_Doubt(name, value, rule, event, self._verdicts.scan, kernel, engine))

    def came_to(self, event: EventRow) -> None:
        """Ksmd came to another page."""
        self._just_written, self._written = self._written, set()
        for doubt in self._doubts:
            if doubt.next_ts is None:
                doubt.next_ts = event.ts

    def settle_before(self, scan: int | None) -> None:
        """Doubts of other passes than that with seqnr `scan` are differences."""
        for one in tuple(self._doubts):
            if one.scan != scan:
                self._part(one)

    def end(self) -> None:
        """The stream is over: doubts are differences, except for the last page.

        The write that explains it may have been about to return.
        """
        for one in tuple(self._doubts):
            if one.next_ts is not None:
                self._part(one)
        self.forget()

    def forget(self) -> None:
        """Records are missing, perhaps that of a write."""
        for one in self._doubts:
            self._verdicts.unknown(one.rule)
        self._doubts.clear()

    def _part(self, one: _Doubt) -> None:
        self._verdicts.part(one.rule, one.event, one.kernel, one.engine, scan=one.scan)
        self._doubts.remove(one)


class SharingLimit:
    """max_page_sharing, which the kernel lets nobody write while pages are shared (EBUSY)."""

    def emptied(self) -> None:
        """No page is shared, or the stream is over."""

    def joined(self, _sharers: int, *, had_room: bool) -> Verdict:
        """A page joined a node of so many sharers."""
        return Verdict.AGREED if had_room else Verdict.PARTED

    def passed(self, _event: EventRow, _kernel: str, _sharers: int, *, had_room: bool) -> Verdict:
        """An equal page did not join a node of so many sharers; `_kernel` is that in words."""
        return Verdict.PARTED if had_room else Verdict.AGREED


class SmartScan:
    """Decisions to pass over a page.

    Attributes:
        orphans: frames that were KSM pages for a moment; whether smart scan saw that is not known.
    """

    def __init__(self, shadow: Shadow, verdicts: Verdicts, tunables: Tunables) -> None:
        self._shadow = shadow
        self._verdicts = verdicts
        self._tunables = tunables
        self.orphans: set[int] = set()

    def switched(self, ts: int) -> None:
        """A write of smart_scan began at `ts`: ages of pages that came since are not known."""
        for item in self._shadow.items.values():
            if item.came_ns >= ts:
                item.age_known = False

    def decide(self, item: ShadowItem, event: EventRow, *, skipped: bool, ksm_page: bool) -> None:
        """Judge one page that was passed over or examined; `ksm_page`: it is a KSM page."""
        values, rule = self._shadow.ksm.tunables, Rule.SMART_SCAN
        if "smart_scan" in self._shadow.ksm.variant.absent_tunables:
            if skipped:
                self._verdicts.part(rule, event, "passed over the page", "no smart scan at all")
            return
        item.came_ns = event.ts
        if self._tunables.before("smart_scan", event) not in (None, values["smart_scan"]):
            # The kernel reads the value a moment after it came to the page: the old one or the new.
            item.age_known = False
            self._verdicts.unknown(rule)
            return
        first = self._tunables.just_before("smart_scan") not in (None, values["smart_scan"])
        item.age_assumed |= first
        if first and skipped and not values["smart_scan"]:
            self._verdicts.unknown(rule)
            item.age_known = False
            return
        self._decide(item, event, skipped=skipped, ksm_page=ksm_page)

    def _decide(self, item: ShadowItem, event: EventRow, *, skipped: bool, ksm_page: bool) -> None:
        rule = Rule.SMART_SCAN
        if not self._shadow.ksm.tunables["smart_scan"]:
            if skipped:
                self.skipped_while_off(item, event)
            else:
                self._verdicts.agree(rule)
            return
        if event.pfn and event.pfn in self.orphans:
            item.age_known = False
        expected = self._shadow.would_skip(item, ksm_page=ksm_page)
        if not item.age_known or (item.age_assumed and expected != skipped):
            item.age_known = False
            self._verdicts.unknown(rule)
        elif expected == skipped:
            self._verdicts.agree(rule)
            if skipped:
                self.skipped_as_expected()
        else:
            item.age_known = False
            self.surprised(item, event, skipped=skipped)

    def skipped_while_off(self, item: ShadowItem, event: EventRow) -> None:
        """Passed over although smart_scan is off."""
        item.age_known = False
        kernel, engine = "passed over the page", "it to be examined, smart_scan being off"
        self._tunables.doubt("smart_scan", 1, Rule.SMART_SCAN, event, kernel, engine)

    def skipped_as_expected(self) -> None:
        """Passed over as the engine would have."""

    def surprised(self, item: ShadowItem, event: EventRow, *, skipped: bool) -> None:
        """Passed over or examined, and the engine would not have."""
        rule = Rule.SMART_SCAN
        if skipped:
            expected = f"it to be examined at age {item.age}"
            self._verdicts.part(rule, event, "passed over the page", expected)
        else:
            kernel, engine = "examined the page", "it to be passed over"
            self._tunables.doubt("smart_scan", 0, rule, event, kernel, engine)

    def end(self) -> None:
        """The stream is over."""


class ZeroPages:
    """use_zero_pages: which empty pages were tried with the zero page."""

    def __init__(self, shadow: Shadow, verdicts: Verdicts, tunables: Tunables) -> None:
        self._values = shadow.ksm.tunables
        self._verdicts = verdicts
        self._tunables = tunables

    def tried(self, event: EventRow, kernel: str, engine: str) -> None:
        """The candidate's empty page was tried; `kernel` and `engine` are both sides in words."""
        self._judge(event, 1, kernel, engine)

    def not_tried(self, event: EventRow) -> None:
        """It was not."""
        if self._values["use_zero_pages"] and not event.after:
            # Its mapping is gone, perhaps, which ends the call before.
            self._verdicts.unknown(Rule.ZERO_PAGE)
            return
        self._judge(event, 0, "did not try the zero page", "that first, use_zero_pages being on")

    def _judge(self, event: EventRow, done: int, kernel: str, engine: str) -> None:
        name, rule = "use_zero_pages", Rule.ZERO_PAGE
        before = self._tunables.before(name, event), self._tunables.just_before(name)
        if done in (self._values[name], *before):
            self._verdicts.agree(rule)
        else:
            self._tunables.doubt(name, done, rule, event, kernel, engine)
