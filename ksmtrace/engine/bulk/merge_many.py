"""The merges among many pages that are examined at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ksmtrace.engine.bulk.bulk_result import Done
from ksmtrace.engine.bulk.columns import State
from ksmtrace.engine.bulk.content_index import ContentIndex
from ksmtrace.engine.bulk.decide import Decisions
from ksmtrace.engine.bulk.stored_node import StoredNode
from ksmtrace.engine.machine.memory import Frame, Mm
from ksmtrace.engine.machine.page_table import BLOCK_SHIFT

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.state import Ksm


def merge_many(
    ksm: Ksm, index: ContentIndex, mm: Mm, decisions: Decisions, keys: list[int]
) -> list[StoredNode]:
    """Carry out what is decided on PAIRED and SHARED pages.

    Args:
        ksm: all of ksmd's state.
        index: its index.
        mm: the process that the pages belong to.
        decisions: on neighbouring pages; their rmap_items have their keys, and have left the
            unstable tree.
        keys: of the stable nodes to be made, one for each PAIRED page.

    Returns:
        These nodes; they have still to be put in the stable tree.
    """
    columns, slots, counters = index.columns, decisions.slots, ksm.counters
    pairs = np.flatnonzero(decisions.done == Done.PAIRED)
    partner = decisions.partner[pairs]
    numbers = columns.content[slots][pairs]
    joining = [
        _new_node(index, key, pfn, number)
        for key, pfn, number in zip(
            keys, columns.pfn[slots][pairs].tolist(), numbers.tolist(), strict=True
        )
    ]
    made = np.array([columns.nodes.number_of(its) for its in joining], np.int32)
    columns.nodes.sharers[made] = 2
    index.unstable[numbers] = -1
    index.stable[numbers] = made
    for gone in (pairs + slots.start, partner):
        columns.state[gone] = State.KSM
        columns.node[gone] = made
    shared = np.flatnonzero(decisions.done == Done.SHARED)
    node = decisions.node[shared]
    node_of_pair = np.full(len(decisions.done), -1, np.int32)
    node_of_pair[pairs] = made
    of_pair = node <= -2
    node[of_pair] = node_of_pair[-2 - node[of_pair]]
    columns.state[slots][shared] = State.KSM
    columns.node[slots][shared] = node
    np.add.at(columns.nodes.sharers, node, 1)
    counters.pages_shared += len(pairs)
    counters.pages_sharing += len(pairs) + len(shared)
    counters.pages_unshared -= len(pairs)
    mm.ksm_merging_pages += len(pairs) + len(shared)
    for number in (partner >> BLOCK_SHIFT).tolist():
        block = columns.blocks[number]
        assert block is not None, "a partner is mapped"
        block.mm.ksm_merging_pages += 1
    return joining


def _new_node(index: ContentIndex, key: int, pfn: int, number: int) -> StoredNode:
    kpage = Frame(pfn, index.pool.contents[number], 0)
    kpage.ksm = True
    kpage.exclusive = False
    node = kpage.stable_node = StoredNode(key, kpage, 0)
    return node
