"""Judges removals: of rmap_items from their trees, and of stable nodes with their rmap_items."""

from __future__ import annotations

from collections.abc import Iterable

from ksmtrace.conformance.call import CallRecords
from ksmtrace.conformance.rules import Rule
from ksmtrace.conformance.shadow import TREES, Shadow, ShadowItem
from ksmtrace.conformance.verdicts import Verdicts
from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.events import EventKind, Flag
from ksmtrace.events.row import EventRow


class Removals:
    """Judges removals, and makes them in the shadow."""

    def __init__(self, shadow: Shadow, verdicts: Verdicts) -> None:
        self._shadow = shadow
        self._verdicts = verdicts

    def removed(self, event: EventRow, item: ShadowItem) -> None:
        """REMOVE_RMAP_ITEM: `item` must be in the tree and the node that the record names."""
        if not item.known:
            self._verdicts.unknown(Rule.REMOVAL)
            self._shadow.leave(item)
            return
        head = item.head.key if item.head is not None else 0
        kernel = f"took it out of node {event.aux:#x}" if event.aux else "took it out of its tree"
        self._verdicts.judge(
            Rule.REMOVAL,
            event,
            f"{kernel} (flags {event.flags:#x})",
            f"it in node {head:#x}" if head else f"it {item.tree.name.lower()}",
            agreed=TREES.get(event.before) is item.tree and event.aux == head,
        )
        self._shadow.leave(item)

    def freed(self, event: EventRow) -> None:
        """REMOVE_RMAP_ITEM of an rmap_item that is about to be freed."""
        item = self._shadow.items.get(event.rmap_item)
        if item is not None:
            self.removed(event, item)
            self._shadow.free(item)
        elif self._shadow.complete:
            self._verdicts.part(Rule.REMOVAL, event, "freed it", "no such rmap_item")
        else:
            self._verdicts.unknown(Rule.REMOVAL)

    def take_nodes(self, records: CallRecords) -> None:
        """Take the REMOVE_STABLE_NODE records that come next."""
        while (event := records.take(EventKind.REMOVE_STABLE_NODE)) is not None:
            self.node_removed(event)

    def node_removed(self, event: EventRow) -> None:
        """REMOVE_STABLE_NODE; that the node's page is gone is a fact of the capture."""
        node = self._shadow.nodes.get(event.aux or event.pfn)
        if node is not None:
            self._verdicts.agree(Rule.REMOVAL)
            self._shadow.remove_node(node)
        elif self._shadow.complete:
            self._verdicts.part(
                Rule.REMOVAL, event, f"removed node {event.aux:#x}", "no such stable node"
            )
        else:
            self._verdicts.unknown(Rule.REMOVAL)

    def apply(self, records: Iterable[EventRow]) -> None:
        """Follow records without a verdict, after a mismatch."""
        for event in records:
            item = self._shadow.items.get(event.rmap_item)
            if event.kind == EventKind.REMOVE_STABLE_NODE:
                node = self._shadow.nodes.get(event.aux or event.pfn)
                if node is not None:
                    self._shadow.remove_node(node)
            elif event.kind == EventKind.REMOVE_RMAP_ITEM and item is not None:
                self._shadow.leave(item)
            elif event.kind == EventKind.STABLE_APPEND:
                item = self._shadow.item(event.rmap_item, event.mm, event.address)
                if item.tree is not Tree.NEITHER:
                    self._shadow.leave(item)
                new = bool(event.flags & Flag.NEW_NODE)
                node = self._shadow.node(event.aux or event.pfn, event.pfn, new=new)
                self._shadow.append(item, node)
