"""Stable nodes that have been removed: items that still name one are in no tree."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ksmtrace.sources.live.gathered.chunk import Ints


class RemovedNodes:
    """Removed nodes, and when each was.

    ksmd clears the flags of all items of a node as it removes it. That would be a search through
    all that is known: an item learns of it when ksmd comes to it, at the latest in the next pass.
    """

    def __init__(self) -> None:
        self._when: dict[int, int] = {}
        self._sorted: tuple[npt.NDArray[np.uint64], Ints] | None = None

    def __len__(self) -> int:
        return len(self._when)

    def add(self, nodes: list[int], clocks: list[int]) -> None:
        """These nodes went, at these clocks, in order."""
        if nodes:
            self._when.update(zip(nodes, clocks, strict=True))
            self._sorted = None

    def forget(self, before: int) -> None:
        """Nobody asks any more for nodes that went before this clock."""
        kept = {node: clock for node, clock in self._when.items() if clock >= before}
        if len(kept) < len(self._when):
            self._when, self._sorted = kept, None

    def clear(self) -> None:
        """Nothing names a removed node any more."""
        self._when, self._sorted = {}, None

    def had(self, heads: npt.NDArray[np.uint64], since: Ints) -> npt.NDArray[np.bool_]:
        """Whether the node of each has gone since it joined."""
        if not self._when or not len(heads):
            return np.zeros(len(heads), dtype=bool)
        if self._sorted is None:
            nodes = np.fromiter(self._when.keys(), np.uint64, len(self._when))
            clocks = np.fromiter(self._when.values(), np.int64, len(self._when))
            order = np.argsort(nodes)
            self._sorted = nodes[order], clocks[order]
        nodes, clocks = self._sorted
        rows = np.minimum(np.searchsorted(nodes, heads), len(nodes) - 1)
        gone: npt.NDArray[np.bool_] = (nodes[rows] == heads) & (clocks[rows] > since)
        return gone
