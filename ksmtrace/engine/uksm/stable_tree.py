"""The stable tree: KSM pages by their hash, and those of one hash by hash_max."""

from __future__ import annotations

from ksmtrace.engine.machine.memory import Frame
from ksmtrace.engine.uksm.merge import try_merge_with_stable
from ksmtrace.engine.uksm.nodes import StableNode, StableTreeNode
from ksmtrace.engine.uksm.slot import UksmItem
from ksmtrace.engine.uksm.stable_node import get_uksm_page, new_stable_node
from ksmtrace.engine.uksm.state import Uksm
from ksmtrace.engine.uksm.unstable_tree import hash_max_cost, rmap_item_hash_max

Placed = tuple[StableNode | None, bool, bool]
"""The node, and whether the visited item and the other one share its page."""


def stable_tree_search(uksm: Uksm, item: UksmItem) -> Frame | None:
    """The KSM page that may be equal to the item's; a KSM page is its own (stable_tree_search)."""
    page = item.page
    if page.ksm and page.stable_node is not None:
        return page
    tree_node = uksm.stable_tree.get(item.oldchecksum)
    if tree_node is None:
        return None
    node: StableNode | None
    if len(tree_node.nodes) == 1:
        node = tree_node.nodes[0]
    else:
        node = tree_node.find(rmap_item_hash_max(uksm, item))
    return None if node is None else get_uksm_page(uksm, node)


def stable_tree_insert(uksm: Uksm, page: Frame, item: UksmItem, tree_item: UksmItem) -> Placed:
    """A place for a new KSM page, or another KSM page that is equal to it.

    stable_tree_insert, first_level_insert, stable_subtree_insert.

    Args:
        uksm: all state.
        page: mapped by both items.
        item: the one visited.
        tree_item: the one that waited.
    """
    tree_node = uksm.stable_tree.get(item.oldchecksum)
    if tree_node is None:
        tree_node = uksm.stable_tree[item.oldchecksum] = StableTreeNode(item.oldchecksum)
        return new_stable_node(uksm, tree_node, page, 0), True, True
    if len(tree_node.nodes) == 1:
        return _first_level_insert(uksm, tree_node, page, item, tree_item)
    return _stable_subtree_insert(uksm, tree_node, page, item, tree_item)


def stable_tree_delta_hash(uksm: Uksm) -> None:
    """Build the tree anew, by hashes of another strength (stable_tree_delta_hash).

    A KSM page whose hash and hash_max are those of another is left out.
    """
    tree: dict[int, StableTreeNode] = {}
    for node in reversed(tuple(uksm.stable_nodes)):
        page = get_uksm_page(uksm, node, unlink=False, drop_tree_node=False)
        if page is not None:
            _stable_node_reinsert(uksm, tree, node, uksm.hashes.of(page.data))
    uksm.stable_tree = tree


def _stable_node_reinsert(
    uksm: Uksm, tree: dict[int, StableTreeNode], node: StableNode, value: int
) -> None:
    tree_node = tree.setdefault(value, StableTreeNode(value))
    if tree_node.nodes:
        _stable_node_hash_max(uksm, node)
        if len(tree_node.nodes) == 1:
            _stable_node_hash_max(uksm, tree_node.nodes[0])
        if tree_node.find(node.hash_max) is not None:
            node.tree_node = None
            return
    node.tree_node = tree_node
    tree_node.nodes.append(node)


def _first_level_insert(
    uksm: Uksm, tree_node: StableTreeNode, page: Frame, item: UksmItem, tree_item: UksmItem
) -> Placed:
    (node,) = tree_node.nodes
    hash_max = 0
    tree_page = get_uksm_page(uksm, node, drop_tree_node=False)
    if tree_page is not None:
        if _is_equal(uksm, page, tree_page):
            return _merged(uksm, node, page, item, tree_item)
        _stable_node_hash_max(uksm, node)
        hash_max = rmap_item_hash_max(uksm, item)
        if hash_max == node.hash_max:
            return None, False, False
    return new_stable_node(uksm, tree_node, page, hash_max), True, True


def _stable_subtree_insert(
    uksm: Uksm, tree_node: StableTreeNode, page: Frame, item: UksmItem, tree_item: UksmItem
) -> Placed:
    hash_max = rmap_item_hash_max(uksm, item)
    while (node := tree_node.find(hash_max)) is not None:
        tree_page = get_uksm_page(uksm, node, drop_tree_node=False)
        if tree_page is not None:
            if _is_equal(uksm, page, tree_page):
                return _merged(uksm, node, page, item, tree_item)
            return None, False, False
    return new_stable_node(uksm, tree_node, page, hash_max), True, True


def _merged(
    uksm: Uksm, node: StableNode, page: Frame, item: UksmItem, tree_item: UksmItem
) -> Placed:
    first, second = try_merge_with_stable(uksm, item, tree_item, page, node.page)
    return (node if first else None), first, second


def _is_equal(uksm: Uksm, page: Frame, other: Frame) -> bool:
    uksm.strength.neg += uksm.memcmp_cost
    uksm.comparisons += 1
    return page.data is other.data


def _stable_node_hash_max(uksm: Uksm, node: StableNode) -> None:
    if not node.hash_max:
        node.hash_max = uksm.hashes.max_of(node.page.data)
        uksm.strength.neg += hash_max_cost(uksm)
