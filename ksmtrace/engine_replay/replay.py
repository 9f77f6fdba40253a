"""Follows a capture with the reference engine, and holds each decision of the kernel's ksmd against the engine's."""

from __future__ import annotations

from typing import Any

from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.engine.ksm.variant import Variant
from ksmtrace.engine.tunables_shadow import TunablesShadow
from ksmtrace.engine.variants import variant_of
from ksmtrace.engine_replay import beliefs, told
from ksmtrace.engine_replay.account import Account, Difference, sentence
from ksmtrace.engine_replay.candidate import Candidates
from ksmtrace.engine_replay.event import Event, events_of
from ksmtrace.engine_replay.merges import Merges
from ksmtrace.engine_replay.mirror import Mirror
from ksmtrace.engine_replay.removals import Removals
from ksmtrace.engine_replay.requirements import check_session
from ksmtrace.engine_replay.rules import Rule
from ksmtrace.engine_replay.scan_order import ScanOrder
from ksmtrace.engine_replay.told import Tunables
from ksmtrace.events import EventBatch, EventKind, Flag, Gauge
from ksmtrace.events.tunable import TunableWrite, tunable_writes
from ksmtrace.session import Exactness, Session

_GAUGES = {
    Gauge.PAGES_SHARED: "pages_shared",
    Gauge.PAGES_SHARING: "pages_sharing",
    Gauge.PAGES_UNSHARED: "pages_unshared",
    Gauge.RMAP_ITEMS: "rmap_items",
}
_HELD = (*_GAUGES, Gauge.PAGES_VOLATILE)
_FOLLOWED = ("max_page_sharing", "merge_across_nodes", "smart_scan", "use_zero_pages")
_OF_A_CALL = frozenset(
    {
        EventKind.TRY_TO_MERGE_ONE_PAGE,
        EventKind.REPLACE_PAGE,
        EventKind.BREAK_COW,
        EventKind.STABLE_APPEND,
        EventKind.REMOVE_STABLE_NODE,
    }
)
_OF_KSMD = _OF_A_CALL | {
    EventKind.CMP_AND_MERGE_PAGE,
    EventKind.REMOVE_RMAP_ITEM,
    EventKind.SKIPPED,
    EventKind.SCAN_START,
    EventKind.SCAN_STOP,
}


