"""Comparisons that the kernel would make for many pages, and the shape of its stable tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ksmtrace.engine.bulk.bulk_result import Done
from ksmtrace.engine.bulk.content_index import ContentIndex
from ksmtrace.engine.bulk.decide import Decisions
from ksmtrace.engine.bulk.depths import Depths
from ksmtrace.engine.bulk.shadow_tree import Numbers, words_of
from ksmtrace.engine.bulk.stored_node import StoredNode
from ksmtrace.engine.bulk.tree_search import find_in_order, insert_in_order
from ksmtrace.engine.machine.rbtree import RbRoot

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.state import Ksm
    from ksmtrace.engine.machine.content import PagePool


def count_comparisons(
    ksm: Ksm, index: ContentIndex, decisions: Decisions, made: list[StoredNode]
) -> None:
    """Count comparisons of carrying out `decisions`, except for searches of the unstable tree.

    Args:
        ksm: all of ksmd's state.
        index: its index.
        decisions: on neighbouring pages, none of which has been put in the stable tree yet.
        made: the stable nodes of the PAIRED pages, which join the tree here, in their order.
    """
    done = decisions.done
    # Up to 6.10 the stable tree is searched before the checksum is looked at.
    least = Done.JOINED if ksm.variant.checks_before_stable_tree else Done.CHANGED
    searches = done >= least
    numbers = index.columns.content[decisions.slots][searches]
    # try_to_merge_one_page compares once more what it has write-protected.
    ksm.counters.comparisons += int(np.count_nonzero(done >= Done.SHARED))
    root, pool = ksm.stable_roots[0], index.pool
    if not made and pool.only_words:
        if index.depths is None or not index.depths.hold(root):
            index.depths = Depths(root, ksm.counters.pages_shared)
        if index.depths.pay(len(numbers)):
            words = words_of(pool.units_of(numbers))
            ksm.counters.comparisons += index.depths.comparisons(words)
            return
    ksm.counters.comparisons += _walk(root, pool, numbers, done[searches], made)


def _walk(
    root: RbRoot,
    pool: PagePool,
    numbers: Numbers,
    done: npt.NDArray[np.uint8],
    made: list[StoredNode],
) -> int:
    compared = 0
    joining = iter(made)
    words = pool.only_words
    for unit, what in zip(pool.units_of(numbers), done.tolist(), strict=True):
        if what == Done.PAIRED:  # stable_tree_insert walks the same way once more
            compared += 2 * insert_in_order(root, next(joining), words=words)
        else:
            compared += find_in_order(root, unit, words=words).steps
    return compared
