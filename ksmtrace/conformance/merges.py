"""Judges attempts to merge: the second part of cmp_and_merge_page, for a page that has not changed.

Such a page is merged with the zero page, a KSM page, a partner of the unstable tree, or nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from ksmtrace.conformance.call import CallRecords, Mismatch
from ksmtrace.conformance.removals import Removals
from ksmtrace.conformance.rules import Rule
from ksmtrace.conformance.shadow import Shadow, ShadowItem, ShadowNode
from ksmtrace.conformance.tunables_recorded import SharingLimit, SmartScan, ZeroPages
from ksmtrace.conformance.verdicts import Verdict, Verdicts
from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.engine.ksm.stable_node import StableNode
from ksmtrace.events import EventKind, Flag
from ksmtrace.events.row import EventRow

_TRY = EventKind.TRY_TO_MERGE_ONE_PAGE


class Call(NamedTuple):
    """One call of cmp_and_merge_page.

    Attributes:
        event: its CMP_AND_MERGE_PAGE record, which closes `records`.
        records: the records of what it did.
        item: the rmap_item, in neither tree by now.
        former_node: the stable node that it was in when the stable tree was searched: up to 6.10
            it leaves that node after the search.
    """

    event: EventRow
    records: CallRecords
    item: ShadowItem
    former_node: StableNode | None


class Merges:
    """Judges attempts; that one fails, for locks and pins, is a fact of the capture."""

    def __init__(
        self,
        shadow: Shadow,
        verdicts: Verdicts,
        removals: Removals,
        limit: SharingLimit,
        smart: SmartScan,
        zero_pages: ZeroPages,
        *,
        sees_replacing: bool,
    ) -> None:
        self._shadow = shadow
        self._verdicts = verdicts
        self._removals = removals
        self._limit = limit
        self._smart = smart
        self._zero_pages = zero_pages
        self._sees_replacing = sees_replacing
        pool = shadow.ksm.memory.pool
        self._empty = pool.checksum(pool.zero)

    def follow(self, call: Call) -> None:
        """What came of the page.

        Raises:
            Mismatch: not what the engine would have done.
        """
        event, records, item, _ = call
        attempt = records.take(_TRY, item.key)
        if attempt is not None and attempt.flags & Flag.ZERO_PAGE:
            self._zero_page(event, attempt, records)
            if not attempt.err:
                return
            attempt = records.take(_TRY, item.key)
        elif event.checksum == self._empty and (attempt is None or not attempt.aux):
            self._zero_pages.not_tried(event)
        if attempt is None:
            self._no_merge(call)
        elif attempt.flags & Flag.HAS_KPAGE:
            self._join(call, attempt)
        else:
            self._pair(call, attempt)

    def _zero_page(self, event: EventRow, attempt: EventRow, records: CallRecords) -> None:
        kernel = f"tried the zero page for a page with checksum {event.checksum:#x}"
        engine = f"that for {self._empty:#x} alone, while use_zero_pages is on"
        absent = self._shadow.ksm.variant.absent_tunables
        if event.checksum == self._empty and "use_zero_pages" not in absent:
            self._zero_pages.tried(event, kernel, engine)
        else:
            self._verdicts.part(Rule.ZERO_PAGE, attempt, kernel, engine)
        if not attempt.err:
            self._verdicts.agree(Rule.CHECKSUM)
            if self._sees_replacing:
                records.expect(EventKind.REPLACE_PAGE, attempt.rmap_item, Rule.ZERO_PAGE)

    def _no_merge(self, call: Call) -> None:
        event = call.event
        if event.after != Flag.UNSTABLE_BEFORE:
            # Its mapping is gone, a page on the way is gone, a fork shares it, or a KSM page is
            # locked: nothing of that is in the capture.
            self._verdicts.unknown(Rule.CHECKSUM)
            return
        self._verdicts.agree(Rule.CHECKSUM)
        self.passed_stable_tree(call)
        if self._shadow.unstable_tree_had(event.checksum):
            self._verdicts.unknown(Rule.UNSTABLE_SEARCH)
        else:
            self._verdicts.agree(Rule.UNSTABLE_SEARCH)
        self._shadow.insert(call.item)

    def _join(self, call: Call, attempt: EventRow) -> None:
        _, records, item, _ = call
        self._verdicts.agree(Rule.CHECKSUM)
        if attempt.err:
            return
        if self._sees_replacing and not attempt.same_page:
            records.expect(EventKind.REPLACE_PAGE, item.key, Rule.ORDER)
        append = records.expect(EventKind.STABLE_APPEND, item.key, Rule.APPEND)
        node = self._shadow.node(append.aux or append.pfn, append.pfn, new=False)
        if attempt.aux and append.pfn and attempt.aux != append.pfn:
            kernel = f"appended it to the node of page frame {append.pfn:#x}"
            raise Mismatch(Rule.APPEND, append, kernel, f"the node of {attempt.aux:#x}")
        if not node.complete:
            self._verdicts.unknown(Rule.STABLE_SEARCH)
        elif attempt.same_page:
            self._verdicts.agree(Rule.STABLE_SEARCH)
        else:
            self._judge_joined(call, append, node)
        self._append(append, item, node)

    def _judge_joined(self, call: Call, append: EventRow, node: ShadowNode) -> None:
        sharers, had_room = self._room(call, node)
        verdict = self._limit.joined(sharers, had_room=had_room)
        if verdict is Verdict.PARTED:
            self._verdicts.part(
                Rule.SHARING_LIMIT,
                append,
                f"let it join a node of {sharers} sharers",
                f"room for {self._shadow.ksm.tunables['max_page_sharing']} at most, "
                "and none without sharers",
            )
        else:
            self._count(Rule.SHARING_LIMIT, verdict)
        if self._shadow.ksm.variant.checks_before_stable_tree and not call.event.checksum:
            done = "merged a page that it had never looked at"
            raise Mismatch(Rule.CHECKSUM, append, done, "its checksum to be noted first")
        # Up to 6.10 the checksum is that of the pass before, and may differ for a page that joined.
        if node.checksum == call.event.checksum:
            self._verdicts.agree(Rule.STABLE_SEARCH)
        else:
            self._verdicts.unknown(Rule.STABLE_SEARCH)

    def _pair(self, call: Call, attempt: EventRow) -> None:
        _, records, item, _ = call
        self._verdicts.agree(Rule.CHECKSUM)
        self.passed_stable_tree(call)
        if attempt.err:
            return
        second = records.take(_TRY)
        if second is None:  # the partner's mapping is gone
            records.expect(EventKind.BREAK_COW, item.key, Rule.TWO_HALVES)
            self._undone(attempt)
            return
        partner = self._partner(attempt, second, item)
        if second.err:
            records.expect(EventKind.BREAK_COW, item.key, Rule.TWO_HALVES)
            self._undone(attempt)
            return
        if self._sees_replacing:
            records.expect(EventKind.REPLACE_PAGE, partner.key, Rule.TWO_HALVES)
        if partner.tree is not Tree.NEITHER:
            removal = records.expect(EventKind.REMOVE_RMAP_ITEM, partner.key, Rule.TWO_HALVES)
            self._removals.removed(removal, partner)
        self._verdicts.agree(Rule.TWO_HALVES)
        self._removals.take_nodes(records)
        if records.take(EventKind.BREAK_COW, partner.key):  # no memory for a stable node
            records.expect(EventKind.BREAK_COW, item.key, Rule.TWO_HALVES)
            return
        self._new_node(call, partner)

    def _partner(self, attempt: EventRow, second: EventRow, item: ShadowItem) -> ShadowItem:
        if attempt.pfn and second.aux and second.aux != attempt.pfn:
            kernel = f"gave the partner page frame {second.aux:#x}"
            raise Mismatch(Rule.TWO_HALVES, second, kernel, f"the scanned page, {attempt.pfn:#x}")
        partner = self._shadow.item(second.rmap_item, second.mm, second.address)
        if self._shadow.is_in_unstable_tree(partner):
            self._verdicts.agree(Rule.UNSTABLE_SEARCH)
        elif partner.known:
            done = f"took rmap_item {partner.key:#x} for a partner"
            expected = "one that joined the unstable tree in this pass"
            self._verdicts.part(Rule.UNSTABLE_SEARCH, second, done, expected)
        else:
            self._verdicts.unknown(Rule.UNSTABLE_SEARCH)
            self._shadow.insert(partner)
        if partner is item:
            raise Mismatch(Rule.TWO_HALVES, second, "merged the page with itself", "a partner")
        return partner

    def _undone(self, attempt: EventRow) -> None:
        # The page that was made a KSM page may live on in a forked process, without a stable node.
        self._smart.orphans.add(attempt.pfn)
        self._verdicts.agree(Rule.TWO_HALVES)

    def _new_node(self, call: Call, partner: ShadowItem) -> None:
        event, records, item, _ = call
        first = records.expect(EventKind.STABLE_APPEND, partner.key, Rule.APPEND)
        key = first.aux or first.pfn
        if (old := self._shadow.nodes.get(key)) is not None and not self._shadow.complete:
            self._shadow.remove_node(old)  # its removal was before our time
        node = self._shadow.node(key, first.pfn, new=True)
        self._append(first, partner, node)
        second = records.expect(EventKind.STABLE_APPEND, item.key, Rule.APPEND)
        if (second.aux or second.pfn) != key:
            kernel = f"appended it to node {second.aux:#x}"
            raise Mismatch(Rule.APPEND, second, kernel, f"the node of its partner, {key:#x}")
        self._append(second, item, node)
        self._shadow.learn_checksum(node, event.checksum)

    def _append(self, event: EventRow, item: ShadowItem, node: ShadowNode) -> None:
        new = bool(event.flags & Flag.NEW_NODE)
        if not node.complete:
            self._verdicts.unknown(Rule.APPEND)
        else:
            self._verdicts.judge(
                Rule.APPEND,
                event,
                f"called node {node.key:#x} {'new' if new else 'old'}",
                f"one with {len(node.items)} rmap_items",
                agreed=new == (not node.items),
            )
        self._shadow.append(item, node)

    def _room(self, call: Call, node: ShadowNode) -> tuple[int, bool]:
        return self._shadow.room(node, call.item if node is call.former_node else None)

    def passed_stable_tree(self, call: Call) -> None:
        """The page found no KSM page: there may be none with its checksum that has room.

        Raises:
            Mismatch: there is one.
        """
        event = call.event
        equals = self._shadow.equals(event.checksum)
        if equals and not self._shadow.ksm.tunables["merge_across_nodes"]:
            self._verdicts.unknown(Rule.STABLE_SEARCH)
            return
        for node in equals:
            sharers, had_room = self._room(call, node)
            if not node.complete or not (sharers or had_room):
                continue
            kernel = (
                f"passed over node {node.key:#x} of {sharers} sharers, whose page has its checksum"
            )
            verdict = Verdict.PARTED
            if self._shadow.ksm.variant.chains:
                verdict = self._limit.passed(event, kernel, sharers, had_room=had_room)
            if verdict is Verdict.PARTED:
                raise Mismatch(Rule.STABLE_SEARCH, event, kernel, "it to join that node")
            if verdict is Verdict.AGREED:
                self._verdicts.agree(Rule.SHARING_LIMIT)
        self._verdicts.agree(Rule.STABLE_SEARCH)

    def _count(self, rule: Rule, verdict: Verdict) -> None:
        if verdict is Verdict.AGREED:
            self._verdicts.agree(rule)
        else:
            self._verdicts.unknown(rule)