class EngineReplay:
    """One comparison.

    What the capture cannot tell is taken from it as given: which pages there are, what they contain, whether a merge
    succeeds. What follows from that by the rules of ksmd is judged. After a difference the kernel's state counts.

    Args:
        session: of the capture.
        variant: to compare with another one than that of the capture's kernel.

    Attributes:
        variant: the engine's variant that the kernel is compared with.
        account: the verdicts.

    Raises:
        KsmtraceError: the capture does not hold what decisions are made of.
    """

    def __init__(self, session: Session, variant: Variant | None = None) -> None:
        check_session(session)
        self.session = session
        self.variant = variant or variant_of(session.kernel.release, session.tunables)
        self.account = Account()
        self._next = 0
        self._written = TunablesShadow(self.variant, session.tunables)
        probe = session.probes.get(EventKind.TUNABLE)
        self._told = probe is not None and probe.exactness is Exactness.EXACT
        self._forget(in_view=False)

    def apply(self, batch: EventBatch) -> None:
        """Follow the events of `batch`."""
        writes = iter(tunable_writes(batch.events))
        for event in events_of(batch, self._next):
            if event.kind == EventKind.TUNABLE:
                self._wrote(next(writes))
            else:
                self._follow(event)
        self._next += len(batch)

    def end(self) -> None:
        """The stream is over."""
        self._smart.end()
        self._limit.emptied()
        self._tunables.end()

    @property
    def first_difference(self) -> str | None:
        """The first difference in a sentence."""
        found = self.account.differences
        return sentence(min(found, key=_position)) if found else None

    def to_json(self) -> dict[str, Any]:
        """The JSON document's key `engine`."""
        return {
            "variant": self.variant.name,
            **self.account.to_json(),
            "tunables": self._values_now(),
        }

    def _forget(self, *, in_view: bool) -> None:
        account = self.account
        self._mirror = Mirror(self.variant, in_view=in_view)
        self._mirror.ksm.tunables.update(self._written.values)
        self._tunables = Tunables(self._mirror, account)
        self._removals = Removals(self._mirror, account)
        self._order = ScanOrder(self._mirror, account)
        by = told if self._told else beliefs
        self._limit = (
            told.SharingLimit() if self._told else beliefs.SharingLimit(self._mirror, account)
        )
        self._smart = by.SmartScan(self._mirror, account, self._tunables)
        merges = Merges(
            self._mirror,
            account,
            self._removals,
            self._limit,
            self._smart,
            by.ZeroPages(self._mirror, account, self._tunables),
            sees_replacing=self.session.sees(EventKind.REPLACE_PAGE),
        )
        self._candidates = Candidates(self._mirror, account, self._removals, self._smart, merges)
        self._amid_call = not in_view
        self._records: list[Event] = []
        self._skipped: Event | None = None
        self._reading: dict[int, int] = {}

    def _follow(self, event: Event) -> None:
        kind = event.kind
        if self._skipped is not None and kind in _OF_KSMD:
            self._check_skipped(event)
        if kind == EventKind.CMP_AND_MERGE_PAGE:
            self._examined(event)
        elif kind in _OF_A_CALL:
            self._records.append(event)
            return
        elif kind == EventKind.REMOVE_RMAP_ITEM:
            self._removed(event)
        elif kind == EventKind.SKIPPED:
            self._flush()
            self._passed_over(event)
        elif kind in (EventKind.SCAN_START, EventKind.SCAN_STOP):
            self._flush()
            self._amid_call = False
            self._tunables.settle_before(self.account.scan)
            (self._order.began if kind == EventKind.SCAN_START else self._order.ended)(event)
        elif kind == EventKind.SAMPLE:
            self._sampled(event)
        else:
            self._process(event)
        if not self._mirror.ksm.counters.pages_shared:
            self._limit.emptied()

    def _wrote(self, write: TunableWrite) -> None:
        if write.err:
            return
        if self._written.take(write) is None:
            self._lost()
        elif write.name in _FOLLOWED:
            value = self._written.values[write.name]
            if write.name == "smart_scan" and value != self._mirror.ksm.tunables["smart_scan"]:
                self._smart.switched(write.ts)
            self._tunables.wrote(write.name, value, write.ts)

    def _lost(self) -> None:
        """Something happened that is not known: begin anew. It may have been a write, so values are guessed from here on."""
        self._smart.end()
        self._limit.emptied()
        self._tunables.forget()
        self._told = False
        self._forget(in_view=False)
        self.account.scan = None

    def _values_now(self) -> dict[str, int]:
        """The tunables that are known or believed in, those that this kernel has."""
        absent = self.variant.absent_tunables
        values = self._mirror.ksm.tunables
        return {name: values[name] for name in _FOLLOWED if name not in absent}

    def _examined(self, event: Event) -> None:
        records, self._records = self._records, []
        if event.freed:
            self._removals.apply(records)
            self.account.unknown(Rule.OUTCOME)
            return
        self._tunables.came_to(event)
        self._order.met(event)
        if self._amid_call:
            self._candidates.joined(event, records)
            self._amid_call = False
        else:
            self._candidates.examined(event, records)

    def _passed_over(self, event: Event) -> None:
        known = event.rmap_item in self._mirror.items
        item = self._mirror.item(event.rmap_item, event.mm, event.address)
        item.age_known = item.age_known and known
        self._tunables.came_to(event)
        self._order.met(event)
        self._smart.decide(item, event, skipped=True, ksm_page=False)
        self._skipped = event

    def _check_skipped(self, event: Event) -> None:
        # A page that is passed over leaves its tree before ksmd does anything else.
        assert self._skipped is not None, "asked for it"
        skipped = self._skipped
        if event.kind == EventKind.REMOVE_RMAP_ITEM and event.rmap_item == skipped.rmap_item:
            return
        self._skipped = None
        item = self._mirror.items.get(skipped.rmap_item)
        if item is not None and item.tree is not Tree.NEITHER:
            kernel = "passed over the page and left it in its tree"
            self.account.part(Rule.REMOVAL, skipped, kernel, "it to be taken out")

    def _removed(self, event: Event) -> None:
        skipped, self._skipped = self._skipped, None
        if event.freed:
            self._flush()
            self._removals.freed(event)
            self._order.freed(event.rmap_item)
        elif skipped is not None and event.rmap_item == skipped.rmap_item:
            self._removals.removed(event, self._mirror.items[event.rmap_item])
        else:
            self._records.append(event)

    def _flush(self) -> None:
        """Records outside of any candidate: stable nodes that go otherwise."""
        for event in self._records:
            if event.kind == EventKind.REMOVE_STABLE_NODE:
                self._removals.node_removed(event)
            else:
                self.account.unknown(Rule.ORDER)
                self._removals.apply([event])
        self._records.clear()

    def _process(self, event: Event) -> None:
        if event.kind == EventKind.MM_ENTER:
            self._mirror.entered.add(event.mm)
            self._order.entered(event.mm)
        elif event.kind == EventKind.MM_EXIT:
            self._mirror.entered.discard(event.mm)
        elif event.kind == EventKind.LOST:
            self._lost()

    def _sampled(self, event: Event) -> None:
        self._reading[event.address] = event.aux
        if not event.flags & Flag.LAST_OF_SAMPLE:
            return
        reading, self._reading = self._reading, {}
        if event.flags & Flag.AT_SCAN_STOP:
            self._compare(event, reading)
        elif event.number + 1 == len(
            reading
        ):  # the stream begins with it: nothing was merged before
            self._forget(in_view=not any(reading.get(gauge) for gauge in _HELD))

    def _compare(self, event: Event, reading: dict[int, int]) -> None:
        counters = self._mirror.ksm.counters
        for gauge, name in _GAUGES.items():
            if gauge not in reading:
                continue
            ours = getattr(counters, name)
            if not self._mirror.in_view:
                self.account.unknown(Rule.GAUGES)
                continue
            self.account.judge(
                Rule.GAUGES,
                event,
                f"counts {name} {reading[gauge]}",
                f"{ours}",
                agreed=ours == reading[gauge],
            )


def _position(difference: Difference) -> int:
    return difference.event
