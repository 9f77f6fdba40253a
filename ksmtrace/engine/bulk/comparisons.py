"""The comparisons that ksmd makes with many pages that are examined at once, and the stable tree's shape: both as in the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ksmtrace.engine.bulk.bulk_result import Done
from ksmtrace.engine.bulk.content_index import ContentIndex
from ksmtrace.engine.bulk.decide import Decisions
from ksmtrace.engine.bulk.shadow_tree import Numbers, words_of
from ksmtrace.engine.bulk.stored_node import StoredNode
from ksmtrace.engine.bulk.tree_search import find_in_order, insert_in_order
from ksmtrace.engine.machine.rbtree import RbNode, RbRoot

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.state import Ksm
    from ksmtrace.engine.machine.content import PagePool


class Depths:
    """What searches of the stable tree compare, as long as that stays as it is, and all pages in it repeat a word.

    To find it out takes a look at every node, which pays once as many searches have walked.

    Args:
        root: the tree.
        size: about how many nodes it has.
    """

    def __init__(self, root: RbRoot, size: int) -> None:
        self._root = root
        self._changes = root.changes
        self._walks_left = size
        self._words: npt.NDArray[np.uint64] | None = None

    def hold(self, root: RbRoot) -> bool:
        """Whether this is still about the tree at `root`."""
        return self._root is root and self._changes == root.changes

    def pay(self, searches: int) -> bool:
        """Whether so many searches may ask; else they have to walk."""
        if self._words is None:
            self._walks_left -= searches
            if self._walks_left > 0:
                return False
            self._measure()
        return True

    def comparisons(self, words: npt.NDArray[np.uint64]) -> int:
        """Of searches for all these words."""
        assert self._words is not None, "it pays"
        at = np.searchsorted(self._words[:-1], words)
        there = (self._words[at] == words) & (at < len(self._words) - 1)
        return int(np.where(there, self._at_node[at], self._between[at]).sum())

    def _measure(self) -> None:
        units: list[bytes] = []
        depths: list[int] = []
        above: list[tuple[RbNode, int]] = []
        node, depth = self._root.rb_node, 1
        while node is not None or above:
            while node is not None:
                above.append((node, depth))
                node, depth = node.rb_left, depth + 1
            node, depth = above.pop()
            units.append(node.rb_key)
            depths.append(depth)
            node, depth = node.rb_right, depth + 1
        self._words = np.append(words_of(units), np.uint64(0))
        self._at_node = np.array([*depths, 0], np.int64)
        # A search for what is not there ends below the deeper of its two neighbours.
        self._between = np.maximum(self._at_node, np.roll(self._at_node, 1))


def count_comparisons(
    ksm: Ksm, index: ContentIndex, decisions: Decisions, made: list[StoredNode]
) -> None:
    """Count what is compared in carrying out `decisions`, but for searches of the unstable tree.

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
