"""The stable tree: KSM pages by content; one tree per NUMA node with merge_across_nodes=0."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ksmtrace.engine.ksm.stable_node import (
    Place,
    StableNode,
    alloc_stable_node_chain,
    erase_stable_node,
    free_stable_node_chain,
    is_page_sharing_candidate,
    ksm_get_folio,
    link_stable_node,
    remove_node_from_stable_tree,
    replace_stable_node,
    stable_node_chain_add_dup,
    stable_node_dup_del,
)
from ksmtrace.engine.machine.memory import Frame
from ksmtrace.engine.machine.rbtree import Leaf, RbNode, RbRoot

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.state import Ksm


class Found(NamedTuple):
    """What a search of the stable tree found.

    Attributes:
        page: the KSM page that is equal.
        node: its node in the tree, or the chain of it.
        dup: the node of the page: `node`, or one of its dups.
    """

    page: Frame
    node: StableNode
    dup: StableNode


def stable_tree_search(ksm: Ksm, page: Frame) -> Frame | None:
    """The KSM page into which `page` can be merged; `page` itself when it is in the tree already.

    stable_tree_search, all versions. None as well when an equal KSM page has no room: `page` must
    then find a partner in the unstable tree, and the two become a dup. A migrating `page` is placed
    into the tree of its node.
    """
    page_node: StableNode | None = page.stable_node
    if page_node is not None and page_node.place is not Place.MIGRATING:
        return page
    nid = ksm.nid_of(page)
    root = ksm.stable_roots[nid]
    found = _walk(ksm, page, root, prune=True, with_place=page_node is not None)
    if isinstance(found, Leaf):
        if page_node is None:
            return None
        _leave_migrate_nodes(ksm, page_node, nid)
        link_stable_node(ksm, root, page_node, found)
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
    """A new stable node for `kpage`; with an equal page in the tree it becomes a dup of a chain.

    stable_tree_insert, all versions. The kernel's own may fail for want of memory.
    """
    nid = ksm.nid_of(kpage)
    root = ksm.stable_roots[nid]
    found = _walk(ksm, kpage, root, prune=False, with_place=True)
    node = ksm.stable_node_type(ksm.new_key(), kpage, nid)
    if isinstance(found, Leaf):
        link_stable_node(ksm, root, node, found)
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
    """Move a node, whose page is on another NUMA node now, to migrate_nodes.

    part of cmp_and_merge_page, 3.9.
    """
    stable_node_dup_del(ksm, node)
    _join_migrate_nodes(ksm, node)


def _walk(ksm: Ksm, page: Frame, root: RbRoot, *, prune: bool, with_place: bool) -> Found | Leaf:
    if ksm.accelerator is not None:
        known = ksm.accelerator.search_stable(page, root, with_place=with_place)
        if known is not None:
            return known
    while True:
        parent: RbNode | None = None
        left = False
        current = root.rb_node
        while current is not None:
            assert isinstance(current, StableNode), "the stable tree holds stable nodes"
            dup: StableNode | None = current
            if current.place is Place.CHAIN:
                current, dup = ksm.variant.chain(ksm, current, root, prune=prune)
            kpage = None if dup is None else ksm_get_folio(ksm, dup)
            if dup is None or kpage is None:
                break  # a stale node went, and the tree may have turned: from the root again
            order = ksm.memcmp_pages(page, kpage)
            if order == 0:
                return Found(kpage, current, dup)
            parent = current
            left = order < 0
            current = parent.rb_left if left else parent.rb_right
        else:
            return Leaf(parent, left)


def _replace_misplaced(
    ksm: Ksm, found: Found, page_node: StableNode | None, root: RbRoot, nid: int
) -> Frame | None:
    # The equal page has come to another NUMA node: its node makes way.
    if page_node is not None:
        _leave_migrate_nodes(ksm, page_node, nid)
    if found.dup is found.node:
        if page_node is not None:
            replace_stable_node(ksm, root, found.dup, page_node)
        else:
            erase_stable_node(ksm, root, found.dup)
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
