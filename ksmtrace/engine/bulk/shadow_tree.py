"""The unstable tree in the kernel's shape, with nodes for contents instead of rmap_items.

Where a content that is not in the tree belongs follows from the next smaller one that is: to its
    right, or at the left end of
what is there. So the places of many contents are found by sorting them, and what a walk from the
root would have compared is counted on the way up. The tree turns as they join and leave it, one by
one, as the kernel's does.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import compress
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ksmtrace.engine.bulk.tree_search import insert_in_order
from ksmtrace.engine.machine.rbtree import RbNode, RbRoot, rb_erase, rb_insert_color, rb_link_node

if TYPE_CHECKING:
    from ksmtrace.engine.machine.content import PagePool

Numbers = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]

_LEAST_AT_ONCE = 32
_MOST_TO_MOVE = 2048
"""Sorting pays when there is one content for so many in the tree."""


def words_of(units: list[bytes]) -> Words:
    """Words as numbers in the order of the pages that repeat them."""
    return np.frombuffer(b"".join(units), dtype=">u8").astype(np.uint64)


class ShadowTree:
    """The tree of a pass, at first an empty one.

    Args:
        pool: knows the contents by number.

    Attributes:
        root: the tree; `rb_key` of its nodes is `PageData.unit`.
    """

    __slots__ = ("_count", "_in_tree", "_nodes", "_numbers", "_pool", "_since", "_words", "root")

    def __init__(self, pool: PagePool) -> None:
        self._pool = pool
        # By number of content; kept from pass to pass.
        self._nodes: list[RbNode] = []
        self.drop()

    def drop(self) -> None:
        """A pass begins, with an empty tree."""
        self.root = RbRoot()
        self._in_tree = bytearray(len(self._nodes))
        self._count = 0
        # The contents in the tree by order, except for what happened to those in `_since`. The
        # number after the last is also the one before the first.
        self._words: Words = np.array([2**64 - 1], np.uint64)
        self._numbers: Numbers = np.array([-1], np.int32)
        self._since: list[int] = []

    def members(self) -> Iterator[tuple[int, RbNode]]:
        """Contents in the tree and their nodes."""
        return compress(enumerate(self._nodes), self._in_tree)

    def comparisons(self, number: int) -> int:
        """What a search for a content that is in the tree compares."""
        return _nodes_up_from(self._nodes[number])

    def join_or_leave(self, numbers: Numbers) -> bytes:
        """One content after the other joins the tree, or leaves it when it is there.

        Returns:
            What the search for each compares, a byte for each: no tree is higher than that.
        """
        self._make_room()
        some = numbers.tolist()
        many = len(some) >= _LEAST_AT_ONCE and len(some) * _MOST_TO_MOVE >= self._count
        if not many or not self._pool.only_words:
            self._since += some
            return bytes(map(self._join_or_leave, some))
        self._take_in()
        self._since += some
        units = self._pool.units_of(numbers)
        compared = bytearray()
        nodes, in_tree, root = self._nodes, self._in_tree, self.root
        for number, unit, smaller in zip(some, units, self._smaller(numbers, units), strict=True):
            if smaller < 0 or not in_tree[smaller] or in_tree[number]:
                compared.append(self._join_or_leave(number))
                continue
            parent, left = nodes[smaller], False
            below = parent.rb_right
            while below is not None:
                parent, below, left = below, below.rb_left, True
            compared.append(_nodes_up_from(parent))
            node = nodes[number]
            node.rb_key = unit
            rb_link_node(root, node, parent, left=left)
            if parent.rb_red:
                rb_insert_color(root, node)
            in_tree[number] = True
            self._count += 1
        return bytes(compared)

    def _join_or_leave(self, number: int) -> int:
        node = self._nodes[number]
        if self._in_tree[number]:
            compared = _nodes_up_from(node)
            rb_erase(self.root, node)
            self._in_tree[number] = False
            self._count -= 1
            return compared
        node.rb_key = self._pool.contents[number].unit
        self._in_tree[number] = True
        self._count += 1
        return insert_in_order(self.root, node, words=self._pool.only_words)

    def _smaller(self, numbers: Numbers, units: list[bytes]) -> list[int]:
        # For each content, the next smaller one of those in the tree and of those that come before
        # it here; -1 without one. That one may have left the tree when its turn comes.
        words = words_of(units)
        before = np.searchsorted(self._words, words) - 1
        smaller = self._numbers[before]
        earlier = np.full(len(words), -1)
        lower: list[int] = []
        for index in np.argsort(words, kind="stable").tolist():
            while lower and lower[-1] > index:
                lower.pop()
            if lower:
                earlier[index] = lower[-1]
            lower.append(index)
        nearer = (earlier >= 0) & ((before < 0) | (words[earlier] > self._words[before]))
        smaller[nearer] = numbers[earlier[nearer]]
        found: list[int] = smaller.tolist()
        return found

    def _take_in(self) -> None:
        # `_words` and `_numbers` are as the tree is now.
        touched = np.unique(np.array(self._since, np.int32))
        self._since.clear()
        words = words_of(self._pool.units_of(touched))
        in_tree = np.frombuffer(self._in_tree, np.bool_)[touched]
        at = np.searchsorted(self._words, words)
        was_in_tree = self._numbers[at] == touched
        gone = at[was_in_tree & ~in_tree]
        self._words, self._numbers = np.delete(self._words, gone), np.delete(self._numbers, gone)
        new = np.flatnonzero(in_tree & ~was_in_tree)
        new = new[np.argsort(words[new])]
        at = np.searchsorted(self._words, words[new])
        self._words = np.insert(self._words, at, words[new])
        self._numbers = np.insert(self._numbers, at, touched[new])

    def _make_room(self) -> None:
        new = len(self._pool.contents) - len(self._nodes)
        if new > 0:
            self._nodes += [RbNode() for _ in range(new)]
            self._in_tree += bytes(new)


def _nodes_up_from(node: RbNode) -> int:
    # This is most of the work of counting: two steps a turn.
    count = 1
    while (above := node.rb_parent) is not None:
        parent = above.rb_parent
        if parent is None:
            return count + 1
        node = parent
        count += 2
    return count
