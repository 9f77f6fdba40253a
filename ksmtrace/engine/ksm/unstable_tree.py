"""The unstable tree: pages that did not change since the last pass, by content; one each pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksmtrace.engine.ksm.rmap_item import RmapItem, Tree
from ksmtrace.engine.machine.memory import Frame, Mm, Vma
from ksmtrace.engine.machine.rbtree import (
    Leaf,
    RbNode,
    RbRoot,
    rb_erase,
    rb_insert_color,
    rb_link_node,
)

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.state import Ksm


def find_mergeable_vma(mm: Mm, vpn: int) -> Vma | None:
    """The mapping of page `vpn`, if ksmd may merge there (find_mergeable_vma, all versions)."""
    if mm.exited:
        return None
    vma = mm.vma_at(vpn)
    return vma if vma is not None and vma.mergeable else None


def get_mergeable_page(item: RmapItem) -> Frame | None:
    """The anonymous page that is mapped at `item`'s address now.

    get_mergeable_page, all versions.
    """
    vpn = item.vpn
    page = item.mm.ptes.get(vpn)
    if page is None or not page.anon:
        return None
    # find_mergeable_vma, in line: this is called for every step of every walk.
    for vma in item.mm.vmas:
        if vma.start <= vpn < vma.end:
            return page if vma.mergeable else None
    return None


def unstable_tree_search_insert(
    ksm: Ksm, item: RmapItem, page: Frame
) -> tuple[RmapItem, Frame] | None:
    """An rmap_item whose page equals `page`, and that page; else `item` joins the tree.

    unstable_tree_search_insert, all versions. Pages in this tree may change at any time, so that
    its order can be wrong.

    Returns:
        None when nothing equal was met. Then `item` is in the tree, except in three cases: a page
        on the way is gone, is `page` itself (shared by a fork), or is equal and on another NUMA
        node while merge_across_nodes is 0.
    """
    if ksm.accelerator is not None and ksm.accelerator.keeps_unstable_tree():
        return ksm.accelerator.search_insert(item, page)
    nid = ksm.nid_of(page)
    root = ksm.unstable_roots[nid]
    walked = _walk(ksm, page, root, nid)
    if not isinstance(walked, Leaf):
        return walked
    join_unstable_tree(ksm, item, page, nid)
    rb_link_node(root, item, walked.parent, left=walked.left)
    rb_insert_color(root, item)
    return None


def join_unstable_tree(ksm: Ksm, item: RmapItem, page: Frame, nid: int) -> None:
    """Note in `item` that it is in the unstable tree (part of unstable_tree_search_insert)."""
    item.tree = Tree.UNSTABLE
    item.seqnr = ksm.scan.seqnr & 0xFF
    item.nid = nid
    item.rb_key = page.data.unit
    ksm.counters.pages_unshared += 1


def unstable_tree_erase(ksm: Ksm, item: RmapItem) -> None:
    """Take out an item that joined the tree in this pass (part of remove_rmap_item_from_tree)."""
    if ksm.accelerator is not None and ksm.accelerator.keeps_unstable_tree():
        ksm.accelerator.erase(item)
    else:
        rb_erase(ksm.unstable_roots[item.nid], item)


def unstable_tree_drop(ksm: Ksm) -> None:
    """Begin with empty trees (part of scan_get_next_rmap_item).

    rmap_items that were in the old ones find that out by their seqnr.
    """
    ksm.unstable_roots = [RbRoot() for _ in ksm.unstable_roots]
    if ksm.accelerator is not None:
        ksm.accelerator.drop()


def _walk(ksm: Ksm, page: Frame, root: RbRoot, nid: int) -> tuple[RmapItem, Frame] | Leaf | None:
    parent: RbNode | None = None
    left = False
    current = root.rb_node
    while current is not None:
        assert isinstance(current, RmapItem), "the unstable tree holds rmap_items"
        tree_page = get_mergeable_page(current)
        if tree_page is None or tree_page is page:
            return None
        order = ksm.memcmp_pages(page, tree_page)
        if order == 0:
            apart = not ksm.tunables["merge_across_nodes"] and tree_page.nid != nid
            return None if apart else (current, tree_page)
        parent = current
        left = order < 0
        current = parent.rb_left if left else parent.rb_right
    return Leaf(parent, left)
