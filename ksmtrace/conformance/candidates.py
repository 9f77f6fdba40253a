"""Judges calls of cmp_and_merge_page: each record of a call against what the engine would do."""

from __future__ import annotations

from ksmtrace.conformance.call import CallRecords, Mismatch
from ksmtrace.conformance.merges import Call, Merges
from ksmtrace.conformance.removals import Removals
from ksmtrace.conformance.rules import Rule
from ksmtrace.conformance.shadow import TREES, Shadow, ShadowItem
from ksmtrace.conformance.tunables_recorded import SmartScan
from ksmtrace.conformance.verdicts import Verdicts
from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.events import EventKind, Flag
from ksmtrace.events.row import EventRow

_NAMES = {
    Tree.NEITHER: "neither tree",
    Tree.UNSTABLE: "the unstable tree",
    Tree.STABLE: "the stable tree",
}


class Candidates:
    """Judges each candidate: a page that ksmd examines.

    Args:
        shadow: ksmd's state; after a mismatch it is the kernel's.
        verdicts: counts what agrees and what does not.
        removals: rmap_items and nodes that leave.
        smart: decisions of smart scan.
        merges: attempts to merge.
    """

    def __init__(
        self,
        shadow: Shadow,
        verdicts: Verdicts,
        removals: Removals,
        smart: SmartScan,
        merges: Merges,
    ) -> None:
        self._shadow = shadow
        self._verdicts = verdicts
        self._removals = removals
        self._smart = smart
        self._merges = merges

    def examined(self, event: EventRow, rows: list[EventRow]) -> None:
        """CMP_AND_MERGE_PAGE, and the records of what the call did."""
        item = self._shadow.item(event.rmap_item, event.mm, event.address)
        records = CallRecords(rows, event)
        self._check_state(event, records, item)
        own = [one for one in records.rest() if one.rmap_item == event.rmap_item]
        settled = not records.rest() and event.before == event.after == Flag.STABLE_BEFORE
        same_page = any(
            one.kind == EventKind.TRY_TO_MERGE_ONE_PAGE and one.same_page for one in own
        )
        self._smart.decide(item, event, skipped=False, ksm_page=settled or same_page)
        if settled:
            self._settled(event, item)
            return
        try:
            self._follow(event, records, item)
        except Mismatch as found:
            self._verdicts.part(found.rule, found.event, found.kernel, found.engine)
            self._removals.apply(records.rest())
            self._adopt(event, item)

    def joined(self, event: EventRow, rows: list[EventRow]) -> None:
        """The same for a call that began before the stream: no verdict, only its outcome."""
        self._removals.apply(rows)
        item = self._shadow.item(event.rmap_item, event.mm, event.address)
        item.known, item.age_known = True, False
        self._adopt(event, item)
        self._verdicts.unknown(Rule.ORDER)

    def _check_state(self, event: EventRow, records: CallRecords, item: ShadowItem) -> None:
        # A stable node without its page lets go of the item, before or after the call began.
        first = item.tree
        self._removals.take_nodes(records)
        was = TREES.get(event.before)
        agreed = was in (first, item.tree) and event.oldchecksum == item.oldchecksum
        if not item.known:
            self._verdicts.unknown(Rule.STATE)
            item.known = True
        elif not agreed:
            found = _NAMES[was] if was is not None else "both trees"
            self._verdicts.part(
                Rule.STATE,
                event,
                f"found it in {found} with checksum {event.oldchecksum:#x}",
                f"it in {_NAMES[item.tree]} with {item.oldchecksum:#x}",
            )
        else:
            self._verdicts.agree(Rule.STATE)
        if not agreed:
            removal = records.peek()
            node = removal.aux if removal.kind == EventKind.REMOVE_RMAP_ITEM else event.aux
            item.oldchecksum = event.oldchecksum
            self._put(item, event.before, node, in_this_pass=False)

    def _settled(self, event: EventRow, item: ShadowItem) -> None:
        self._verdicts.judge(
            Rule.SETTLED,
            event,
            f"left it in node {event.aux:#x} with checksum {event.checksum:#x}",
            f"node {item.head.key:#x} with {item.oldchecksum:#x}" if item.head else "no such node",
            agreed=item.head is not None
            and event.aux == item.head.key
            and event.checksum == item.oldchecksum,
        )

    def _follow(self, event: EventRow, records: CallRecords, item: ShadowItem) -> None:
        early = self._shadow.ksm.variant.checks_before_stable_tree
        former_node = None if early else item.head
        if item.tree is not Tree.NEITHER:
            removal = records.expect(EventKind.REMOVE_RMAP_ITEM, item.key, Rule.ORDER)
            self._removals.removed(removal, item)
            self._removals.take_nodes(records)
        call = Call(event, records, item, former_node)
        if event.checksum != event.oldchecksum:
            self._changed(event, records)
            if not early:
                self._merges.passed_stable_tree(call)
            item.oldchecksum = event.checksum
        else:
            self._merges.follow(call)
        records.check_end()
        self._verdicts.agree(Rule.ORDER)
        self._check_outcome(event, item)

    def _changed(self, event: EventRow, records: CallRecords) -> None:
        attempt = records.peek()
        if attempt is not event:
            done = f"went on to {attempt.in_words()} although its checksum had changed"
            raise Mismatch(Rule.CHECKSUM, attempt, done, "the page to be left alone")
        if event.after:
            tree = _NAMES[TREES.get(event.after, Tree.STABLE)]
            done = f"put it into {tree} although its checksum had changed"
            raise Mismatch(
                Rule.CHECKSUM, event, done, "it to be in neither tree until the next pass"
            )
        self._verdicts.agree(Rule.CHECKSUM)

    def _check_outcome(self, event: EventRow, item: ShadowItem) -> None:
        ended = TREES.get(event.after)
        node = item.head.key if item.head is not None else event.aux
        if ended is item.tree and node == event.aux:
            self._verdicts.agree(Rule.OUTCOME)
            return
        found = _NAMES[ended] if ended is not None else "both trees"
        in_node = f", node {event.aux:#x}" if event.aux else ""
        expected = f"{_NAMES[item.tree]}" + (f", node {item.head.key:#x}" if item.head else "")
        raise Mismatch(Rule.OUTCOME, event, f"left it in {found}{in_node}", expected)

    def _adopt(self, event: EventRow, item: ShadowItem) -> None:
        """From here on what the kernel has counts."""
        item.oldchecksum = event.checksum
        self._put(item, event.after, event.aux, in_this_pass=True)

    def _put(self, item: ShadowItem, tree: int, node: int, *, in_this_pass: bool) -> None:
        if TREES.get(tree) is item.tree and (item.head is None or item.head.key == node):
            return
        self._shadow.leave(item)
        if tree == Flag.UNSTABLE_BEFORE:
            self._shadow.insert(item, in_this_pass=in_this_pass)
        elif tree and node:
            self._shadow.append(item, self._shadow.node(node, 0, new=False))
