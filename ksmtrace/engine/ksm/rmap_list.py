"""A process's list of rmap_items, and how an rmap_item leaves its tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksmtrace.engine.ksm.rmap_item import RmapItem, Tree
from ksmtrace.engine.ksm.stable_node import ksm_get_folio
from ksmtrace.engine.ksm.unstable_tree import unstable_tree_erase
from ksmtrace.engine.machine.memory import Mm

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.state import Ksm

_END = 1 << 60
_SEQNR_MASK = 0xFF


def get_next_rmap_item(ksm: Ksm, mm: Mm, vpn: int) -> RmapItem:
    """The rmap_item of page `vpn`, from the cursor on; those before it are freed.

    get_next_rmap_item, all versions. Those before it have lost their page. The kernel's own may
    fail for want of memory; this one never does.
    """
    if ksm.scan.rmap_from < vpn:
        free_rmap_items(ksm, mm, ksm.scan.rmap_from, vpn)
    ksm.scan.rmap_from = vpn + 1
    item = mm.ptes.item(vpn)
    if item is None:
        item = RmapItem(ksm.new_key(), mm, vpn)
        mm.ptes.set_item(vpn, item)
        ksm.counters.rmap_items += 1
        mm.ksm_rmap_items += 1
    assert isinstance(item, RmapItem), "ksmd keeps rmap_items beside page tables"
    return item


def remove_trailing_rmap_items(ksm: Ksm, mm: Mm, vpn: int) -> None:
    """Free all rmap_items from page `vpn` on (remove_trailing_rmap_items, all versions)."""
    free_rmap_items(ksm, mm, vpn, _END)


def free_rmap_items(ksm: Ksm, mm: Mm, first: int, end: int) -> None:
    """Free the rmap_items of pages `first` to `end` - 1, by address."""
    for item in mm.ptes.take_items(first, end):
        remove_rmap_item_from_tree(ksm, item, freed=True)
        mm.ksm_rmap_items -= 1
        ksm.counters.rmap_items -= 1


def remove_rmap_item_from_tree(ksm: Ksm, item: RmapItem, *, freed: bool = False) -> None:
    """Take `item` out of the tree that it is in (remove_rmap_item_from_tree, all versions).

    A stable node whose last rmap_item leaves stays in its tree until its page is freed. An unstable
    item of the pass before is in no tree any more: that tree was dropped as a whole when the pass
    began.

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
