"""ksmd's state after the events so far: the engine's structs, without pages and ordered trees."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter

from ksmtrace.engine.ksm.rmap_item import RmapItem, Tree
from ksmtrace.engine.ksm.smart_scan import should_skip_rmap_item
from ksmtrace.engine.ksm.stable_node import (
    StableNode,
    is_page_sharing_candidate,
    stable_tree_append,
)
from ksmtrace.engine.ksm.state import Ksm
from ksmtrace.engine.ksm.variant import Variant
from ksmtrace.engine.machine.memory import Frame, Mm
from ksmtrace.events import Flag

_PAGE_SHIFT = 12
TREES = {0: Tree.NEITHER, Flag.UNSTABLE_BEFORE: Tree.UNSTABLE, Flag.STABLE_BEFORE: Tree.STABLE}
"""The tree that the bits of `EventRow.before` name."""


class ShadowItem(RmapItem):
    """An rmap_item of the capture.

    Attributes:
        known: its tree and checksum are known, from all its life or from one examination.
        age_known: smart scan's age of it is known.
        age_assumed: it was decided on under one of two values of smart_scan, and its age is right
            if that was the later one.
        came_ns: when ksmd came to it last, as the capture's events have it.
    """

    __slots__ = ("age_assumed", "age_known", "came_ns", "known")

    def __init__(self, key: int, mm: Mm, vpn: int, *, complete: bool) -> None:
        super().__init__(key, mm, vpn)
        self.known = complete
        self.age_known = complete
        self.age_assumed = False
        self.came_ns = 0


class ShadowNode(StableNode):
    """A stable node of the capture.

    Attributes:
        pfn: of its page; 0 where the capture does not tell.
        complete: all its rmap_items are known.
        checksum: of its page, whose content never changes; None where it is not known.
    """

    __slots__ = ("checksum", "complete", "pfn")

    def __init__(self, key: int, pfn: int, *, complete: bool) -> None:
        super().__init__(key, None, 0)
        self.pfn = pfn
        self.complete = complete
        self.checksum: int | None = None


class Shadow:
    """rmap_items and stable nodes by the capture's keys, and the engine's counters of them.

    Attributes:
        ksm: the engine's state; of it, the tunables and the counters are in use.
        complete: nothing existed before the first event.
        items: by address of the struct.
        nodes: likewise.
        entered: processes that registered within the capture.
    """

    def __init__(self, variant: Variant, *, complete: bool) -> None:
        self.ksm = Ksm(variant)
        self.complete = complete
        self.items: dict[int, ShadowItem] = {}
        self.nodes: dict[int, ShadowNode] = {}
        self.entered: set[int] = set()
        self._in_unstable_tree: dict[int, int] = {}
        self._unstable_checksums: Counter[int] = Counter()
        self._mms: dict[int, Mm] = {}
        self._addresses: dict[int, list[int]] = {}
        self._by_checksum: dict[int, set[ShadowNode]] = {}
        zero = self.ksm.memory.zero_page
        self._plain_page = Frame(1, zero.data, 0)
        self._ksm_page = Frame(2, zero.data, 0)
        self._ksm_page.ksm = True

    def item(self, key: int, mm: int, address: int) -> ShadowItem:
        """The rmap_item `key`; if it is not known, a new one, as get_next_rmap_item makes it."""
        item = self.items.get(key)
        if item is not None and (item.mm.key != mm or item.vpn != address >> _PAGE_SHIFT):
            self.free(item)  # its removal was not seen
            item = None
        if item is None:
            owner = self._mms.setdefault(mm, Mm(mm, 0, ""))
            complete = self.complete or mm in self.entered
            item = ShadowItem(key, owner, address >> _PAGE_SHIFT, complete=complete)
            self.items[key] = item
            insort(self._addresses.setdefault(mm, []), address)
            self.ksm.counters.rmap_items += 1
        return item

    def between(self, mm: int, low: int, high: int | None) -> int:
        """How many rmap_items of `mm` are above address `low`, and below `high` if it is given."""
        addresses = self._addresses.get(mm, ())
        end = len(addresses) if high is None else bisect_left(addresses, high)
        return max(0, end - bisect_right(addresses, low))

    def free(self, item: ShadowItem) -> None:
        """free_rmap_item: `item` leaves its tree, and is gone."""
        self.leave(item)
        del self.items[item.key]
        addresses = self._addresses[item.mm.key]
        del addresses[bisect_left(addresses, item.vpn << _PAGE_SHIFT)]
        if not addresses:
            del self._addresses[item.mm.key], self._mms[item.mm.key]
        self.ksm.counters.rmap_items -= 1

    def leave(self, item: ShadowItem) -> None:
        """remove_rmap_item_from_tree, except for the tree itself: it is ordered by contents."""
        counters, node = self.ksm.counters, item.head
        if item.tree is Tree.UNSTABLE:
            counters.pages_unshared -= 1
            checksum = self._in_unstable_tree.pop(item.key, None)
            if checksum is not None:
                self._unstable_checksums[checksum] -= 1
        elif node is not None:
            del node.items[item]
            if node.items:
                counters.pages_sharing -= 1
            else:
                counters.pages_shared -= 1
            item.head = None
        item.tree = Tree.NEITHER

    def begin_pass(self) -> None:
        """The unstable tree is dropped; its rmap_items go on calling themselves unstable."""
        self._in_unstable_tree.clear()
        self._unstable_checksums.clear()

    def insert(self, item: ShadowItem, *, in_this_pass: bool = True) -> None:
        """`item` joins the unstable tree, or has been in that of the pass before."""
        item.tree = Tree.UNSTABLE
        self.ksm.counters.pages_unshared += 1
        if in_this_pass:
            self._in_unstable_tree[item.key] = item.oldchecksum
            self._unstable_checksums[item.oldchecksum] += 1

    def is_in_unstable_tree(self, item: ShadowItem) -> bool:
        """Whether `item` has joined the unstable tree in this pass."""
        return item.key in self._in_unstable_tree

    def unstable_tree_had(self, checksum: int) -> bool:
        """Whether a page of the unstable tree had this checksum when it joined it in this pass."""
        return self._unstable_checksums[checksum] > 0

    def append(self, item: ShadowItem, node: ShadowNode) -> None:
        """stable_tree_append, the engine's own."""
        stable_tree_append(self.ksm, item, node)

    def node(self, key: int, pfn: int, *, new: bool) -> ShadowNode:
        """The stable node `key`; a `new` one has no rmap_item yet."""
        node = self.nodes.get(key)
        if node is None:
            node = self.nodes[key] = ShadowNode(key, pfn, complete=new or self.complete)
        return node

    def remove_node(self, node: ShadowNode) -> None:
        """remove_node_from_stable_tree: all its rmap_items leave it."""
        for item in tuple(node.items):
            assert isinstance(item, ShadowItem), "the shadow makes no others"
            self.leave(item)
        self._forget_checksum(node)
        del self.nodes[node.key]

    def learn_checksum(self, node: ShadowNode, checksum: int) -> None:
        """The page of `node` has this checksum, and always will."""
        self._forget_checksum(node)
        node.checksum = checksum
        self._by_checksum.setdefault(checksum, set()).add(node)

    def equals(self, checksum: int) -> set[ShadowNode]:
        """The stable nodes whose page is known to have this checksum."""
        return self._by_checksum.get(checksum, set())

    def room(self, node: ShadowNode, also: ShadowItem | None) -> tuple[int, bool]:
        """How many sharers `node` has, and whether it has room (is_page_sharing_candidate).

        `also` is an rmap_item that was in it when the question was asked.
        """
        if also is not None:
            node.items[also] = None
        found = len(node.items), is_page_sharing_candidate(self.ksm, node)
        if also is not None:
            del node.items[also]
        return found

    def would_skip(self, item: ShadowItem, *, ksm_page: bool) -> bool:
        """The engine's should_skip_rmap_item, without the removal, which is a record of its own."""
        tree, item.tree = item.tree, Tree.NEITHER
        page = self._ksm_page if ksm_page else self._plain_page
        skips = should_skip_rmap_item(self.ksm, page, item)
        item.tree = tree
        return skips

    def _forget_checksum(self, node: ShadowNode) -> None:
        if node.checksum is not None:
            known = self._by_checksum[node.checksum]
            known.discard(node)
            if not known:
                del self._by_checksum[node.checksum]
