"""How long rmap_items stay in the stable tree."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ksmtrace.events import numbers as kinds
from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import Flag
from ksmtrace.events.record import picked, true_rows
from ksmtrace.model.items import Ids
from ksmtrace.model.log_histogram import GEOMETRIC, LogHistogram
from ksmtrace.model.merge_follower import MergeFollower, Times, ages

_APPEND, _REMOVED_NODE = int(kinds.STABLE_APPEND), int(kinds.REMOVE_STABLE_NODE)
_FREED = int(Flag.FREED)
_LEAVES = int(Flag.STABLE_BEFORE) | _FREED
_NEVER = np.iinfo(np.int64).max
_NONE: Ids = np.zeros(0, dtype=np.int64)


class MergeSpans:
    """The time of each rmap_item from its STABLE_APPEND to its removal or that of its stable node.

    Spans that began before the first event, or during a loss, are not counted.

    Attributes:
        ended: spans whose end was seen.
        cut: spans that a loss cut off: they lasted at least so long.
    """

    def __init__(self) -> None:
        self.ended = LogHistogram(GEOMETRIC)
        self.cut = LogHistogram(GEOMETRIC)
        self._forget()

    def _forget(self) -> None:
        self._follower = MergeFollower()
        self._number: dict[int, int] = {}  # of nodes, by address or page frame
        self._free: list[int] = []
        self._used = 0

    def apply(self, batch: EventBatch, ids: Ids, capacity: int) -> Ids:
        """Follow a batch; returns the rmap_items that left the stable tree without being freed.

        Some may be in the result twice.

        Args:
            batch: without a LOST record.
            ids: the number of each event's rmap_item, or -1.
            capacity: every number is below this.
        """
        self._follower.grow(capacity)
        removals = batch.rows(kinds.REMOVE_RMAP_ITEM)
        leaves = removals[batch.flags[removals] & _LEAVES != 0]
        named = batch.rows(_APPEND, _REMOVED_NODE)
        rows = np.sort(np.concatenate([batch.rows(_APPEND), leaves]))
        rows = rows[ids[rows] >= 0]
        if not len(named) and not len(rows):
            return _NONE
        nodes, died = self._follow_nodes(batch, named)
        broken = [self._follow_items(rows, ids[rows], batch, nodes, died)]
        dead = true_rows(died != _NEVER)
        if len(dead):
            broken.append(self._bury(dead, died, batch.events["ts"]))
        return np.concatenate(broken)

    def lose(self, now_ns: int) -> None:
        """Events were lost: what is open lasted at least until now."""
        self.cut.add(self._open(now_ns))
        self._forget()

    def unended(self, now_ns: int) -> LogHistogram:
        """Spans that last still, by how long they have, and those cut off."""
        both = LogHistogram(GEOMETRIC)
        both.add(self._open(now_ns))
        both.merge(self.cut)
        return both

    def _open(self, now_ns: int) -> Times:
        since = self._follower.since[self._follower.merged]
        return ages(np.full(len(since), now_ns, dtype=np.uint64), since)

    def _follow_nodes(self, batch: EventBatch, rows: Ids) -> tuple[Ids, Ids]:
        """The node's number by row, and by number the row of the node's removal or `_NEVER`."""
        events, numbers, removed = picked(batch.events, rows), self._number, []
        found = np.zeros(len(batch), dtype=np.int64)
        for row, kind, address, pfn in zip(
            rows.tolist(),
            events["kind"].tolist(),
            events["aux"].tolist(),
            events["pfn"].tolist(),
            strict=True,
        ):
            node = address or pfn
            if kind == _REMOVED_NODE:
                number = numbers.pop(node, -1)
                if number >= 0:
                    removed.append((number, row))
                continue
            number = numbers.get(node, -1)
            if number < 0:
                number = numbers[node] = self._new_number()
            found[row] = number
        died = np.full(self._used, _NEVER, dtype=np.int64)
        if removed:
            gone, at = np.array(removed, dtype=np.int64).T
            died[gone] = at
        return found, died

    def _new_number(self) -> int:
        if self._free:
            return self._free.pop()
        self._used += 1
        return self._used - 1

    def _follow_items(self, rows: Ids, items: Ids, batch: EventBatch, nodes: Ids, died: Ids) -> Ids:
        """Begin and end spans by events of rmap_items; returns those that left and were not freed.

        A span ends with the next event of its rmap_item, or with its node if that comes first.
        """
        times = batch.events["ts"]
        begins = batch.kind[rows] == _APPEND
        found = self._follower.follow(rows, items, times[rows], begins, nodes[rows])
        found = found.where(found.known)
        end = np.minimum(found.rows, died[found.nodes])
        self.ended.add(ages(times[end], found.since))
        left: Ids = found.items[~_frees(batch, end)]
        return left

    def _bury(self, dead: Ids, died: Ids, times: Times) -> Ids:
        """End the spans that are open yet of rmap_items whose node was removed; returns those."""
        items: Ids = true_rows(self._follower.merged)
        end = died[self._follower.nodes[items]]
        items, end = items[end != _NEVER], end[end != _NEVER]
        self.ended.add(ages(times[end], self._follower.since[items]))
        self._follower.merged[items] = False
        self._free.extend(dead.tolist())
        return items


def _frees(batch: EventBatch, rows: Ids) -> npt.NDArray[np.bool_]:
    """Which of these events free an rmap_item."""
    frees: npt.NDArray[np.bool_] = batch.flags[rows] & _FREED != 0
    frees &= batch.where(kinds.REMOVE_RMAP_ITEM)[rows]
    return frees
