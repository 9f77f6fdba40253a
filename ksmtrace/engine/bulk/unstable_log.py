"""Log of a pass's insertions into the unstable tree: gives its shape and the comparisons made."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from ksmtrace.engine.bulk.shadow_tree import Numbers, Shape

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
        "_shape",
        "_sweeps",
        "_walked",
    )

    def __init__(self, pool: PagePool, *, counting: bool) -> None:
        self._pool = pool
        self._counting = counting
        self._shape = Shape(pool)
        self._walked = 0  # how many are in the shape
        self._sweeps = pool.sweeps
        # Numbers of dtype int32, and comparisons as `Shape` counts them.
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
        self._shape.drop()
        self._walked = 0

    def join_or_leave(self, number: int) -> int:
        """Add a content, or remove it when it is there; returns the comparisons of the search."""
        return self._go_on(number.to_bytes(_ITEM, sys.byteorder))

    def join_or_leave_many(self, numbers: Numbers) -> int:
        """The same for one content after the other; what all searches compare."""
        return self._go_on(numbers.tobytes())

    def comparisons(self, number: int) -> int:
        """What a search for a content that is in the tree compares."""
        return self.shape().comparisons(number)

    def shape(self) -> Shape:
        """The tree as it is now."""
        self._walk_to(len(self._joined))
        return self._shape

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
            compared = self._shape.join_or_leave(np.frombuffer(some, np.int32))
            self._walked = end
        self._compared += compared
        return sum(compared)

    def _walk_to(self, end: int) -> None:
        if self._walked < end:
            some = bytes(self._joined[self._walked : end])
            self._shape.join_or_leave(np.frombuffer(some, np.int32))
            self._walked = end
