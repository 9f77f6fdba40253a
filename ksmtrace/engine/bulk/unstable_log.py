"""The contents that have joined the unstable tree in a pass, in order, and what that compared."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from ksmtrace.engine.bulk.shadow_tree import Numbers, ShadowTree

if TYPE_CHECKING:
    from ksmtrace.engine.machine.content import PagePool

_ITEM = np.dtype(np.int32).itemsize


class UnstableLog:
    """The contents that ksmd has looked for in the unstable tree since the pass began.

    A content that is not in the tree joins it, one that is there leaves it. The same contents in
    the same order give the same tree and the same comparisons: as long as a pass goes as the one
    before it went, nothing is walked.

    Args:
        pool: knows the contents by number.
        counting: comparisons are counted; else they are 0.
    """

    __slots__ = (
        "_before",
        "_compared",
        "_compared_before",
        "_counting",
        "_joined",
        "_pool",
        "_repeats",
        "_sweeps",
        "_tree",
        "_walked",
    )

    def __init__(self, pool: PagePool, *, counting: bool) -> None:
        self._pool = pool
        self._counting = counting
        self._tree = ShadowTree(pool)
        self._walked = 0  # how many are in the shape
        self._sweeps = pool.sweeps
        # Numbers of dtype int32, and comparisons as `ShadowTree` counts them.
        self._joined = bytearray()
        self._compared = bytearray()
        self._before = b""
        self._compared_before = b""
        self._repeats = False

    def drop(self) -> None:
        """A pass begins, with an empty tree; contents may have been forgotten just before."""
        # A number that was forgotten may stand for another content by now.
        self._repeats = self._counting and self._sweeps == self._pool.sweeps
        self._sweeps = self._pool.sweeps
        if self._repeats:
            self._before, self._compared_before = bytes(self._joined), bytes(self._compared)
        self._joined.clear()
        self._compared.clear()
        self._tree.drop()
        self._walked = 0

    def join_or_leave(self, number: int) -> int:
        """Put a content in the tree, or take it out if it is there; what the search compares."""
        return self._go_on(number.to_bytes(_ITEM, sys.byteorder))

    def join_or_leave_many(self, numbers: Numbers) -> int:
        """The same for one content after the other; what all searches compare."""
        return self._go_on(numbers.tobytes())

    def comparisons(self, number: int) -> int:
        """What a search for a content that is in the tree compares."""
        return self.tree().comparisons(number)

    def tree(self) -> ShadowTree:
        """The tree as it is now."""
        self._walk_to(len(self._joined))
        return self._tree

    def _go_on(self, some: bytes) -> int:
        begin = len(self._joined)
        self._joined += some
        if not self._counting:
            return 0
        end = len(self._joined)
        self._repeats = self._repeats and self._before[begin:end] == some
        if self._repeats:
            compared = self._compared_before[begin // _ITEM : end // _ITEM]
        else:
            self._walk_to(begin)
            compared = self._tree.join_or_leave(np.frombuffer(some, np.int32))
            self._walked = end
        self._compared += compared
        return sum(compared)

    def _walk_to(self, end: int) -> None:
        if self._walked < end:
            some = bytes(self._joined[self._walked : end])
            self._tree.join_or_leave(np.frombuffer(some, np.int32))
            self._walked = end
