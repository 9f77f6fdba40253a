"""The accelerator of `Ksm`: pages as columns, trees by content, many pages examined at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksmtrace.engine.bulk.bulk_result import watches_many
from ksmtrace.engine.bulk.columns import Columns
from ksmtrace.engine.bulk.content_index import ContentIndex
from ksmtrace.engine.bulk.examine import examine_many
from ksmtrace.engine.bulk.stored_node import StoredNode
from ksmtrace.engine.bulk.tree_search import find_in_order, insert_in_order
from ksmtrace.engine.ksm.rmap_item import RmapItem, Tree
from ksmtrace.engine.ksm.scan import begin_pass, leave_mm
from ksmtrace.engine.ksm.stable_tree import Found
from ksmtrace.engine.ksm.unstable_tree import join_unstable_tree
from ksmtrace.engine.machine.rbtree import Leaf, RbRoot

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.stable_node import StableNode
    from ksmtrace.engine.ksm.state import Ksm
    from ksmtrace.engine.machine.memory import Frame, Mm


def accelerate(ksm: Ksm, *, count_comparisons: bool) -> None:
    """Give `ksm`, which has not seen a process yet, an accelerator.

    Args:
        ksm: all of ksmd's state.
        count_comparisons: count what the kernel would compare; else that is unknown.
    """
    ksm.memory.pool.number_contents()
    accelerator = ContentAccelerator(ksm, counting=count_comparisons)
    ksm.accelerator = ksm.memory.owner = accelerator
    ksm.memory.store = accelerator.index.columns
    ksm.stable_node_type = StoredNode
    ksm.comparisons_known = count_comparisons


class ContentAccelerator:
    """An `Accelerator`, and as `PageOwner` the one who notes what puts the trees out of order.

    Attributes:
        index: where contents are.
    """

    def __init__(self, ksm: Ksm, *, counting: bool) -> None:
        self._ksm = ksm
        columns = Columns(ksm.memory, ksm.scan)
        self.index = ContentIndex(columns, ksm.memory.pool, counting=counting)

    def examine_many(self, npages: int) -> int:
        """Examine candidates; the last process is left as it is left page by page."""
        ksm, index = self._ksm, self.index
        scan, head = ksm.scan, ksm.mm_head
        if not watches_many(ksm.watcher) or head.next is head:
            return 0
        if scan.slot is head:
            begin_pass(ksm)
        while (examined := examine_many(ksm, index, npages)) is None:
            if scan.slot.next is head:
                return 0
            leave_mm(ksm)
        return examined

    def keeps_unstable_tree(self) -> bool:
        """Until the tree is out of order, or there is more than one; it is then made."""
        index = self.index
        in_order = not index.disturbed and self._ksm.tunables["merge_across_nodes"] == 1
        if not in_order:
            index.build(self._ksm.unstable_roots[0])
        return not index.built

    def search_insert(self, item: RmapItem, page: Frame) -> tuple[RmapItem, Frame] | None:
        """Look the content up."""
        ksm, index, number = self._ksm, self.index, page.data.number
        partner = index.find(number)
        if partner is None:
            join_unstable_tree(ksm, item, page, nid=0)
            ksm.counters.comparisons += index.insert(item, number)
            return None
        tree_page = partner.mm.ptes[partner.vpn]
        found = None if tree_page is page else (partner, tree_page)
        if index.counting:
            # A walk that meets the page itself ends before it compares.
            ksm.counters.comparisons += index.log.comparisons(number) - (found is None)
        return found

    def erase(self, item: RmapItem) -> None:
        """Forget where the content is."""
        self.index.erase(item)

    def drop(self) -> None:
        """Forget all that is in the unstable tree."""
        self.index.drop()

    def unmergeable(self) -> None:
        """A search ends at such a page."""
        self.index.disturbed = True

    def search_stable(self, page: Frame, root: RbRoot, *, with_place: bool) -> Found | Leaf | None:
        """Walk without a look at each node, or not at all where nothing is counted."""
        ksm, index = self._ksm, self.index
        hazards = index.hazards
        if (
            not (index.counting or with_place or hazards)
            and ksm.tunables["merge_across_nodes"] == 1
        ):
            node = index.find_stable(page.data.number)
            return Leaf(None, left=False) if node is None else _found(node)
        spot = find_in_order(root, page.data.unit, words=index.pool.only_words)
        if hazards and hazards.are_above(spot.node or spot.parent):
            return None
        ksm.counters.comparisons += spot.steps
        if spot.node is None:
            return Leaf(spot.parent, spot.left)
        assert isinstance(spot.node, StoredNode), "the stable tree holds stable nodes"
        return _found(spot.node)

    def complete_stable_tree(self) -> None:
        """Give nodes that were made many at a time their places."""
        index = self.index
        if index.unplaced:
            nodes, index.unplaced = index.unplaced, []
            root = self._ksm.stable_roots[0]
            for node in nodes:
                insert_in_order(root, node, words=index.pool.only_words)

    def stable_node_linked(self, node: StableNode) -> None:
        """A node with a page can be found by its content, a chain must be met on a walk."""
        if node.kpage is None:
            self.index.hazards.chains.add(node)
        else:
            self.index.add_stable(_stored(node))

    def stable_node_unlinked(self, node: StableNode) -> None:
        """It cannot be found any more."""
        if node.kpage is None:
            self.index.hazards.chains.discard(node)
        else:
            self.index.remove_stable(_stored(node))

    def stable_node_freed(self, node: StableNode) -> None:
        """Its number is free."""
        if node.kpage is not None:
            self.index.hazards.freed.discard(node.kpage)
        self.index.remove_stable(_stored(node))
        self.index.columns.nodes.forget(_stored(node))

    def page_mapped(self, _page: Frame, _mm: Mm, _vpn: int, /) -> None:
        """Nothing: a new page is in no tree."""

    def page_unmapped(self, page: Frame, mm: Mm, vpn: int) -> None:
        """A search may meet the gap, or a stable node without its page."""
        self._disturb(mm, vpn)
        if page.stable_node is not None and not page.mapcount:
            self.index.hazards.freed.add(page)

    def page_written(self, mm: Mm, vpn: int) -> None:
        """A search may go astray at the page."""
        self._disturb(mm, vpn)

    def _disturb(self, mm: Mm, vpn: int) -> None:
        # Only what is in the unstable tree of the pass under way counts.
        if self.index.disturbed:
            return
        item = mm.ptes.item(vpn)
        if isinstance(item, RmapItem) and item.tree is Tree.UNSTABLE:
            self.index.disturbed = item.seqnr == self._ksm.scan.seqnr & 0xFF


def _found(node: StoredNode) -> Found:
    assert node.kpage is not None, "no chain is found so"
    return Found(node.kpage, node, node)


def _stored(node: StableNode) -> StoredNode:
    assert isinstance(node, StoredNode), "`Ksm.stable_node_type` is the class of all stable nodes"
    return node
