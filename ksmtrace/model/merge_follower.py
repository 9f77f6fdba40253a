"""Follows rmap_items into the stable tree and out of it: which are merged, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ksmtrace.model.items import Ids, grown

Times = npt.NDArray[np.uint64]
"""CLOCK_MONOTONIC in nanoseconds, shape (n,)."""


Column = TypeVar("Column", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Successions:
    """Events of rmap_items, each with the merge that it comes upon; all arrays have shape (n,).

    Attributes:
        rows: of the events; in the order of rmap_items, those of one in stream order.
        items: their rmap_items.
        known: whether the rmap_item was merged until then, by all that was seen.
        left: whether it was known to be merged no more; neither, where nothing was seen of it.
        since: when that merge began; means nothing where there was none.
        nodes: the number of the stable node that it had joined; likewise.
    """

    rows: Ids
    items: Ids
    known: npt.NDArray[np.bool_]
    left: npt.NDArray[np.bool_]
    since: Times
    nodes: Ids

    def where(self, mask: npt.NDArray[np.bool_]) -> Successions:
        """Those at which `mask` is true."""
        return Successions(
            self.rows[mask],
            self.items[mask],
            self.known[mask],
            self.left[mask],
            self.since[mask],
            self.nodes[mask],
        )


class MergeFollower:
    """Follows rmap_items into the stable tree and out of it.

    A merge lasts from the rmap_item's STABLE_APPEND to the next event that says it has left; which
    events do, and what else ends a merge, the caller decides.

    Attributes:
        merged: by number of rmap_item, whether it is merged; dtype bool.
        left: by number, whether it was seen to have left, and not to join since; dtype bool.
        since: by number, when it was; dtype uint64.
        nodes: by number, the number of the stable node that it joined; dtype int64.
    """

    def __init__(self) -> None:
        self.merged = np.zeros(0, dtype=bool)
        self.left = np.zeros(0, dtype=bool)
        self.since: Times = np.zeros(0, dtype=np.uint64)
        self.nodes: Ids = np.zeros(0, dtype=np.int64)

    def grow(self, capacity: int) -> None:
        """Make room for all numbers below `capacity`."""
        self.merged, self.left = grown(self.merged, capacity), grown(self.left, capacity)
        self.since, self.nodes = grown(self.since, capacity), grown(self.nodes, capacity)

    def begin(self, born: Ids) -> None:
        """Nothing has been seen yet of the rmap_items with these numbers."""
        self.merged[born] = self.left[born] = False

    def forget(self) -> None:
        """Nothing is known to be merged any more, nor to have left."""
        self.merged[:] = self.left[:] = False

    def follow(
        self,
        rows: Ids,
        items: Ids,
        times: Times,
        begins: npt.NDArray[np.bool_],
        nodes: Ids | None = None,
    ) -> Successions:
        """Follow events that begin a merge or end one.

        Args:
            rows: of the events, in any order.
            items: the rmap_item of each.
            times: of each.
            begins: whether it begins a merge; else it ends one, if there is one.
            nodes: the node that is joined, where it begins one.
        """
        order = np.lexsort((rows, items))
        rows, items, times, begins = rows[order], items[order], times[order], begins[order]
        joined = np.zeros(len(rows), dtype=np.int64) if nodes is None else nodes[order]
        first = np.append(True, items[1:] != items[:-1])[: len(items)]
        found = Successions(
            rows,
            items,
            _before(first, self.merged[items], begins),
            _before(first, self.left[items], ~begins),
            _before(first, self.since[items], times),
            _before(first, self.nodes[items], joined),
        )
        last = np.append(first[1:], True)[: len(items)]
        self.merged[items[last]], self.left[items[last]] = begins[last], ~begins[last]
        self.since[items[last]] = times[last]
        self.nodes[items[last]] = joined[last]
        return found


def _before(
    first: npt.NDArray[np.bool_], held: npt.NDArray[Column], now: npt.NDArray[Column]
) -> npt.NDArray[Column]:
    """What held as each event came: `held` for the first of an rmap_item, else of that before."""
    return np.where(first, held, np.append(now[:1], now[:-1]))


def ages(end: Times, begin: Times) -> Times:
    """From `begin` to `end`; 0 where a clock stepped back."""
    return np.where(end > begin, end - begin, np.uint64(0))
