"""Compares each decision of ksmd in a capture with what the reference engine would have decided."""

from __future__ import annotations

from typing import Any

from ksmtrace.conformance import tunables_inferred, tunables_recorded
from ksmtrace.conformance.candidates import Candidates
from ksmtrace.conformance.merges import Merges
from ksmtrace.conformance.removals import Removals
from ksmtrace.conformance.requirements import check_session
from ksmtrace.conformance.rules import Rule
from ksmtrace.conformance.scan_order import ScanOrder
from ksmtrace.conformance.shadow import Shadow
from ksmtrace.conformance.tunables_recorded import Tunables
from ksmtrace.conformance.verdicts import Difference, Verdicts, sentence
from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.engine.ksm.variant import Variant
from ksmtrace.engine.tunables_shadow import TunablesShadow
from ksmtrace.engine.variants import variant_of
from ksmtrace.events import EventBatch, EventKind, Flag, Gauge
from ksmtrace.events.row import EventRow, rows_of
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


class Comparison:
    """One comparison, fed with the capture's events.

    Some facts are the capture's, and taken as given: which pages there are, what they contain,
    whether a merge succeeds. What ksmd must do then, by its rules, is judged. After a difference
    the comparison goes on from the kernel's state.

    Args:
        session: of the capture.
        variant: to compare with another one than that of the capture's kernel.

    Attributes:
        variant: the engine's variant that the kernel is compared with.
        verdicts: the verdicts.

    Raises:
        KsmtraceError: the capture does not hold what decisions are made of.
    """

    def __init__(self, session: Session, variant: Variant | None = None) -> None:
        check_session(session)
        self.session = session
        self.variant = variant or variant_of(session.kernel.release, session.tunables)
        self.verdicts = Verdicts()
        self._next = 0
        self._written = TunablesShadow(self.variant, session.tunables)
        probe = session.probes.get(EventKind.TUNABLE)
        self._writes_recorded = probe is not None and probe.exactness is Exactness.EXACT
        self._forget(complete=False)

    def apply(self, batch: EventBatch) -> None:
        """Follow the events of `batch`."""
        writes = iter(tunable_writes(batch.events))
        for event in rows_of(batch, self._next):
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
        found = self.verdicts.differences
        return sentence(min(found, key=_position)) if found else None

    def to_json(self) -> dict[str, Any]:
        """The JSON document's key `engine`."""
        return {
            "variant": self.variant.name,
            **self.verdicts.to_json(),
            "tunables": self._values_now(),
        }

    def _forget(self, *, complete: bool) -> None:
        verdicts = self.verdicts
        self._shadow = Shadow(self.variant, complete=complete)
        self._shadow.ksm.tunables.update(self._written.values)
        self._tunables = Tunables(self._shadow, verdicts)
        self._removals = Removals(self._shadow, verdicts)
        self._order = ScanOrder(self._shadow, verdicts)
        by = tunables_recorded if self._writes_recorded else tunables_inferred
        self._limit = (
            tunables_recorded.SharingLimit()
            if self._writes_recorded
            else tunables_inferred.SharingLimit(self._shadow, verdicts)
        )
        self._smart = by.SmartScan(self._shadow, verdicts, self._tunables)
        merges = Merges(
            self._shadow,
            verdicts,
            self._removals,
            self._limit,
            self._smart,
            by.ZeroPages(self._shadow, verdicts, self._tunables),
            sees_replacing=self.session.sees(EventKind.REPLACE_PAGE),
        )
        self._candidates = Candidates(self._shadow, verdicts, self._removals, self._smart, merges)
        self._inside_call = not complete
        self._records: list[EventRow] = []
        self._skipped: EventRow | None = None
        self._reading: dict[int, int] = {}

    def _follow(self, event: EventRow) -> None:
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
            self._inside_call = False
            self._tunables.settle_before(self.verdicts.scan)
            (self._order.began if kind == EventKind.SCAN_START else self._order.ended)(event)
        elif kind == EventKind.SAMPLE:
            self._sampled(event)
        else:
            self._process(event)
        if not self._shadow.ksm.counters.pages_shared:
            self._limit.emptied()

    def _wrote(self, write: TunableWrite) -> None:
        if write.err:
            return
        if self._written.take(write) is None:
            self._lost()
        elif write.name in _FOLLOWED:
            value = self._written.values[write.name]
            if write.name == "smart_scan" and value != self._shadow.ksm.tunables["smart_scan"]:
                self._smart.switched(write.ts)
            self._tunables.wrote(write.name, value, write.ts)

    def _lost(self) -> None:
        """Start again after an unknown event; it may have been a write, so values are inferred."""
        self._smart.end()
        self._limit.emptied()
        self._tunables.forget()
        self._writes_recorded = False
        self._forget(complete=False)
        self.verdicts.scan = None

    def _values_now(self) -> dict[str, int]:
        """The tunables that this kernel has, as recorded or inferred."""
        absent = self.variant.absent_tunables
        values = self._shadow.ksm.tunables
        return {name: values[name] for name in _FOLLOWED if name not in absent}

    def _examined(self, event: EventRow) -> None:
        records, self._records = self._records, []
        if event.freed:
            self._removals.apply(records)
            self.verdicts.unknown(Rule.OUTCOME)
            return
        self._tunables.came_to(event)
        self._order.met(event)
        if self._inside_call:
            self._candidates.joined(event, records)
            self._inside_call = False
        else:
            self._candidates.examined(event, records)

    def _passed_over(self, event: EventRow) -> None:
        known = event.rmap_item in self._shadow.items
        item = self._shadow.item(event.rmap_item, event.mm, event.address)
        item.age_known = item.age_known and known
        self._tunables.came_to(event)
        self._order.met(event)
        self._smart.decide(item, event, skipped=True, ksm_page=False)
        self._skipped = event

    def _check_skipped(self, event: EventRow) -> None:
        # A page that is passed over leaves its tree before ksmd does anything else.
        assert self._skipped is not None, "asked for it"
        skipped = self._skipped
        if event.kind == EventKind.REMOVE_RMAP_ITEM and event.rmap_item == skipped.rmap_item:
            return
        self._skipped = None
        item = self._shadow.items.get(skipped.rmap_item)
        if item is not None and item.tree is not Tree.NEITHER:
            kernel = "passed over the page and left it in its tree"
            self.verdicts.part(Rule.REMOVAL, skipped, kernel, "it to be taken out")

    def _removed(self, event: EventRow) -> None:
        skipped, self._skipped = self._skipped, None
        if event.freed:
            self._flush()
            self._removals.freed(event)
            self._order.freed(event.rmap_item)
        elif skipped is not None and event.rmap_item == skipped.rmap_item:
            self._removals.removed(event, self._shadow.items[event.rmap_item])
        else:
            self._records.append(event)

    def _flush(self) -> None:
        """Records outside of any candidate: stable nodes that go otherwise."""
        for event in self._records:
            if event.kind == EventKind.REMOVE_STABLE_NODE:
                self._removals.node_removed(event)
            else:
                self.verdicts.unknown(Rule.ORDER)
                self._removals.apply([event])
        self._records.clear()

    def _process(self, event: EventRow) -> None:
        if event.kind == EventKind.MM_ENTER:
            self._shadow.entered.add(event.mm)
            self._order.entered(event.mm)
        elif event.kind == EventKind.MM_EXIT:
            self._shadow.entered.discard(event.mm)
        elif event.kind == EventKind.LOST:
            self._lost()

    def _sampled(self, event: EventRow) -> None:
        self._reading[event.address] = event.aux
        if not event.flags & Flag.LAST_OF_SAMPLE:
            return
        reading, self._reading = self._reading, {}
        if event.flags & Flag.AT_SCAN_STOP:
            self._compare(event, reading)
        elif event.number + 1 == len(
            reading
        ):  # the stream begins with it: nothing was merged before
            self._forget(complete=not any(reading.get(gauge) for gauge in _HELD))

    def _compare(self, event: EventRow, reading: dict[int, int]) -> None:
        counters = self._shadow.ksm.counters
        for gauge, name in _GAUGES.items():
            if gauge not in reading:
                continue
            ours = getattr(counters, name)
            if not self._shadow.complete:
                self.verdicts.unknown(Rule.GAUGES)
                continue
            self.verdicts.judge(
                Rule.GAUGES,
                event,
                f"counts {name} {reading[gauge]}",
                f"{ours}",
                agreed=ours == reading[gauge],
            )


def _position(difference: Difference) -> int:
    return difference.event
