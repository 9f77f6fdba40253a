"""Follows merges to the write that ends them: at what age, and how many too soon."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ksmtrace.events import EventBatch, Flag
from ksmtrace.events import numbers as kinds
from ksmtrace.events.record import Records, picked
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

_BY_KERNEL = int(Flag.BY_KERNEL)

_Fault = tuple[int, bool, bool]
"""When, whether it was the kernel's, and whether there was one at all."""
_NO_FAULT: _Fault = (0, False, False)

Regret = Callable[[int, int], None]
"""Is called with an mm, and how many of its merges are regretted."""


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
        self._pending: dict[tuple[int, int], _Fault] = {}  # by (mm, address)
        # of addresses pending, and of some that were
        self._slots = np.zeros(_ADDRESS_SLOTS, dtype=bool)

    @property
    def pending(self) -> int:
        """Writes of which ksmd has not been at the page since."""
        return sum(not by_kernel for _, by_kernel, _ in self._pending.values())

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
        found_out = examined[batch.flags_of(kinds.CMP_AND_MERGE_PAGE) & _PLACED == 0]
        # smart scan never skips a KSM page
        silent = np.concatenate([found_out, removed[~leaves], batch.rows(kinds.SKIPPED)])
        self._joins[ids[appended]] = True
        silent = silent[self._follower.merged[ids[silent]] | self._joins[ids[silent]]]
        self._joins[ids[appended]] = False
        rows = np.concatenate([appended, left, silent])
        begins = np.arange(len(rows)) < len(appended)
        found = self._follower.follow(rows, ids[rows], batch.events["ts"][rows], begins)
        # An rmap_item that joins while it is thought merged had left before, unseen.
        leaves = batch.where(kinds.REMOVE_RMAP_ITEM)[found.rows]
        leaves &= batch.flags[found.rows] & _STABLE_BEFORE != 0
        found = found.where(found.known | (leaves & ~found.left))
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
        self._judge(events["mm"][written & known], lasted[written & known])

    def _judge(self, mms: npt.NDArray[np.uint64], lasted: npt.NDArray[np.uint64]) -> None:
        """Count those of these merges, which writes ended, that are regretted."""
        soon = mms[lasted < np.uint64(REGRET_SECONDS * 10**9)]
        self.regrets += len(soon)
        if not len(soon):
            return
        numbers, counts = np.unique(soon, return_counts=True)
        for mm, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            self._regret(mm, count)

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
        at = np.concatenate([faults, rows])
        order = np.argsort(at, kind="stable")
        chosen = picked(events, at[order])
        columns = (chosen[name].tolist() for name in ("mm", "address", "ts"))
        by_kernel = chosen["flags"] & _BY_KERNEL != 0
        pending, found = self._pending, list[_Fault]()
        for ends, mm, address, ts, kernel in zip(
            (order >= len(faults)).tolist(), *columns, by_kernel.tolist(), strict=True
        ):
            if ends:
                found.append(pending.pop((mm, address), _NO_FAULT))
                continue
            pending[mm, address] = ts, kernel, True
            if len(pending) > MOST_PENDING:
                del pending[next(iter(pending))]
                self.forgotten += 1
        self._end(picked(events, rows), found, joined, known)

    def _end(
        self,
        events: Records,
        faults: list[_Fault],
        joined: npt.NDArray[np.uint64],
        known: npt.NDArray[np.bool_],
    ) -> None:
        """Endings, each with the last fault on its page, or `_NO_FAULT`."""
        times = np.array([one[0] for one in faults], dtype=np.uint64)
        by_kernel, seen = (np.array([one[n] for one in faults], dtype=bool) for n in (1, 2))
        written = seen & ~by_kernel
        self.unknown += int(np.count_nonzero(written & ~known))
        within = seen & (times >= joined)
        written &= within & known
        others = known & ~written
        self.others.add(ages(np.where(within, times, events["ts"])[others], joined[others]))
        lasted = times[written] - joined[written]
        self.broken.add(lasted)
        self._judge(events["mm"][written], lasted)


def _slots(addresses: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    return addresses >> np.uint64(12) & np.uint64(_ADDRESS_SLOTS - 1)
