"""What UKSM keeps of a VMA and of its pages."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.engine.machine.memory import Frame, Mm, Vma

if TYPE_CHECKING:
    from ksmtrace.engine.uksm.nodes import NodeVma, StableNode, UnstableTreeNode
    from ksmtrace.engine.uksm.rung import Rung

RMAP_ITEM_SIZE = 80
SLOT_SIZE = 192
"""Bytes of the structs on 64-bit machines."""

_ENTRIES_A_PAGE = 512
_PAGE_SIZE = 4096


class Slot:
    """A VMA as far as it is scanned (struct vma_slot).

    Attributes:
        number: the how manieth it is; in place of the address by which node_vmas are ordered.
        first: number of its first page.
        pages: how many it has, present or not.
        rung: that it stands on; None while it waits.
        place: where in the rung's index.
        dead: the VMA has gone, or has changed (the list vma_slot_del).
        has_anon_vma: some page of the VMA has been written to.
        pages_scanned: positions visited since it was seen whole last.
        this_sampled: visits since it was judged last; likewise pages_merged.
        pages_cowed: of its KSM pages and zero pages written to.
        pages_bemerged: pages of others merged with its own, by the step of their rungs.
        fully_scanned_round: the last full scan in which it was seen whole.
        items: by page, what is kept of it.
    """

    __slots__ = (
        *("_order", "dead", "first", "fully_scanned_round", "has_anon_vma", "items", "mm"),
        *("number", "pages", "pages_bemerged", "pages_cowed", "pages_merged", "pages_scanned"),
        *("place", "rung", "this_sampled"),
    )

    def __init__(self, number: int, mm: Mm, vma: Vma) -> None:
        self.number = number
        self.mm = mm
        self.first = vma.start
        self.pages = vma.end - vma.start
        self.rung: Rung | None = None
        self.place = -1
        self.dead = False
        self.has_anon_vma = False
        self.pages_scanned = 0
        self.this_sampled = 0
        self.pages_merged = 0
        self.pages_cowed = 0
        self.pages_bemerged = 0
        self.fully_scanned_round = 0
        self.items: list[UksmItem | None] = []
        self._order = array("I")

    @property
    def is_scanned(self) -> bool:
        """Whether it has been visited; its entries have memory since (UKSM_SLOT_IN_UKSM)."""
        return bool(self.items)

    @property
    def fully_scanned(self) -> bool:
        """Whether all positions have been visited (vma_fully_scanned)."""
        return self.pages_scanned == self.pages

    @property
    def entries_bytes(self) -> int:
        """Memory for entries, 8 bytes a page, in whole pages."""
        return -(-len(self.items) // _ENTRIES_A_PAGE) * _PAGE_SIZE

    def prepare(self) -> None:
        """Make room for entries (slot_pool_alloc)."""
        self.items = [None] * self.pages
        self._order = array("I", range(self.pages))

    def take_items(self) -> Iterator[UksmItem]:
        """What is kept of its pages, in the order of the entries; then nothing is."""
        items, self.items = self.items, []
        return (item for page in self._order if (item := items[page]) is not None)

    def swapped(self, index: int, other: int) -> int:
        """The page at position `other`, which now stands at `index` (swap_entries)."""
        order = self._order
        order[index], order[other] = page, _ = order[other], order[index]
        return page


class UksmItem:
    """A page of a slot that was present, anonymous and not empty at its last visit (rmap_item).

    Attributes:
        key: in place of the address of the struct.
        vpn: the number of the page in the process.
        page: the frame found at the last visit; no reference to it is held.
        oldchecksum: its hash then. UKSM keeps that in the tree_node alone.
        tree: the flags in the low bits of its address.
        hash_round: of the unstable tree that it entered; the tree may have been emptied since.
        hash_max: the hash at the highest strength; 0 unless it was asked for.
        tree_node: in the unstable tree.
        node_vma: in the stable tree.
    """

    __slots__ = (
        *("hash_max", "hash_round", "key", "node_vma", "oldchecksum", "page", "slot", "tree"),
        *("tree_node", "vpn"),
    )

    def __init__(self, key: int, slot: Slot, vpn: int, page: Frame) -> None:
        self.key = key
        self.slot = slot
        self.vpn = vpn
        self.page = page
        self.oldchecksum = 0
        self.tree = Tree.NEITHER
        self.hash_round = 0
        self.hash_max = 0
        self.tree_node: UnstableTreeNode | None = None
        self.node_vma: NodeVma | None = None

    @property
    def mm(self) -> Mm:
        """The process."""
        return self.slot.mm

    @property
    def head(self) -> StableNode | None:
        """Its stable node, while in the stable tree."""
        return None if self.node_vma is None else self.node_vma.head
