"""A process's rmap_items, which the scan follows by address and renews, and the way out of both trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksmtrace.engine.ksm.mm_slot import MmSlot
from ksmtrace.engine.ksm.rmap_item import RmapItem, Tree
from ksmtrace.engine.ksm.stable_node import ksm_get_folio
from ksmtrace.engine.ksm.unstable_tree import unstable_tree_erase
from ksmtrace.engine.machine.memory import Mm
from ksmtrace.engine.machine.page_table import BLOCK_MASK, BLOCK_SHIFT, BLOCK_SIZE

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.state import Ksm

_END = 1 << 60
_SEQNR_MASK = 0xFF


def get_next_rmap_item(ksm: Ksm, slot: MmSlot, vpn: int) -> RmapItem:
    """The rmap_item of page `vpn`, from the cursor on; those before it have lost their page and are freed.

    get_next_rmap_item, all versions. The kernel's own may fail for want of memory; this one never does.
    """
    mm = slot.mm
    assert mm is not None, "the head of the list has no pages"
    free_rmap_items(ksm, mm, ksm.scan.rmap_from, vpn)
    ksm.scan.rmap_from = vpn + 1
    items = mm.ptes.blocks[vpn >> BLOCK_SHIFT].items
    item = items[vpn & BLOCK_MASK]
    if item is None:
        item = items[vpn & BLOCK_MASK] = RmapItem(ksm.new_key(), mm, vpn)
        ksm.counters.rmap_items += 1
        mm.ksm_rmap_items += 1
    return item


def remove_trailing_rmap_items(ksm: Ksm, mm: Mm, vpn: int) -> None:
    """Free all rmap_items from page `vpn` on (remove_trailing_rmap_items, all versions)."""
    free_rmap_items(ksm, mm, vpn, _END)


def free_rmap_items(ksm: Ksm, mm: Mm, first: int, end: int) -> None:
    """Free the rmap_items of pages `first` to `end` - 1, by address."""
    if first >= end:
        return
    for block in mm.ptes.blocks_between(first, end):
        low, high = max(first - block.first, 0), min(end - block.first, BLOCK_SIZE)
        if block.frozen:
            if not ksm.memory.has_items(block, low, high):
                continue
            mm.ptes.thaw(block)
        items = block.items
        for index in range(low, high):
            item = items[index]
            if item is not None:
                _free_rmap_item(ksm, item)
                items[index] = None


def remove_rmap_item_from_tree(ksm: Ksm, item: RmapItem, *, freed: bool = False) -> None:
    """Take `item` out of the tree that it is in (remove_rmap_item_from_tree, all versions).

    A stable node whose last rmap_item leaves stays in its tree until its page is freed. An unstable item of the
    pass before is in no tree any more: that tree was dropped as a whole when the pass began.

    Args:
        ksm: all of ksmd's state.
        item: the rmap_item; in neither tree nothing happens.
        freed: the caller frees the item next.
    """
    ksm.watcher.rmap_item_removed(item, freed=freed)
    if item.tree is Tree.STABLE:
        node = item.head
        assert node is not None, "a stable item has its node"
        if ksm_get_folio(ksm, node) is None:
            return
        node.remove(item)
        if node.sharers:
            ksm.counters.pages_sharing -= 1
        else:
            ksm.counters.pages_shared -= 1
        item.mm.ksm_merging_pages -= 1
        item.head = None
        item.tree = Tree.NEITHER
    elif item.tree is Tree.UNSTABLE:
        age = ksm.scan.seqnr - item.seqnr & _SEQNR_MASK
        assert age <= 1, "ksmd meets every item once a pass"
        if age == 0:
            unstable_tree_erase(ksm, item)
        ksm.counters.pages_unshared -= 1
        item.tree = Tree.NEITHER


def _free_rmap_item(ksm: Ksm, item: RmapItem) -> None:
    remove_rmap_item_from_tree(ksm, item, freed=True)
    item.mm.ksm_rmap_items -= 1
    ksm.counters.rmap_items -= 1
