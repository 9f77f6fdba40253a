"""The stable tree: KSM pages by content. One tree, or one per NUMA node with merge_across_nodes=0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksmtrace.engine.bulk.hazards import has_detours
from ksmtrace.engine.bulk.tree_search import find_in_order
from ksmtrace.engine.ksm.chains import Found
from ksmtrace.engine.ksm.stable_node import (
    Place,
    StableNode,
    alloc_stable_node_chain,
    free_stable_node_chain,
    is_page_sharing_candidate,
    ksm_get_folio,
    remove_node_from_stable_tree,
    stable_node_chain_add_dup,
    stable_node_dup_del,
)
from ksmtrace.engine.machine.memory import Frame
from ksmtrace.engine.machine.rbtree import (
    RbNode,
    RbRoot,
    rb_erase,
    rb_insert_color,
    rb_link_node,
    rb_replace_node,
)

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.state import Ksm


class _Leaf:
    """Where a walk fell off the tree: below `parent`."""

    __slots__ = ("left", "parent")

    def __init__(self, parent: RbNode | None, *, left: bool) -> None:
        self.parent = parent
        self.left = left


def stable_tree_search(ksm: Ksm, page: Frame) -> Frame | None:
    """The KSM page into which `page` can be merged; `page` itself when it is in the tree already.

    stable_tree_search, all versions. None as well when an equal KSM page has no room: `page` must then find a partner
    in the unstable tree, and the two become a dup. A migrating `page` is placed into the tree of its node.
    """
    page_node = page.stable_node
    if page_node is not None and page_node.place is not Place.MIGRATING:
        return page
    nid = ksm.nid_of(page)
    root = ksm.stable_roots[nid]
    found: Found | _Leaf | None
    if not ksm.counts_comparisons and page_node is None and _index_holds(ksm):
        found = _look_up(ksm, page)
        if found is None:
            return None
    else:
        found = _walk(ksm, page, root, prune=True)
    if isinstance(found, _Leaf):
        if page_node is None:
            return None
        _leave_migrate_nodes(ksm, page_node, nid)
        rb_link_node(root, page_node, found.parent, left=found.left)
        rb_insert_color(root, page_node)
        _add_to_index(ksm, page_node)
        return _if_candidate(ksm, page_node)
    if page_node is not None and ksm.variant.chains and page.mapcount > 1:
        chain = found.node
        if found.dup is found.node:
            chain = alloc_stable_node_chain(ksm, found.dup, root)
        _leave_migrate_nodes(ksm, page_node, nid)
        stable_node_chain_add_dup(ksm, page_node, chain)
        return _if_candidate(ksm, page_node)
    if not is_page_sharing_candidate(ksm, found.dup):
        return None
    if ksm.nid_of(found.page) != found.dup.nid:
        return _replace_misplaced(ksm, found, page_node, root, nid)
    return found.page


def stable_tree_insert(ksm: Ksm, kpage: Frame) -> StableNode:
    """A new stable node for `kpage`; where an equal page stands already, the two become dups of a chain.

    stable_tree_insert, all versions. The kernel's own may fail for want of memory.
    """
    nid = ksm.nid_of(kpage)
    root = ksm.stable_roots[nid]
    found = _walk(ksm, kpage, root, prune=False)
    node = StableNode(ksm.new_key(), kpage, nid)
    if isinstance(found, _Leaf):
        rb_link_node(root, node, found.parent, left=found.left)
        rb_insert_color(root, node)
        _add_to_index(ksm, node)
    else:
        chain = found.node
        if chain.place is not Place.CHAIN:
            chain = alloc_stable_node_chain(ksm, chain, root)
        stable_node_chain_add_dup(ksm, node, chain)
    kpage.stable_node = node
    return node


def remove_all_stable_nodes(ksm: Ksm) -> bool:
    """Free all stable nodes whose page is mapped nowhere (remove_all_stable_nodes, all versions).

    A tree is left alone from the first node on whose page is still mapped.

    Returns:
        Whether no node is left; else the kernel says EBUSY.
    """
    empty = True
    for root in ksm.stable_roots:
        while (node := root.rb_node) is not None:
            assert isinstance(node, StableNode), "the stable tree holds stable nodes"
            if not _remove_stable_node_chain(ksm, node, root):
                empty = False
                break
    for node in tuple(ksm.migrate_nodes):
        empty &= _remove_stable_node(ksm, node)
    return empty


def migrate_node(ksm: Ksm, node: StableNode) -> None:
    """Move a node, whose page is on another NUMA node now, to migrate_nodes (part of cmp_and_merge_page, 3.9)."""
    stable_node_dup_del(ksm, node)
    _join_migrate_nodes(ksm, node)


def _look_up(ksm: Ksm, page: Frame) -> Found | None:
    assert ksm.index is not None, "without an index all is walked"
    node = ksm.index.find_stable(page.data.number)
    if node is None:
        return None
    assert node.kpage is not None, "there are no chains"
    return Found(node.kpage, node, node)


def _index_holds(ksm: Ksm) -> bool:
    """Whether `index.stable` answers for the whole tree."""
    return ksm.tunables["merge_across_nodes"] == 1 and not has_detours(ksm)


def _add_to_index(ksm: Ksm, node: StableNode) -> None:
    if ksm.index is not None:
        ksm.index.add_stable(node)


def _walk(ksm: Ksm, page: Frame, root: RbRoot, *, prune: bool) -> Found | _Leaf:
    spot = find_in_order(root, page.data.unit, words=ksm.memory.pool.only_words)
    plain = ksm.index is None
    if has_detours(ksm) and (plain or _is_detour(ksm, spot.node or spot.parent)):
        return _walk_looking(ksm, page, root, prune=prune)
    ksm.counters.comparisons += spot.steps
    node = spot.node
    if node is None:
        return _Leaf(spot.parent, left=spot.left)
    assert isinstance(node, StableNode), "the stable tree holds stable nodes"
    assert node.kpage is not None, "it is no chain"
    return Found(node.kpage, node, node)


def _is_detour(ksm: Ksm, node: RbNode | None) -> bool:
    # Whether a walk that ends at `node` comes by a chain or a node whose page is gone.
    freed = ksm.memory.freed_ksm_pages
    while node is not None:
        assert isinstance(node, StableNode), "the stable tree holds stable nodes"
        if node.kpage is None or node.kpage in freed:
            return True
        node = node.rb_parent
    return False


def _walk_looking(ksm: Ksm, page: Frame, root: RbRoot, *, prune: bool) -> Found | _Leaf:
    while True:
        parent: RbNode | None = None
        left = False
        current = root.rb_node
        while current is not None:
            assert isinstance(current, StableNode), "the stable tree holds stable nodes"
            found = ksm.variant.look(ksm, current, root, prune=prune)
            if found is None:
                break  # a stale node went, and the tree may have turned: from the root again
            order = ksm.memcmp_pages(page, found.page)
            if order == 0:
                return found
            parent = found.node
            left = order < 0
            current = parent.rb_left if left else parent.rb_right
        else:
            return _Leaf(parent, left=left)


def _replace_misplaced(
    ksm: Ksm, found: Found, page_node: StableNode | None, root: RbRoot, nid: int
) -> Frame | None:
    # The equal page has come to another NUMA node: its node makes way.
    if page_node is not None:
        _leave_migrate_nodes(ksm, page_node, nid)
    if found.dup is found.node:
        if page_node is not None:
            rb_replace_node(root, found.dup, page_node)
        else:
            rb_erase(root, found.dup)
    else:
        stable_node_dup_del(ksm, found.dup)
        if page_node is not None:
            stable_node_chain_add_dup(ksm, page_node, found.node)
    _join_migrate_nodes(ksm, found.dup)
    return None if page_node is None else _if_candidate(ksm, page_node)


def _if_candidate(ksm: Ksm, node: StableNode) -> Frame | None:
    return node.kpage if is_page_sharing_candidate(ksm, node) else None


def _leave_migrate_nodes(ksm: Ksm, node: StableNode, nid: int) -> None:
    ksm.migrate_nodes.remove(node)
    node.place = Place.TREE
    node.nid = nid


def _join_migrate_nodes(ksm: Ksm, node: StableNode) -> None:
    node.place = Place.MIGRATING
    ksm.migrate_nodes.insert(0, node)


def _remove_stable_node_chain(ksm: Ksm, node: StableNode, root: RbRoot) -> bool:
    if node.place is not Place.CHAIN:
        return _remove_stable_node(ksm, node)
    for dup in tuple(node.dups):
        if not _remove_stable_node(ksm, dup):
            return False
    free_stable_node_chain(ksm, node, root)
    return True


def _remove_stable_node(ksm: Ksm, node: StableNode) -> bool:
    page = ksm_get_folio(ksm, node)
    if page is None:
        return True
    if page.mapcount:
        return False
    page.stable_node = None
    remove_node_from_stable_tree(ksm, node)
    return True
