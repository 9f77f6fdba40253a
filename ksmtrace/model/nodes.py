"""The stable nodes of a run, each under a small number, and how many rmap_items each has."""

from __future__ import annotations

import numpy as np

from ksmtrace.events import numbers as kinds
from ksmtrace.events.kinds import Flag
from ksmtrace.events.record import Records
from ksmtrace.model.items import Ids, grown

FIRST_NODE = 2
"""Numbers below this are the states NEITHER and UNSTABLE of an rmap_item."""

_LEAST = 1024


class NodeTable:
    """Stable nodes by number.

    Attributes:
        members: by number, rmap_items that share the node's page; dtype int64.
        kpfn: by number, the page frame, 0 where no event said it; dtype uint64.
        since_ns: by number, when the node was first seen; dtype uint64.
        adopted: numbers of nodes that were there before the first event.
        told: those of them of which all rmap_items were told before it.

    Args:
        reused: removals are not seen, so that an address that gets its first rmap_item is another
            node than before.
    """

    def __init__(self, *, reused: bool) -> None:
        self.members = np.zeros(_LEAST, dtype=np.int64)
        self.kpfn = np.zeros(_LEAST, dtype=np.uint64)
        self.since_ns = np.zeros(_LEAST, dtype=np.uint64)
        self.adopted: set[int] = set()
        self.told: set[int] = set()
        self._reused = reused
        self._number: dict[int, int] = {}
        self._free: list[int] = []
        self._used = FIRST_NODE

    @property
    def shared(self) -> int:
        """Nodes with at least one rmap_item."""
        return int(np.count_nonzero(self.members[: self._used]))

    def alive(self) -> Ids:
        """Numbers of the nodes with at least one rmap_item."""
        return np.flatnonzero(self.members[: self._used])

    def resolve(self, events: Records) -> tuple[Ids, Ids]:
        """The node's number of each event, and the numbers of the nodes that were removed.

        `events` are STABLE_APPEND, REMOVE_STABLE_NODE and those CMP_AND_MERGE_PAGE that end in the
        stable tree, in stream order. A node is known by its address, where that is not seen by its
        page frame. A removed node's number stays its own until `bury`.
        """
        numbers = self._number
        out, removed, made = [], [], []
        for row, (kind, flags, aux, pfn) in enumerate(
            zip(
                events["kind"].tolist(),
                events["flags"].tolist(),
                events["aux"].tolist(),
                events["pfn"].tolist(),
                strict=True,
            )
        ):
            node = aux or pfn
            if kind == kinds.REMOVE_STABLE_NODE:
                number = numbers.pop(node, -1)
                if number >= 0:
                    removed.append(number)
                out.append(number)
                continue
            if self._reused and kind == kinds.STABLE_APPEND and flags & Flag.NEW_NODE:
                numbers.pop(node, None)
            number = numbers.get(node, -1)
            if number < 0:
                number = numbers[node] = self._new_number()
                made.append((number, row))
            out.append(number)
        self._grow()
        if made:
            fresh, rows = np.array(made, dtype=np.int64).T
            self.since_ns[fresh] = events["ts"][rows]
            appended = events["kind"][rows] == kinds.STABLE_APPEND
            self.kpfn[fresh] = np.where(appended, events["pfn"][rows], 0)
            old = appended & (events["flags"][rows] & int(Flag.NEW_NODE) == 0)
            self.adopted.update(fresh[old].tolist())
        return np.array(out, dtype=np.int64), np.array(removed, dtype=np.int64)

    def move(self, before: Ids, after: Ids) -> None:
        """Move rmap_items from the nodes `before` to `after`; those below FIRST_NODE are none."""
        np.add.at(self.members, after[after >= FIRST_NODE], 1)
        np.subtract.at(self.members, before[before >= FIRST_NODE], 1)

    def bury(self, removed: Ids) -> int:
        """Removed nodes lose their rmap_items; returns how many those were."""
        left = int(self.members[removed].sum())
        self.members[removed] = 0
        self.adopted.difference_update(removed.tolist())
        self.told.difference_update(removed.tolist())
        self._free.extend(removed.tolist())
        return left

    def _new_number(self) -> int:
        if self._free:
            return self._free.pop()
        self._used += 1
        return self._used - 1

    def _grow(self) -> None:
        if self._used > len(self.members):
            size = max(self._used, 2 * len(self.members))
            self.members = grown(self.members, size)
            self.kpfn = grown(self.kpfn, size)
            self.since_ns = grown(self.since_ns, size)
