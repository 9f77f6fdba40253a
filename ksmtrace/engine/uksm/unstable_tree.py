"""The unstable tree, and the trees that an item can leave."""

from __future__ import annotations

from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.engine.uksm.nodes import UnstableTreeNode
from ksmtrace.engine.uksm.page_hash import HASH_STRENGTH_MAX
from ksmtrace.engine.uksm.slot import UksmItem
from ksmtrace.engine.uksm.stable_node import get_uksm_page
from ksmtrace.engine.uksm.state import Uksm


def unstable_tree_search_insert(uksm: Uksm, item: UksmItem) -> UksmItem | None:
    """An item whose page may be equal to that of `item`; else `item` joins the tree.

    unstable_tree_search_insert. The first item under a hash usually has no hash_max, so that no
    search finds it: of equal pages that come one after the other the second and the third merge.

    Returns:
        None also when the one found has the same page, or is of no use any more.
    """
    tree_node = uksm.unstable_tree.get(item.oldchecksum)
    if tree_node is None:
        tree_node = uksm.unstable_tree[item.oldchecksum] = UnstableTreeNode(item.oldchecksum)
    else:
        found = tree_node.find(rmap_item_hash_max(uksm, item))
        if found is not None:
            return found if _is_mergeable(uksm, found, item) else None
    item.tree_node = tree_node
    item.tree = Tree.UNSTABLE
    item.hash_round = uksm.hash_round
    tree_node.insert(item)
    uksm.pages_unshared += 1
    return None


def remove_rmap_item_from_tree(uksm: Uksm, item: UksmItem, *, freed: bool = False) -> None:
    """Take `item` out of whatever tree it is in (remove_rmap_item_from_tree).

    A KSM page that has lost its last item stays in the tree until it is found to be gone. An
    unstable tree that has been emptied since the item joined is not touched.

    Args:
        uksm: all state.
        item: what leaves.
        freed: the item itself goes.
    """
    uksm.watcher.rmap_item_removed(item, freed=freed)
    if item.tree is Tree.STABLE:
        _leave_stable_tree(uksm, item)
    elif item.tree is Tree.UNSTABLE:
        tree_node = item.tree_node
        assert tree_node is not None, "it is in the unstable tree"
        if item.hash_round == uksm.hash_round:
            tree_node.erase(item)
            if tree_node.is_empty:
                del uksm.unstable_tree[tree_node.hash]
        uksm.pages_unshared -= 1
        item.tree_node = None
        item.tree = Tree.NEITHER
    item.hash_max = 0
    if freed:
        uksm.items -= 1


def rmap_item_hash_max(uksm: Uksm, item: UksmItem) -> int:
    """The item's hash at the highest strength; to compute it costs (rmap_item_hash_max)."""
    if not item.hash_max:
        item.hash_max = uksm.hashes.max_of(item.page.data)
        uksm.strength.neg += hash_max_cost(uksm)
    return item.hash_max


def hash_max_cost(uksm: Uksm) -> int:
    """Words to hash from the present strength to the highest."""
    return HASH_STRENGTH_MAX - uksm.strength.strength


def _leave_stable_tree(uksm: Uksm, item: UksmItem) -> None:
    node_vma = item.node_vma
    assert node_vma is not None, "it is in the stable tree"
    node = node_vma.head
    if get_uksm_page(uksm, node) is None:
        return
    node_vma.items.remove(item)
    if not node_vma.items:
        node.vmas.remove(node_vma)
        uksm.node_vmas -= 1
    if node.vmas:
        uksm.pages_sharing -= 1
    else:
        uksm.pages_shared -= 1
    item.node_vma = None
    item.tree = Tree.NEITHER


def _is_mergeable(uksm: Uksm, found: UksmItem, item: UksmItem) -> bool:
    # get_tree_rmap_item_page; page->index, by which the address is checked, never changes here
    if found.page is item.page or found.slot.dead:
        return False
    page = found.page
    if page.allocated and not page.ksm and page.stable_node is found.mm:
        return True
    remove_rmap_item_from_tree(uksm, found)
    return False
