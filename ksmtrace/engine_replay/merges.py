"""The second part of cmp_and_merge_page, for a page that has not changed: the zero page, a KSM page, a partner, or none."""

from __future__ import annotations

from typing import NamedTuple

from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.engine.ksm.stable_node import StableNode
from ksmtrace.engine_replay.account import Account
from ksmtrace.engine_replay.body import Body, Parted
from ksmtrace.engine_replay.event import Event
from ksmtrace.engine_replay.mirror import Mirror, SeenItem, SeenNode
from ksmtrace.engine_replay.removals import Removals
from ksmtrace.engine_replay.rules import Rule
from ksmtrace.engine_replay.told import SharingLimit, SmartScan, Verdict, ZeroPages
from ksmtrace.events import EventKind, Flag

_TRY = EventKind.TRY_TO_MERGE_ONE_PAGE


class Call(NamedTuple):
    """One call of cmp_and_merge_page.

    Attributes:
        event: its CMP_AND_MERGE_PAGE record, which closes `body`.
        body: the records of what it did.
        item: the rmap_item, in neither tree by now.
        stood_in: the stable node that it still stood in when the stable tree was searched: up to 6.10 it leaves after that.
    """

    event: Event
    body: Body
    item: SeenItem
    stood_in: StableNode | None


class Merges:
    """Judges attempts; whether one succeeds depends on locks and pins, and is taken from the capture."""

    def __init__(
        self,
        mirror: Mirror,
        account: Account,
        removals: Removals,
        limit: SharingLimit,
        smart: SmartScan,
        zero_pages: ZeroPages,
        *,
        sees_replacing: bool,
    ) -> None:
        self._mirror = mirror
        self._account = account
        self._removals = removals
        self._limit = limit
        self._smart = smart
        self._zero_pages = zero_pages
        self._sees_replacing = sees_replacing
        pool = mirror.ksm.memory.pool
        self._empty = pool.checksum(pool.zero)

    def follow(self, call: Call) -> None:
        """What came of the page.

        Raises:
            Parted: not what the engine would have done.
        """
        event, body, item, _ = call
        attempt = body.take(_TRY, item.key)
        if attempt is not None and attempt.flags & Flag.ZERO_PAGE:
            self._zero_page(event, attempt, body)
            if not attempt.err:
                return
            attempt = body.take(_TRY, item.key)
        elif event.checksum == self._empty and (attempt is None or not attempt.aux):
            self._zero_pages.not_tried(event)
        if attempt is None:
            self._no_merge(call)
        elif attempt.flags & Flag.HAS_KPAGE:
            self._join(call, attempt)
        else:
            self._pair(call, attempt)

    def _zero_page(self, event: Event, attempt: Event, body: Body) -> None:
        kernel = f"tried the zero page for a page with checksum {event.checksum:#x}"
        engine = f"that for {self._empty:#x} alone, while use_zero_pages is on"
        absent = self._mirror.ksm.variant.absent_tunables
        if event.checksum == self._empty and "use_zero_pages" not in absent:
            self._zero_pages.tried(event, kernel, engine)
        else:
            self._account.part(Rule.ZERO_PAGE, attempt, kernel, engine)
        if not attempt.err:
            self._account.agree(Rule.CHECKSUM)
            if self._sees_replacing:
                body.expect(EventKind.REPLACE_PAGE, attempt.rmap_item, Rule.ZERO_PAGE)

    def _no_merge(self, call: Call) -> None:
        event = call.event
        if event.after != Flag.UNSTABLE_BEFORE:
            # Its mapping or a page on the way gone, shared by a fork, or a KSM page locked: all outside the capture.
            self._account.unknown(Rule.CHECKSUM)
            return
        self._account.agree(Rule.CHECKSUM)
        self.passed_stable_tree(call)
        if self._mirror.unstable_tree_had(event.checksum):
            self._account.unknown(Rule.UNSTABLE_SEARCH)
        else:
            self._account.agree(Rule.UNSTABLE_SEARCH)
        self._mirror.insert(call.item)

    def _join(self, call: Call, attempt: Event) -> None:
        _, body, item, _ = call
        self._account.agree(Rule.CHECKSUM)
        if attempt.err:
            return
        if self._sees_replacing and not attempt.same_page:
            body.expect(EventKind.REPLACE_PAGE, item.key, Rule.ORDER)
        append = body.expect(EventKind.STABLE_APPEND, item.key, Rule.APPEND)
        node = self._mirror.node(append.aux or append.pfn, append.pfn, new=False)
        if attempt.aux and append.pfn and attempt.aux != append.pfn:
            kernel = f"appended it to the node of page frame {append.pfn:#x}"
            raise Parted(Rule.APPEND, append, kernel, f"the node of {attempt.aux:#x}")
        if not node.in_view:
            self._account.unknown(Rule.STABLE_SEARCH)
        elif attempt.same_page:
            self._account.agree(Rule.STABLE_SEARCH)
        else:
            self._judge_joined(call, append, node)
        self._append(append, item, node)

    def _judge_joined(self, call: Call, append: Event, node: SeenNode) -> None:
        sharers, had_room = self._room(call, node)
        verdict = self._limit.joined(sharers, had_room=had_room)
        if verdict is Verdict.PARTED:
            self._account.part(
                Rule.SHARING_LIMIT,
                append,
                f"let it join a node of {sharers} sharers",
                f"room for {self._mirror.ksm.tunables['max_page_sharing']} at most, and none without sharers",
            )
        else:
            self._count(Rule.SHARING_LIMIT, verdict)
        if self._mirror.ksm.variant.checks_before_stable_tree and not call.event.checksum:
            done = "merged a page that it had never looked at"
            raise Parted(Rule.CHECKSUM, append, done, "its checksum to be noted first")
        # Up to 6.10 the checksum is of the look before, and says nothing of a page that joined.
        if node.checksum == call.event.checksum:
            self._account.agree(Rule.STABLE_SEARCH)
        else:
            self._account.unknown(Rule.STABLE_SEARCH)

    def _pair(self, call: Call, attempt: Event) -> None:
        _, body, item, _ = call
        self._account.agree(Rule.CHECKSUM)
        self.passed_stable_tree(call)
        if attempt.err:
            return
        second = body.take(_TRY)
        if second is None:  # the partner's mapping is gone
            body.expect(EventKind.BREAK_COW, item.key, Rule.TWO_HALVES)
            self._undone(attempt)
            return
        partner = self._partner(attempt, second, item)
        if second.err:
            body.expect(EventKind.BREAK_COW, item.key, Rule.TWO_HALVES)
            self._undone(attempt)
            return
        if self._sees_replacing:
            body.expect(EventKind.REPLACE_PAGE, partner.key, Rule.TWO_HALVES)
        if partner.tree is not Tree.NEITHER:
            removal = body.expect(EventKind.REMOVE_RMAP_ITEM, partner.key, Rule.TWO_HALVES)
            self._removals.removed(removal, partner)
        self._account.agree(Rule.TWO_HALVES)
        self._removals.take_nodes(body)
        if body.take(EventKind.BREAK_COW, partner.key):  # no memory for a stable node
            body.expect(EventKind.BREAK_COW, item.key, Rule.TWO_HALVES)
            return
        self._new_node(call, partner)

    def _partner(self, attempt: Event, second: Event, item: SeenItem) -> SeenItem:
        if attempt.pfn and second.aux and second.aux != attempt.pfn:
            kernel = f"gave the partner page frame {second.aux:#x}"
            raise Parted(Rule.TWO_HALVES, second, kernel, f"the scanned page, {attempt.pfn:#x}")
        partner = self._mirror.item(second.rmap_item, second.mm, second.address)
        if self._mirror.is_in_unstable_tree(partner):
            self._account.agree(Rule.UNSTABLE_SEARCH)
        elif partner.known:
            done = f"took rmap_item {partner.key:#x} for a partner"
            expected = "one that joined the unstable tree in this pass"
            self._account.part(Rule.UNSTABLE_SEARCH, second, done, expected)
        else:
            self._account.unknown(Rule.UNSTABLE_SEARCH)
            self._mirror.insert(partner)
        if partner is item:
            raise Parted(Rule.TWO_HALVES, second, "merged the page with itself", "a partner")
        return partner

    def _undone(self, attempt: Event) -> None:
        # The page that was made a KSM page may live on in a forked process, without a stable node.
        self._smart.orphans.add(attempt.pfn)
        self._account.agree(Rule.TWO_HALVES)

    def _new_node(self, call: Call, partner: SeenItem) -> None:
        event, body, item, _ = call
        first = body.expect(EventKind.STABLE_APPEND, partner.key, Rule.APPEND)
        key = first.aux or first.pfn
        if (old := self._mirror.nodes.get(key)) is not None and not self._mirror.in_view:
            self._mirror.remove_node(old)  # its removal was before our time
        node = self._mirror.node(key, first.pfn, new=True)
        self._append(first, partner, node)
        second = body.expect(EventKind.STABLE_APPEND, item.key, Rule.APPEND)
        if (second.aux or second.pfn) != key:
            kernel = f"appended it to node {second.aux:#x}"
            raise Parted(Rule.APPEND, second, kernel, f"the node of its partner, {key:#x}")
        self._append(second, item, node)
        self._mirror.learn_checksum(node, event.checksum)

    def _append(self, event: Event, item: SeenItem, node: SeenNode) -> None:
        new = bool(event.flags & Flag.NEW_NODE)
        if not node.in_view:
            self._account.unknown(Rule.APPEND)
        else:
            self._account.judge(
                Rule.APPEND,
                event,
                f"called node {node.key:#x} {'new' if new else 'old'}",
                f"one with {len(node.items)} rmap_items",
                agreed=new == (not node.items),
            )
        self._mirror.append(item, node)

    def _room(self, call: Call, node: SeenNode) -> tuple[int, bool]:
        return self._mirror.room(node, call.item if node is call.stood_in else None)

    def passed_stable_tree(self, call: Call) -> None:
        """The page found no KSM page: there may be none with its checksum that has room.

        Raises:
            Parted: there is one.
        """
        event = call.event
        equals = self._mirror.equals(event.checksum)
        if equals and not self._mirror.ksm.tunables["merge_across_nodes"]:
            self._account.unknown(Rule.STABLE_SEARCH)
            return
        for node in equals:
            sharers, had_room = self._room(call, node)
            if not node.in_view or not (sharers or had_room):
                continue
            kernel = (
                f"passed over node {node.key:#x} of {sharers} sharers, whose page has its checksum"
            )
            verdict = Verdict.PARTED
            if self._mirror.ksm.variant.chains:
                verdict = self._limit.passed(event, kernel, sharers, had_room=had_room)
            if verdict is Verdict.PARTED:
                raise Parted(Rule.STABLE_SEARCH, event, kernel, "it to join that node")
            if verdict is Verdict.AGREED:
                self._account.agree(Rule.SHARING_LIMIT)
        self._account.agree(Rule.STABLE_SEARCH)

    def _count(self, rule: Rule, verdict: Verdict) -> None:
        if verdict is Verdict.AGREED:
            self._account.agree(rule)
        else:
            self._account.unknown(rule)
