"""Follows merges to the write that ends them: at what age, and how many too soon."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ksmtrace.events import EventBatch, Flag
from ksmtrace.events import numbers as kinds
from ksmtrace.events.record import picked
from ksmtrace.model.copies import Copies
from ksmtrace.model.items import Ids, grown
from ksmtrace.model.log_histogram import LINEAR, LogHistogram, half_life
from ksmtrace.model.merge_follower import MergeFollower, ages
from ksmtrace.model.reconstruction import Reconstruction

REGRET_SECONDS = 60
"""A merge that is written to sooner than this is regretted: ksmd worked for nothing."""

MOST_PENDING = 65536
"""Written to, and not visited by ksmd since; beyond that the oldest are forgotten."""

_ADDRESS_SLOTS = 1 << 16
_STABLE_BEFORE = int(Flag.STABLE_BEFORE)
_PLACED = int(Flag.STABLE_BEFORE | Flag.STABLE_AFTER | Flag.FREED)

Regret = Callable[[int], None]
"""Is called with the mm of each merge that is regretted."""


class _Ended(NamedTuple):
    """Ages of merges that ended in a batch: by writes, and otherwise; nanoseconds."""

    by_writes: list[int]
    otherwise: list[int]


class Merges:
    """Follows merges and the faults that end them.

    A fault names mm and address. Which rmap_item that was shows when ksmd next comes to it and
    finds that it has left the stable tree: by REMOVE_RMAP_ITEM or, when its stable node had gone
    first, by an examination that finds it in no tree. Where faults are not all seen, that it has
    left without being freed is the write, at the time of that look: up to a pass late.

    Attributes:
        broken: ages of merges that a write ended.
        others: ages of those that ended otherwise: broken by the kernel, unmapped, exited.
        regrets: of `broken`, those younger than REGRET_SECONDS.
        unknown: writes that ended merges older than the trace.
        forgotten: faults that were dropped for want of room.
    """

    def __init__(self, regret: Regret) -> None:
        self.broken = LogHistogram(LINEAR)
        self.others = LogHistogram(LINEAR)
        self.regrets = 0
        self.unknown = 0
        self.forgotten = 0
        self._regret = regret
        self._follower = MergeFollower()
        self._joins = np.zeros(0, dtype=bool)  # of the batch at hand; else all False
        # (mm, address): time of the fault, and whether it was the kernel's
        self._pending: dict[tuple[int, int], tuple[int, bool]] = {}
        # of addresses pending, and of some that were
        self._slots = np.zeros(_ADDRESS_SLOTS, dtype=bool)

    @property
    def pending(self) -> int:
        """Writes of which ksmd has not been at the page since."""
        return sum(not by_kernel for _, by_kernel in self._pending.values())

    def apply(self, batch: EventBatch, reconstruction: Reconstruction, copies: Copies) -> None:
        """Follow the events of `batch`; `copies` are those that it tells of."""
        faults = copies.rows
        capacity = reconstruction.items.capacity + 1  # the number -1 is the last, and never merged
        self._follower.grow(capacity)
        self._joins = grown(self._joins, capacity)
        self._follower.begin(reconstruction.items.born)
        if batch.only_counters:
            return
        if batch.lost:
            self._follower.forget()
        rows, joined, known = self._endings(batch, reconstruction.ids)
        if copies.derived:
            self._end_at_looks(batch, rows, joined, known)
            return
        if len(faults):
            self._slots[_slots(batch.events["address"][faults])] = True
        if len(rows) and self._slots.any():
            near = self._slots[_slots(batch.events["address"][rows])]
        else:
            near = np.zeros(len(rows), dtype=bool)
        far = ~near & known
        self.others.add(ages(batch.events["ts"][rows[far]], joined[far]))
        self._in_order(batch, faults, rows[near], joined[near], known[near])

    def end_of_pass(self) -> None:
        """Forget addresses that are not pending any more."""
        addresses = np.array([address for _, address in self._pending], dtype=np.uint64)
        self._slots[:] = False
        self._slots[_slots(addresses)] = True

    def half_life(self, reconstruction: Reconstruction, now_ns: int) -> float | None:
        """Seconds by which half of the merges seen are written to; None while fewer are."""
        everybody = LogHistogram(LINEAR)
        everybody.merge(self.others)
        alive = reconstruction.items.alive
        merged = alive & self._follower.merged[: len(alive)]
        joined = self._follower.since[: len(alive)][merged]
        everybody.add(ages(np.full(len(joined), now_ns, dtype=np.uint64), joined))
        return half_life(self.broken, everybody, at_risk=1)[0]

    def _endings(
        self, batch: EventBatch, ids: Ids
    ) -> tuple[Ids, npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
        """Rows at which a merge is seen to have ended, when it began, and whether that is known."""
        appended = batch.rows(kinds.STABLE_APPEND)
        appended = appended[ids[appended] >= 0]
        removed = batch.rows(kinds.REMOVE_RMAP_ITEM)
        removed = removed[ids[removed] >= 0]
        leaves = batch.flags[removed] & _STABLE_BEFORE != 0
        left, examined = removed[leaves], batch.rows(kinds.CMP_AND_MERGE_PAGE)
        found_out = examined[batch.flags[examined] & _PLACED == 0]
        # smart scan never skips a KSM page
        silent = np.concatenate([found_out, removed[~leaves], batch.rows(kinds.SKIPPED)])
        self._joins[ids[appended]] = True
        silent = silent[self._follower.merged[ids[silent]] | self._joins[ids[silent]]]
        self._joins[ids[appended]] = False
        rows = np.concatenate([appended, left, silent])
        begins = np.arange(len(rows)) < len(appended)
        found = self._follower.follow(rows, ids[rows], batch.events["ts"][rows], begins)
        # An rmap_item that joins while it is thought merged had left before, unseen.
        found = found.where(found.known | (np.isin(found.rows, left) & ~found.left))
        order = np.argsort(found.rows, kind="stable")
        return found.rows[order], found.since[order], found.known[order]

    def _end_at_looks(
        self,
        batch: EventBatch,
        rows: Ids,
        joined: npt.NDArray[np.uint64],
        known: npt.NDArray[np.bool_],
    ) -> None:
        """Endings, each put down to a write if the rmap_item has not been freed."""
        events = picked(batch.events, rows)
        removed = batch.where(kinds.REMOVE_RMAP_ITEM)[rows]
        written = ~(removed & (events["flags"] & int(Flag.FREED) != 0))
        lasted = ages(events["ts"], joined)
        self.broken.add(lasted[written & known])
        self.others.add(lasted[~written & known])
        self.unknown += int(np.count_nonzero(written & ~known))
        soon = written & known & (lasted < np.uint64(REGRET_SECONDS * 10**9))
        self.regrets += int(np.count_nonzero(soon))
        for mm in events["mm"][soon].tolist():
            self._regret(mm)

    def _in_order(
        self,
        batch: EventBatch,
        faults: Ids,
        rows: Ids,
        joined: npt.NDArray[np.uint64],
        known: npt.NDArray[np.bool_],
    ) -> None:
        """Faults, and endings that one of them may explain."""
        events = batch.events
        steps = [(row, False, 0, False) for row in faults.tolist()]
        ends = zip(rows.tolist(), joined.tolist(), known.tolist(), strict=True)
        steps += [(row, True, began, seen) for row, began, seen in ends]
        steps.sort()
        chosen = events[[step[0] for step in steps]]
        columns = (chosen[name].tolist() for name in ("mm", "address", "ts", "flags"))
        ended = _Ended([], [])
        for (_, ends_here, began, seen), mm, address, ts, flags in zip(
            steps, *columns, strict=True
        ):
            if ends_here:
                self._end(ended, mm, address, ts, began if seen else None)
            else:
                self._pending[mm, address] = ts, bool(flags & Flag.BY_KERNEL)
                if len(self._pending) > MOST_PENDING:
                    del self._pending[next(iter(self._pending))]
                    self.forgotten += 1
        self.broken.add(np.array(ended.by_writes, dtype=np.uint64))
        self.others.add(np.array(ended.otherwise, dtype=np.uint64))

    def _end(self, ended: _Ended, mm: int, address: int, ts: int, joined: int | None) -> None:
        fault = self._pending.pop((mm, address), None)
        if joined is None:
            self.unknown += fault is not None and not fault[1]
            return
        if fault is None or fault[0] < joined or fault[1]:
            end = ts if fault is None or fault[0] < joined else fault[0]
            ended.otherwise.append(max(0, end - joined))
            return
        ended.by_writes.append(fault[0] - joined)
        if fault[0] - joined < REGRET_SECONDS * 10**9:
            self.regrets += 1
            self._regret(mm)


def _slots(addresses: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    return addresses >> np.uint64(12) & np.uint64(_ADDRESS_SLOTS - 1)
