"""The unstable tree: pages that did not change since the last pass, by content; made anew in every pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ksmtrace.engine.bulk.tree_search import find_in_order
from ksmtrace.engine.ksm.rmap_item import RmapItem, Tree
from ksmtrace.engine.machine.memory import Frame, Mm, Vma
from ksmtrace.engine.machine.rbtree import RbNode, RbRoot, rb_erase, rb_insert_color, rb_link_node

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.state import Ksm


def find_mergeable_vma(mm: Mm, vpn: int) -> Vma | None:
    """The mapping of page `vpn`, if ksmd may merge there (find_mergeable_vma, all versions)."""
    if mm.exited:
        return None
    vma = mm.vma_at(vpn)
    return vma if vma is not None and vma.mergeable else None


def get_mergeable_page(item: RmapItem) -> Frame | None:
    """The anonymous page that is mapped at `item`'s address now (get_mergeable_page, all versions)."""
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

    unstable_tree_search_insert, all versions. Pages in this tree may change at any time, so that its order can be wrong.

    Returns:
        None when nothing equal was met. Then `item` is in the tree, but for three cases: a page on the way is gone, is `page`
        itself (shared by a fork), or is equal and on another NUMA node while merge_across_nodes is 0.
    """
    nid = ksm.nid_of(page)
    in_order = not ksm.memory.changed and ksm.tunables["merge_across_nodes"] == 1
    if ksm.index is not None:
        if in_order:
            partner = ksm.index.find(page.data.number)
            if partner is not None:
                found = _unless_same(partner, page)
                if ksm.index.counting:
                    steps = ksm.index.log.comparisons(page.data.number)
                    ksm.counters.comparisons += steps - (found is None)
                return found
            _join(ksm, item, page, nid)
            ksm.counters.comparisons += ksm.index.insert(item, page.data.number)
            return None
        ksm.index.build(ksm.unstable_roots[0])
    root = ksm.unstable_roots[nid]
    in_order = in_order and ksm.index is not None  # the plain mode looks at every page
    walked = (_walk_in_order if in_order else _walk)(ksm, page, root, nid)
    if not isinstance(walked, _Leaf):
        return walked
    _join(ksm, item, page, nid)
    rb_link_node(root, item, walked.parent, left=walked.left)
    rb_insert_color(root, item)
    return None


def unstable_tree_erase(ksm: Ksm, item: RmapItem) -> None:
    """Take out an item that joined the tree in this pass (part of remove_rmap_item_from_tree)."""
    index = ksm.index
    if index is not None and ksm.memory.changed:
        index.build(ksm.unstable_roots[0])
    if index is None or index.built:
        rb_erase(ksm.unstable_roots[item.nid], item)
    else:
        index.erase(item)


def unstable_tree_drop(ksm: Ksm) -> None:
    """Begin with empty trees; rmap_items that were in the old ones find out by seqnr (part of scan_get_next_rmap_item)."""
    ksm.unstable_roots = [RbRoot() for _ in ksm.unstable_roots]
    if ksm.index is not None:
        ksm.index.drop()
    ksm.memory.changed = False


class _Leaf(NamedTuple):
    """Where a walk fell off the tree: below `parent`."""

    parent: RbNode | None
    left: bool


def _join(ksm: Ksm, item: RmapItem, page: Frame, nid: int) -> None:
    item.tree = Tree.UNSTABLE
    item.seqnr = ksm.scan.seqnr & 0xFF
    item.nid = nid
    item.rb_key = page.data.unit
    ksm.counters.pages_unshared += 1


def _walk(ksm: Ksm, page: Frame, root: RbRoot, nid: int) -> tuple[RmapItem, Frame] | _Leaf | None:
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
    return _Leaf(parent, left)


def _walk_in_order(
    ksm: Ksm,
    page: Frame,
    root: RbRoot,
    nid: int,  # noqa: ARG001
) -> tuple[RmapItem, Frame] | _Leaf | None:
    # As _walk: all pages in the tree are there, and contain what they did when they joined.
    spot = find_in_order(root, page.data.unit, words=ksm.memory.pool.only_words)
    ksm.counters.comparisons += spot.steps
    if spot.node is None:
        return _Leaf(spot.parent, spot.left)
    assert isinstance(spot.node, RmapItem), "the unstable tree holds rmap_items"
    found = _unless_same(spot.node, page)
    ksm.counters.comparisons -= found is None
    return found


def _unless_same(partner: RmapItem, page: Frame) -> tuple[RmapItem, Frame] | None:
    tree_page = partner.mm.ptes[partner.vpn]
    return None if tree_page is page else (partner, tree_page)
