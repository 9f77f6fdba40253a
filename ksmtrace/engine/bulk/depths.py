"""How deep the nodes of a stable tree are, and so what searches for many contents compare."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ksmtrace.engine.bulk.shadow_tree import words_of
from ksmtrace.engine.machine.rbtree import RbNode, RbRoot


class Depths:
    """What searches of a stable tree compare, as long as the tree stays as it is.

    All pages in it must repeat a word.

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
