"""Which page stands for a node of the stable tree, and which can take one more sharer: chains and their dups."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ksmtrace.engine.ksm.stable_node import (
    Place,
    StableNode,
    collapse_chain,
    free_stable_node_chain,
    is_page_sharing_candidate,
    ksm_get_folio,
)
from ksmtrace.engine.machine.memory import Frame
from ksmtrace.engine.machine.rbtree import RbRoot

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.state import Ksm


class Found(NamedTuple):
    """What a look at a node of the stable tree found.

    Attributes:
        page: the page to compare with.
        node: the node itself; another one when a chain was collapsed.
        dup: the node that `page` belongs to, `node` or one of its dups.
    """

    page: Frame
    node: StableNode
    dup: StableNode


def look_plain(ksm: Ksm, node: StableNode, root: RbRoot, *, prune: bool) -> Found | None:  # noqa: ARG001
    """Before 4.13 a node has one page, which any number of rmap_items may share.

    Returns:
        None when the page was gone; the tree has changed then, and the search must start again.
    """
    page = ksm_get_folio(ksm, node)
    return None if page is None else Found(page, node, node)


def look_candidate_or_any(ksm: Ksm, node: StableNode, root: RbRoot, *, prune: bool) -> Found | None:
    """A dup with room, else any dup, so that the walk can go on.

    __stable_node_chain and stable_node_dup_any, 4.13 to 6.10.

    Returns:
        None when a page was gone; the tree has changed then, and the search must start again.
    """
    dup: StableNode | None
    if node.place is not Place.CHAIN:
        dup = node if is_page_sharing_candidate(ksm, node) else None
    else:
        prune = prune and _prune_is_due(ksm, node)
        dup, live = _best_candidate(ksm, node, prune=prune)
        if dup is not None and prune and live == 1:
            collapse_chain(ksm, node, root)
            node = dup
        elif dup is not None:
            _move_to_front(ksm, node, dup)
    if dup is None:
        if node.place is not Place.CHAIN:
            dup = node
        elif node.dups:
            dup = node.dups[0]
        else:
            free_stable_node_chain(ksm, node, root)
            return None
    page = ksm_get_folio(ksm, dup)
    return None if page is None else Found(page, node, dup)


def look_best_dup(ksm: Ksm, node: StableNode, root: RbRoot, *, prune: bool) -> Found | None:
    """The dup with room if there is one, else the first.

    __stable_node_chain and stable_node_dup since 6.11 ("optimize the chain()/chain_prune() interfaces").

    Returns:
        None when a page was gone; the tree has changed then, and the search must start again.
    """
    if node.place is not Place.CHAIN:
        page = ksm_get_folio(ksm, node)
        return None if page is None else Found(page, node, node)
    dup = _best_dup(ksm, node, prune=prune and _prune_is_due(ksm, node))
    if dup is None:
        free_stable_node_chain(ksm, node, root)
        return None
    if len(node.dups) == 1:
        collapse_chain(ksm, node, root)
        node = dup
    else:
        _move_to_front(ksm, node, dup)
    assert dup.kpage is not None, "a dup has a page"
    return Found(dup.kpage, node, dup)


def _prune_is_due(ksm: Ksm, chain: StableNode) -> bool:
    pause = ksm.tunables["stable_node_chains_prune_millisecs"]
    if ksm.now_ms < chain.chain_prune_time + pause:
        return False
    chain.chain_prune_time = ksm.now_ms
    return True


def _best_candidate(ksm: Ksm, chain: StableNode, *, prune: bool) -> tuple[StableNode | None, int]:
    # Stale dups met on the way are freed. Without pruning the first candidate will do.
    found: StableNode | None = None
    live = 0
    for dup in tuple(chain.dups):
        if ksm_get_folio(ksm, dup) is None:
            continue
        live += 1
        if not is_page_sharing_candidate(ksm, dup):
            continue
        if found is None or dup.sharers > found.sharers:
            found = dup
            if not prune:
                break
    return found, live


def _best_dup(ksm: Ksm, chain: StableNode, *, prune: bool) -> StableNode | None:
    found: StableNode | None = None
    for dup in tuple(chain.dups):
        if ksm_get_folio(ksm, dup) is None:
            continue
        candidate = is_page_sharing_candidate(ksm, dup)
        if found is None or (
            candidate and (not is_page_sharing_candidate(ksm, found) or dup.sharers > found.sharers)
        ):
            found = dup
            if candidate and not prune:
                break
    return found


def _move_to_front(ksm: Ksm, chain: StableNode, dup: StableNode) -> None:
    if chain.dups[0] is not dup and is_page_sharing_candidate(ksm, dup, 1):
        chain.dups.remove(dup)
        chain.dups.insert(0, dup)
