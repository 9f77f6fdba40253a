"""Stable nodes whose sharers are counted in a column: some of these are in frozen blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from ksmtrace.engine.ksm.rmap_item import RmapItem
from ksmtrace.engine.ksm.stable_node import StableNode

if TYPE_CHECKING:
    from ksmtrace.engine.machine.memory import Frame


class SharerCounts(Protocol):
    """Counts the sharers of nodes by their numbers."""

    sharers: npt.NDArray[np.int32]


class StoredNode(StableNode):
    """A stable node that may have a place in `Columns.nodes`.

    Attributes:
        number: this place; -1 without one.
        columns: those with this place, which then count the node's sharers; else None.
    """

    __slots__ = ("columns", "number")

    def __init__(self, key: int, kpage: Frame | None, nid: int) -> None:
        super().__init__(key, kpage, nid)
        self.number = -1
        self.columns: SharerCounts | None = None

    @property
    def sharers(self) -> int:
        """How many rmap_items share the page, those of frozen blocks included."""
        return len(self.items) if self.columns is None else self.columns.sharers.item(self.number)

    @property
    def frozen(self) -> int:
        """How many of them are in frozen blocks, each of which maps the page too."""
        return self.sharers - len(self.items)

    def add(self, item: RmapItem) -> None:
        """`item` shares the page."""
        super().add(item)
        if self.columns is not None:
            self.columns.sharers[self.number] += 1

    def remove(self, item: RmapItem) -> None:
        """It no longer does."""
        super().remove(item)
        if self.columns is not None:
            self.columns.sharers[self.number] -= 1
