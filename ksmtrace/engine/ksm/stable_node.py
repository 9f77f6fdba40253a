"""Stable nodes, each a KSM page and the rmap_items that share it, and chains of such nodes."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from ksmtrace.engine.ksm.rmap_item import RmapItem, Tree
from ksmtrace.engine.machine.memory import Frame
from ksmtrace.engine.machine.rbtree import (
    Leaf,
    RbNode,
    RbRoot,
    rb_erase,
    rb_insert_color,
    rb_link_node,
    rb_replace_node,
)

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.state import Ksm


class Place(Enum):
    """The place of a stable node."""

    TREE = "in the stable tree"
    CHAIN = "in the stable tree, without a page: the head of a chain of dups"
    DUP = "on a chain"
    MIGRATING = "on migrate_nodes: its page has come to another NUMA node"


class StableNode(RbNode):
    """struct stable_node (ksm_stable_node from 6.1).

    Attributes:
        key: in place of the address of the struct.
        kpage: its KSM page; None for a chain. The node holds no reference on it.
        nid: NUMA node of its tree; 0 when merging across nodes.
        items: rmap_items that share the page, as far as there are objects of them.
        chain: for a dup, its chain.
        dups: for a chain, its dups, latest first.
        chain_prune_time: for a chain, when stale dups were last dropped, in milliseconds.
    """

    __slots__ = ("chain", "chain_prune_time", "dups", "items", "key", "kpage", "nid", "place")

    def __init__(self, key: int, kpage: Frame | None, nid: int) -> None:
        super().__init__()
        self.key = key
        self.kpage = kpage
        if kpage is not None:
            self.rb_key = kpage.data.unit
        self.nid = nid
        self.place = Place.TREE
        self.items: dict[RmapItem, None] = {}
        self.chain: StableNode | None = None
        self.dups: list[StableNode] = []
        self.chain_prune_time = 0

    @property
    def kpfn(self) -> int:
        """Frame number of its page."""
        assert self.kpage is not None, "only a chain has no page"
        return self.kpage.pfn

    @property
    def sharers(self) -> int:
        """How many rmap_items share the page (rmap_hlist_len)."""
        return len(self.items)

    @property
    def is_new(self) -> bool:
        """Whether nobody shares its page yet, or no more."""
        return not self.sharers

    def add(self, item: RmapItem) -> None:
        """`item` shares the page."""
        self.items[item] = None

    def remove(self, item: RmapItem) -> None:
        """It no longer does."""
        del self.items[item]


def link_stable_node(ksm: Ksm, root: RbRoot, node: StableNode, leaf: Leaf) -> None:
    """Put `node` in a stable tree (rb_link_node and rb_insert_color)."""
    rb_link_node(root, node, leaf.parent, left=leaf.left)
    rb_insert_color(root, node)
    if ksm.accelerator is not None:
        ksm.accelerator.stable_node_linked(node)


def replace_stable_node(ksm: Ksm, root: RbRoot, victim: StableNode, node: StableNode) -> None:
    """Put `node` in the place of `victim` in a stable tree (rb_replace_node)."""
    rb_replace_node(root, victim, node)
    if ksm.accelerator is not None:
        ksm.accelerator.stable_node_unlinked(victim)
        ksm.accelerator.stable_node_linked(node)


def erase_stable_node(ksm: Ksm, root: RbRoot, node: StableNode) -> None:
    """Take `node` out of a stable tree (rb_erase)."""
    rb_erase(root, node)
    if ksm.accelerator is not None:
        ksm.accelerator.stable_node_unlinked(node)


def ksm_get_folio(ksm: Ksm, node: StableNode) -> Frame | None:
    """The KSM page of `node`; None when it has been freed, and then `node` is removed as well.

    get_ksm_page up to 6.8, ksm_get_folio since.
    """
    kpage = node.kpage
    # mapped is allocated: this is called for every step of every walk.
    if kpage is not None and kpage.stable_node is node and (kpage.mapped or kpage.allocated):
        return kpage
    remove_node_from_stable_tree(ksm, node)
    return None


def remove_node_from_stable_tree(ksm: Ksm, node: StableNode) -> None:
    """Free `node`; all its rmap_items leave it (remove_node_from_stable_tree, all versions)."""
    ksm.watcher.stable_node_removed(node)
    if node.items:
        ksm.counters.pages_sharing -= len(node.items) - 1
        ksm.counters.pages_shared -= 1
    for item in tuple(node.items):
        node.remove(item)
        item.mm.ksm_merging_pages -= 1
        item.head = None
        item.tree = Tree.NEITHER
    if node.place is Place.MIGRATING:
        ksm.migrate_nodes.remove(node)
    else:
        stable_node_dup_del(ksm, node)
    if ksm.accelerator is not None:
        ksm.accelerator.stable_node_freed(node)


def stable_tree_append(ksm: Ksm, item: RmapItem, node: StableNode) -> None:
    """`item` now shares the page of `node` (stable_tree_append, all versions).

    The argument max_page_sharing_bypass of 4.13 and later only silences a warning, and is left out.
    """
    ksm.watcher.appended(item, node)
    if node.sharers:
        ksm.counters.pages_sharing += 1
    else:
        ksm.counters.pages_shared += 1
    node.add(item)
    item.head = node
    item.tree = Tree.STABLE
    item.mm.ksm_merging_pages += 1


def is_page_sharing_candidate(ksm: Ksm, node: StableNode, offset: int = 0) -> bool:
    """Whether `node` has sharers, and room for `offset` more and one.

    is_page_sharing_candidate, 4.13.
    """
    if not ksm.variant.chains:
        return True
    return 0 < node.sharers < ksm.tunables["max_page_sharing"] - offset


def alloc_stable_node_chain(ksm: Ksm, dup: StableNode, root: RbRoot) -> StableNode:
    """A new chain in the place of `dup`, and `dup` on it (alloc_stable_node_chain, 4.13)."""
    chain = ksm.stable_node_type(ksm.new_key(), None, 0)
    chain.place = Place.CHAIN
    chain.rb_key = dup.rb_key
    chain.chain_prune_time = ksm.now_ms
    ksm.counters.stable_node_chains += 1
    replace_stable_node(ksm, root, dup, chain)
    stable_node_chain_add_dup(ksm, dup, chain)
    return chain


def stable_node_chain_add_dup(ksm: Ksm, dup: StableNode, chain: StableNode) -> None:
    """Put `dup` at the front of `chain` (stable_node_chain_add_dup, 4.13)."""
    dup.place = Place.DUP
    dup.chain = chain
    chain.dups.insert(0, dup)
    ksm.counters.stable_node_dups += 1


def stable_node_dup_del(ksm: Ksm, node: StableNode) -> None:
    """Take `node` from its chain, or out of its tree (stable_node_dup_del, 4.13)."""
    if node.place is Place.DUP:
        assert node.chain is not None, "a dup has a chain"
        node.chain.dups.remove(node)
        node.chain = None
        ksm.counters.stable_node_dups -= 1
    else:
        erase_stable_node(ksm, ksm.stable_roots[node.nid], node)


def collapse_chain(ksm: Ksm, chain: StableNode, root: RbRoot) -> None:
    """The only dup left takes its chain's place in the tree (part of stable_node_dup, 4.13)."""
    (dup,) = chain.dups
    replace_stable_node(ksm, root, chain, dup)
    dup.place = Place.TREE
    dup.chain = None
    ksm.counters.stable_node_chains -= 1
    ksm.counters.stable_node_dups -= 1


def free_stable_node_chain(ksm: Ksm, chain: StableNode, root: RbRoot) -> None:
    """Free a chain without dups (free_stable_node_chain, 4.13)."""
    erase_stable_node(ksm, root, chain)
    ksm.counters.stable_node_chains -= 1
