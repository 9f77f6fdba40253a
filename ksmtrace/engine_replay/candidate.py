"""One call of cmp_and_merge_page: what the capture shows of it, followed step by step on the mirror."""

from __future__ import annotations

from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.engine_replay.account import Account
from ksmtrace.engine_replay.body import Body, Parted
from ksmtrace.engine_replay.event import Event
from ksmtrace.engine_replay.merges import Call, Merges
from ksmtrace.engine_replay.mirror import TREES, Mirror, SeenItem
from ksmtrace.engine_replay.removals import Removals
from ksmtrace.engine_replay.rules import Rule
from ksmtrace.engine_replay.told import SmartScan
from ksmtrace.events import EventKind, Flag

_NAMES = {
    Tree.NEITHER: "neither tree",
    Tree.UNSTABLE: "the unstable tree",
    Tree.STABLE: "the stable tree",
}


class Candidates:
    """Judges candidates.

    Args:
        mirror: ksmd's state, which follows the kernel where it parts from the engine.
        account: takes the verdicts.
        removals: rmap_items and nodes that leave.
        smart: smart scan.
        merges: attempts to merge.
    """

    def __init__(
        self,
        mirror: Mirror,
        account: Account,
        removals: Removals,
        smart: SmartScan,
        merges: Merges,
    ) -> None:
        self._mirror = mirror
        self._account = account
        self._removals = removals
        self._smart = smart
        self._merges = merges

    def examined(self, event: Event, records: list[Event]) -> None:
        """CMP_AND_MERGE_PAGE, and the records of what the call did."""
        item = self._mirror.item(event.rmap_item, event.mm, event.address)
        body = Body(records, event)
        self._check_state(event, body, item)
        own = [one for one in body.rest() if one.rmap_item == event.rmap_item]
        settled = not body.rest() and event.before == event.after == Flag.STABLE_BEFORE
        same_page = any(
            one.kind == EventKind.TRY_TO_MERGE_ONE_PAGE and one.same_page for one in own
        )
        self._smart.decide(item, event, skipped=False, ksm_page=settled or same_page)
        if settled:
            self._settled(event, item)
            return
        try:
            self._follow(event, body, item)
        except Parted as parted:
            self._account.part(parted.rule, parted.event, parted.kernel, parted.engine)
            self._removals.apply(body.rest())
            self._adopt(event, item)

    def joined(self, event: Event, records: list[Event]) -> None:
        """The same for a call that began before our time: no verdict, its outcome is where we begin."""
        self._removals.apply(records)
        item = self._mirror.item(event.rmap_item, event.mm, event.address)
        item.known, item.age_known = True, False
        self._adopt(event, item)
        self._account.unknown(Rule.ORDER)

    def _check_state(self, event: Event, body: Body, item: SeenItem) -> None:
        # A stable node that is found to be gone lets go of the item, before or after the call began.
        first = item.tree
        self._removals.take_nodes(body)
        was = TREES.get(event.before)
        agreed = was in (first, item.tree) and event.oldchecksum == item.oldchecksum
        if not item.known:
            self._account.unknown(Rule.STATE)
            item.known = True
        elif not agreed:
            found = _NAMES[was] if was is not None else "both trees"
            self._account.part(
                Rule.STATE,
                event,
                f"found it in {found} with checksum {event.oldchecksum:#x}",
                f"it in {_NAMES[item.tree]} with {item.oldchecksum:#x}",
            )
        else:
            self._account.agree(Rule.STATE)
        if not agreed:
            removal = body.peek()
            node = removal.aux if removal.kind == EventKind.REMOVE_RMAP_ITEM else event.aux
            item.oldchecksum = event.oldchecksum
            self._put(item, event.before, node, in_this_pass=False)

    def _settled(self, event: Event, item: SeenItem) -> None:
        self._account.judge(
            Rule.SETTLED,
            event,
            f"left it in node {event.aux:#x} with checksum {event.checksum:#x}",
            f"node {item.head.key:#x} with {item.oldchecksum:#x}" if item.head else "no such node",
            agreed=item.head is not None
            and event.aux == item.head.key
            and event.checksum == item.oldchecksum,
        )

    def _follow(self, event: Event, body: Body, item: SeenItem) -> None:
        early = self._mirror.ksm.variant.checks_before_stable_tree
        stood_in = None if early else item.head
        if item.tree is not Tree.NEITHER:
            removal = body.expect(EventKind.REMOVE_RMAP_ITEM, item.key, Rule.ORDER)
            self._removals.removed(removal, item)
            self._removals.take_nodes(body)
        call = Call(event, body, item, stood_in)
        if event.checksum != event.oldchecksum:
            self._changed(event, body)
            if not early:
                self._merges.passed_stable_tree(call)
            item.oldchecksum = event.checksum
        else:
            self._merges.follow(call)
        body.check_end()
        self._account.agree(Rule.ORDER)
        self._check_outcome(event, item)

    def _changed(self, event: Event, body: Body) -> None:
        attempt = body.peek()
        if attempt is not event:
            done = f"went on to {attempt.said()} although its checksum had changed"
            raise Parted(Rule.CHECKSUM, attempt, done, "the page to be left alone")
        if event.after:
            done = f"put it into {_NAMES[TREES.get(event.after, Tree.STABLE)]} although its checksum had changed"
            raise Parted(Rule.CHECKSUM, event, done, "it to be in neither tree until the next pass")
        self._account.agree(Rule.CHECKSUM)

    def _check_outcome(self, event: Event, item: SeenItem) -> None:
        ended = TREES.get(event.after)
        node = item.head.key if item.head is not None else event.aux
        if ended is item.tree and node == event.aux:
            self._account.agree(Rule.OUTCOME)
            return
        found = _NAMES[ended] if ended is not None else "both trees"
        in_node = f", node {event.aux:#x}" if event.aux else ""
        expected = f"{_NAMES[item.tree]}" + (f", node {item.head.key:#x}" if item.head else "")
        raise Parted(Rule.OUTCOME, event, f"left it in {found}{in_node}", expected)

    def _adopt(self, event: Event, item: SeenItem) -> None:
        """From here on what the kernel has counts."""
        item.oldchecksum = event.checksum
        self._put(item, event.after, event.aux, in_this_pass=True)

    def _put(self, item: SeenItem, tree: int, node: int, *, in_this_pass: bool) -> None:
        if TREES.get(tree) is item.tree and (item.head is None or item.head.key == node):
            return
        self._mirror.leave(item)
        if tree == Flag.UNSTABLE_BEFORE:
            self._mirror.insert(item, in_this_pass=in_this_pass)
        elif tree and node:
            self._mirror.append(item, self._mirror.node(node, 0, new=False))
