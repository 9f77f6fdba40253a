"""The rmap_items that are known of one mm, as columns sorted by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ksmtrace.sources.live.gathered.chunk import Ints

_ROOM = 8
"""A full column grows by this part of its length."""


class Items(NamedTuple):
    """rmap_items, one row each; 37 bytes.

    Attributes:
        vpn: page numbers.
        rmap_item: addresses in the kernel.
        tree: the tree that each is in, as the bits STABLE_BEFORE and UNSTABLE_BEFORE.
        checksum: oldchecksum.
        head: stable node of those in the stable tree.
        since: the clock of the expander when an item joined its node.
    """

    vpn: Ints
    rmap_item: npt.NDArray[np.uint64]
    tree: npt.NDArray[np.uint8]
    checksum: npt.NDArray[np.uint32]
    head: npt.NDArray[np.uint64]
    since: Ints

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> Items:
        """These rows."""
        return Items(
            self.vpn[rows],
            self.rmap_item[rows],
            self.tree[rows],
            self.checksum[rows],
            self.head[rows],
            self.since[rows],
        )

    def copy(self) -> Items:
        """A copy that later changes of the population leave alone."""
        return Items(
            self.vpn.copy(),
            self.rmap_item.copy(),
            self.tree.copy(),
            self.checksum.copy(),
            self.head.copy(),
            self.since.copy(),
        )


def no_items(count: int = 0) -> Items:
    """So many items, all zero."""
    return Items(
        np.zeros(count, np.int64),
        np.zeros(count, np.uint64),
        np.zeros(count, np.uint8),
        np.zeros(count, np.uint32),
        np.zeros(count, np.uint64),
        np.zeros(count, np.int64),
    )


def joined(pieces: list[Items]) -> Items:
    """The rows of all."""
    if len(pieces) == 1:
        return pieces[0]
    return Items(*map(np.concatenate, zip(*pieces, strict=True))) if pieces else no_items()


class Population:
    """The known rmap_items of one mm."""

    __slots__ = ("_columns", "_count")

    def __init__(self) -> None:
        self._columns = no_items()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def items(self) -> Items:
        """All of them: views, good until the next `replace`."""
        return self.part(0, self._count)

    def part(self, first: int, stop: int) -> Items:
        """Rows `first` to `stop` - 1: views, good until the next `replace`."""
        return self._columns.take(slice(first, stop))

    def behind(self, vpn: int) -> int:
        """The first row behind page `vpn`."""
        return int(np.searchsorted(self._columns.vpn[: self._count], vpn, "right"))

    def find(self, vpn: Ints) -> npt.NDArray[np.intp]:
        """The rows of these pages; -1 for those that are not known."""
        known = self._columns.vpn[: self._count]
        if not self._count:
            return np.full(len(vpn), -1)
        rows = np.minimum(np.searchsorted(known, vpn), self._count - 1)
        return np.where(known[rows] == vpn, rows, -1)

    def replace(self, first: int, stop: int, items: Items) -> None:
        """Put `items`, sorted by page, in the place of rows `first` to `stop` - 1."""
        grown = len(items.vpn) - (stop - first)
        count = self._count + grown
        if count > len(self._columns.vpn):
            self._reserve(count + count // _ROOM)
        for column, values in _pairs(self._columns, items):
            if grown and stop < self._count:
                column[stop + grown : count] = column[stop : self._count]
            column[first : first + len(values)] = values
        self._count = count
        if grown < 0 and count < len(self._columns.vpn) // 2:
            self._reserve(count)

    def _reserve(self, room: int) -> None:
        kept = self.items
        self._columns = no_items(room)
        for column, values in _pairs(self._columns, kept):
            column[: self._count] = values[: len(column)]


def _pairs(to: Items, of: Items) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    return zip(to, of, strict=True)
