"""Stable nodes: making and removing them, and the items that join them."""

from __future__ import annotations

from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.engine.machine.memory import Frame
from ksmtrace.engine.uksm.nodes import NodeVma, StableNode, StableTreeNode
from ksmtrace.engine.uksm.slot import Slot, UksmItem
from ksmtrace.engine.uksm.state import Uksm


def new_stable_node(
    uksm: Uksm, tree_node: StableTreeNode, page: Frame, hash_max: int
) -> StableNode:
    """A node for a page that has just become a KSM page (new_stable_node)."""
    node = StableNode(uksm.new_key(), page, hash_max, tree_node)
    page.stable_node = node
    tree_node.nodes.append(node)
    uksm.stable_nodes[node] = None
    return node


def get_uksm_page(
    uksm: Uksm, node: StableNode, *, unlink: bool = True, drop_tree_node: bool = True
) -> Frame | None:
    """The page of `node`; None where it has been freed, and then the node goes (get_uksm_page)."""
    if node.page.allocated:
        return node.page
    remove_node_from_stable_tree(uksm, node, unlink=unlink, drop_tree_node=drop_tree_node)
    return None


def remove_node_from_stable_tree(
    uksm: Uksm, node: StableNode, *, unlink: bool, drop_tree_node: bool
) -> None:
    """Free a node, and take its items out of the tree (remove_node_from_stable_tree).

    Args:
        uksm: all state.
        node: what goes.
        unlink: take it out of its tree_node as well.
        drop_tree_node: and that out of the tree, when it is empty then.
    """
    uksm.watcher.stable_node_removed(node)
    if node.vmas:
        uksm.pages_shared -= 1
        uksm.pages_sharing += 1
    for node_vma in node.vmas:
        uksm.pages_sharing -= len(node_vma.items)
        for item in node_vma.items:
            item.tree = Tree.NEITHER
            item.node_vma = None
    uksm.node_vmas -= len(node.vmas)
    node.vmas = []
    tree_node = node.tree_node
    if tree_node is not None and unlink:
        tree_node.nodes.remove(node)
        if not tree_node.nodes and drop_tree_node:
            del uksm.stable_tree[tree_node.hash]
    del uksm.stable_nodes[node]


def stable_tree_append(uksm: Uksm, item: UksmItem, node: StableNode, *, log: bool) -> None:
    """`item` becomes a sharer of the KSM page of `node` (stable_tree_append).

    Slots that share the page already count what is merged with theirs. As in UKSM, the list of
    slots is searched up to the first with a number not below the own, one above all goes to the
    front, and the one behind the place found is left out of the count.

    Args:
        uksm: all state.
        item: in neither tree.
        node: the KSM page's.
        log: the merge counts for its slot and for the others.
    """
    uksm.watcher.appended(item, node)
    slot, vmas = item.slot, node.vmas
    item.tree = Tree.STABLE
    if vmas:
        uksm.pages_sharing += 1
    else:
        uksm.pages_shared += 1
    place = next((at for at, one in enumerate(vmas) if one.slot.number >= slot.number), None)
    counted = vmas[:place]
    if place is None:
        node_vma = _new_node_vma(uksm, node, slot, 0)
    else:
        found = vmas[place]
        same = found.slot is slot
        counted += vmas[place + 2 if same else place + 1 :]
        node_vma = found if same else _new_node_vma(uksm, node, slot, place)
    item.node_vma = node_vma
    node_vma.items.add(item)
    if log:
        assert slot.rung is not None, "it is being scanned"
        slot.pages_merged += 1
        for one in counted:
            one.slot.pages_bemerged += slot.rung.step
            uksm.noted_slots.setdefault(one.slot)


def _new_node_vma(uksm: Uksm, node: StableNode, slot: Slot, place: int) -> NodeVma:
    made = NodeVma(node, slot)
    node.vmas.insert(place, made)
    uksm.node_vmas += 1
    return made
