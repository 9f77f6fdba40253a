"""Stable nodes whose sharers are counted in a column: some of these are in frozen blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ksmtrace.engine.ksm.rmap_item import RmapItem
from ksmtrace.engine.ksm.stable_node import StableNode

if TYPE_CHECKING:
    from ksmtrace.engine.machine.memory import Frame


class StoredNode(StableNode):
    """A stable node that may have a number among `StoredNodes`.

    Attributes:
        number: this number; -1 without one.
        stored: where it has this number, and its sharers are counted; else None.
    """

    __slots__ = ("number", "stored")

    def __init__(self, key: int, kpage: Frame | None, nid: int) -> None:
        super().__init__(key, kpage, nid)
        self.number = -1
        self.stored: StoredNodes | None = None

    @property
    def sharers(self) -> int:
        """How many rmap_items share the page, those of frozen blocks included."""
        return len(self.items) if self.stored is None else self.stored.sharers.item(self.number)

    @property
    def frozen(self) -> int:
        """How many of them are in frozen blocks, each of which maps the page too."""
        return self.sharers - len(self.items)

    def add(self, item: RmapItem) -> None:
        """`item` shares the page."""
        super().add(item)
        if self.stored is not None:
            self.stored.sharers[self.number] += 1

    def remove(self, item: RmapItem) -> None:
        """It no longer does."""
        super().remove(item)
        if self.stored is not None:
            self.stored.sharers[self.number] -= 1


class StoredNodes:
    """Stable nodes by number, and what is known of each as columns.

    Attributes:
        by_number: None where a number is free.
        key, kpfn, sharers: of each, its key, the frame number of its page, and how many rmap_items
            share that.
    """

    def __init__(self) -> None:
        self.by_number: list[StoredNode | None] = []
        self.key = np.zeros(1, np.uint64)
        self.kpfn = np.zeros(1, np.uint32)
        self.sharers = np.zeros(1, np.int32)
        self._free: list[int] = []

    def number_of(self, node: StoredNode) -> int:
        """The number of a node that has a page; given at the first call."""
        if node.number < 0:
            if not self._free:
                self._free.append(len(self.by_number))
                self.by_number.append(None)
            node.number = self._free.pop()
            self.by_number[node.number] = node
            if node.number == len(self.kpfn):
                self.key = np.resize(self.key, 2 * node.number)
                self.kpfn = np.resize(self.kpfn, 2 * node.number)
                self.sharers = np.resize(self.sharers, 2 * node.number)
            self.key[node.number] = node.key
            self.kpfn[node.number] = node.kpfn
            self.sharers[node.number] = len(node.items)
            node.stored = self
            assert node.kpage is not None, "only nodes with a page have numbers"
            node.kpage.frozen_mappings = node
        return node.number

    def forget(self, node: StoredNode) -> None:
        """A node is no more, and its number is free."""
        assert not node.frozen, "a frozen page is mapped, and keeps its node"
        if node.number >= 0:
            self.by_number[node.number] = None
            node.stored = None
            self._free.append(node.number)
