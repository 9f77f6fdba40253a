"""Chains of stable nodes: which dup a search takes, and what becomes of stale ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksmtrace.engine.ksm.stable_node import (
    StableNode,
    collapse_chain,
    free_stable_node_chain,
    is_page_sharing_candidate,
    ksm_get_folio,
)
from ksmtrace.engine.machine.rbtree import RbRoot

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.state import Ksm


def chain_candidate_or_any(
    ksm: Ksm, chain: StableNode, root: RbRoot, *, prune: bool
) -> tuple[StableNode, StableNode | None]:
    """A dup with room, else any dup, so that the walk can go on.

    __stable_node_chain and stable_node_dup_any, 4.13 to 6.10.

    Returns:
        The node in the tree, `chain` or the dup that has taken its place, and the dup; None when
        the chain was empty and is gone.
    """
    prune = prune and _prune_is_due(ksm, chain)
    dup, live = _best_candidate(ksm, chain, prune=prune)
    if dup is not None and prune and live == 1:
        collapse_chain(ksm, chain, root)
        return dup, dup
    if dup is not None:
        _move_to_front(ksm, chain, dup)
    elif chain.dups:
        dup = chain.dups[0]
    else:
        free_stable_node_chain(ksm, chain, root)
    return chain, dup


def chain_best_dup(
    ksm: Ksm, chain: StableNode, root: RbRoot, *, prune: bool
) -> tuple[StableNode, StableNode | None]:
    """The dup with room if there is one, else the first.

    __stable_node_chain and stable_node_dup since 6.11 (a0b856b617c5 "mm/ksm: optimize the
    chain()/chain_prune() interfaces").

    Returns:
        As `chain_candidate_or_any`.
    """
    dup = _best_dup(ksm, chain, prune=prune and _prune_is_due(ksm, chain))
    if dup is None:
        free_stable_node_chain(ksm, chain, root)
    elif len(chain.dups) == 1:
        collapse_chain(ksm, chain, root)
        return dup, dup
    else:
        _move_to_front(ksm, chain, dup)
    return chain, dup


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
