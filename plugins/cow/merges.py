"""Follows merges to the write that ends them: at what age, and how many too soon."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ksmtrace.events import EventBatch, EventKind, Flag
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
_PLACED = int(Flag.STABLE_BEFORE | Flag.STABLE_AFTER | Flag.FREED)

Regret = Callable[[int], None]
"""Is called with the mm of each merge that is regretted."""


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
        kind, flags = batch.kind, batch.flags
        appended = (kind == EventKind.STABLE_APPEND) & (ids >= 0)
        removed = (kind == EventKind.REMOVE_RMAP_ITEM) & (ids >= 0)
        left = removed & (flags & int(Flag.STABLE_BEFORE) != 0)
        found_out = (kind == EventKind.CMP_AND_MERGE_PAGE) & (flags & _PLACED == 0)
        # smart scan never skips a KSM page
        found_out |= (removed & ~left) | (kind == EventKind.SKIPPED)
        silent = np.flatnonzero(found_out)
        self._joins[ids[appended]] = True
        silent = silent[self._follower.merged[ids[silent]] | self._joins[ids[silent]]]
        self._joins[ids[appended]] = False
        rows = np.concatenate([np.flatnonzero(appended | left), silent])
        found = self._follower.follow(rows, ids[rows], batch.events["ts"][rows], appended[rows])
        # An rmap_item that joins while it is thought merged had left before, unseen.
        found = found.where(found.known | (left[found.rows] & ~found.left))
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
        removed = events["kind"] == EventKind.REMOVE_RMAP_ITEM
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
        for (_, ends_here, began, seen), mm, address, ts, flags in zip(
            steps, *columns, strict=True
        ):
            if ends_here:
                self._end(mm, address, ts, began if seen else None)
            else:
                self._pending[mm, address] = ts, bool(flags & Flag.BY_KERNEL)
                if len(self._pending) > MOST_PENDING:
                    del self._pending[next(iter(self._pending))]
                    self.forgotten += 1

    def _end(self, mm: int, address: int, ts: int, joined: int | None) -> None:
        fault = self._pending.pop((mm, address), None)
        if joined is None:
            self.unknown += fault is not None and not fault[1]
            return
        if fault is None or fault[0] < joined or fault[1]:
            end = ts if fault is None or fault[0] < joined else fault[0]
            self.others.add(np.array([max(0, end - joined)], dtype=np.uint64))
            return
        self.broken.add(np.array([fault[0] - joined], dtype=np.uint64))
        if fault[0] - joined < REGRET_SECONDS * 10**9:
            self.regrets += 1
            self._regret(mm)


def _slots(addresses: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    return addresses >> np.uint64(12) & np.uint64(_ADDRESS_SLOTS - 1)
