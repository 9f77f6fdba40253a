"""What leaves the trees: rmap_items one by one, and stable nodes with all that they have."""

from __future__ import annotations

from collections.abc import Iterable

from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.engine_replay.account import Account
from ksmtrace.engine_replay.body import Body
from ksmtrace.engine_replay.event import Event
from ksmtrace.engine_replay.mirror import TREES, Mirror, SeenItem
from ksmtrace.engine_replay.rules import Rule
from ksmtrace.events import EventKind, Flag


class Removals:
    """Judges removals, and lets the mirror follow them."""

    def __init__(self, mirror: Mirror, account: Account) -> None:
        self._mirror = mirror
        self._account = account

    def removed(self, event: Event, item: SeenItem) -> None:
        """REMOVE_RMAP_ITEM: `item` must be where it is said to leave."""
        if not item.known:
            self._account.unknown(Rule.REMOVAL)
            self._mirror.leave(item)
            return
        head = item.head.key if item.head is not None else 0
        kernel = f"took it out of node {event.aux:#x}" if event.aux else "took it out of its tree"
        self._account.judge(
            Rule.REMOVAL,
            event,
            f"{kernel} (flags {event.flags:#x})",
            f"it in node {head:#x}" if head else f"it {item.tree.name.lower()}",
            agreed=TREES.get(event.before) is item.tree and event.aux == head,
        )
        self._mirror.leave(item)

    def freed(self, event: Event) -> None:
        """REMOVE_RMAP_ITEM of an rmap_item that is about to be freed."""
        item = self._mirror.items.get(event.rmap_item)
        if item is not None:
            self.removed(event, item)
            self._mirror.free(item)
        elif self._mirror.in_view:
            self._account.part(Rule.REMOVAL, event, "freed it", "no such rmap_item")
        else:
            self._account.unknown(Rule.REMOVAL)

    def take_nodes(self, body: Body) -> None:
        """REMOVE_STABLE_NODE records that stand next in `body`."""
        while (event := body.take(EventKind.REMOVE_STABLE_NODE)) is not None:
            self.node_removed(event)

    def node_removed(self, event: Event) -> None:
        """REMOVE_STABLE_NODE: that its page is gone is a fact that the capture brings."""
        node = self._mirror.nodes.get(event.aux or event.pfn)
        if node is not None:
            self._account.agree(Rule.REMOVAL)
            self._mirror.remove_node(node)
        elif self._mirror.in_view:
            self._account.part(
                Rule.REMOVAL, event, f"removed node {event.aux:#x}", "no such stable node"
            )
        else:
            self._account.unknown(Rule.REMOVAL)

    def apply(self, records: Iterable[Event]) -> None:
        """Follow records without a verdict, once kernel and engine have parted."""
        for event in records:
            item = self._mirror.items.get(event.rmap_item)
            if event.kind == EventKind.REMOVE_STABLE_NODE:
                node = self._mirror.nodes.get(event.aux or event.pfn)
                if node is not None:
                    self._mirror.remove_node(node)
            elif event.kind == EventKind.REMOVE_RMAP_ITEM and item is not None:
                self._mirror.leave(item)
            elif event.kind == EventKind.STABLE_APPEND:
                item = self._mirror.item(event.rmap_item, event.mm, event.address)
                if item.tree is not Tree.NEITHER:
                    self._mirror.leave(item)
                new = bool(event.flags & Flag.NEW_NODE)
                node = self._mirror.node(event.aux or event.pfn, event.pfn, new=new)
                self._mirror.append(item, node)
