"""Follows examinations: the outcome of each, and the cause of those that came to nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ksmtrace.events import numbers as kinds
from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import Flag
from ksmtrace.events.record import picked, true_rows
from ksmtrace.model.items import Ids, grown
from ksmtrace.model.nodes import FIRST_NODE
from ksmtrace.model.processes import Process, ProcessTable
from ksmtrace.model.reconstruction import NEITHER, UNSTABLE, Reconstruction
from ksmtrace.model.runs import run_lengths, run_starts
from ksmtrace.plugins.volatile.cause import WASTED, Cause, Counts, reasons

MOST_PROCESSES = 4096

_STABLE, _UNSTABLE, _NEITHER, _FREED = range(4)
_FREED_FLAG, _NEW_NODE = int(Flag.FREED), int(Flag.NEW_NODE)
_STABLE_BEFORE, _STABLE_AFTER = int(Flag.STABLE_BEFORE), int(Flag.STABLE_AFTER)
_UNSTABLE_BEFORE, _UNSTABLE_AFTER = int(Flag.UNSTABLE_BEFORE), int(Flag.UNSTABLE_AFTER)
_STAYS = (_STABLE_BEFORE | _STABLE_AFTER, _UNSTABLE_BEFORE | _UNSTABLE_AFTER)

_FLAGS = np.arange(256)
_OUTCOME = np.full(256, _NEITHER)
_OUTCOME[_FLAGS & _UNSTABLE_AFTER != 0] = _UNSTABLE
_OUTCOME[_FLAGS & _STABLE_AFTER != 0] = _STABLE
_OUTCOME[_FLAGS & _FREED_FLAG != 0] = _FREED
_TELLS = ~np.isin(_FLAGS, _STAYS)

_CHECKSUM_SLOTS = 1 << 21
_FAILED = np.uint8(0x80)


@dataclass(slots=True)
class Tally:
    """What became of one process's pages."""

    process: Process
    counts: Counts = field(default_factory=lambda: np.zeros(len(Cause), dtype=np.int64))

    @property
    def wasted(self) -> int:
        """Examinations that led to nothing."""
        return int(self.counts[list(WASTED)].sum())


class Examinations:
    """Follows a stream; what it finds does not depend on how that is cut.

    Attributes:
        of: by number of rmap_item, the Cause of its last look; dtype uint8.
        placed: examinations that ended in the stable and in the unstable tree.
        counts: examinations by Cause; for SKIPPED pages passed over, for GONE rmap_items freed that
            were not merged, for CHAIN_FULL pages that waited so at the end of a pass.
        in_pass: examinations by Cause since the last SCAN_START; NONE is no count.
        freed_examinations: examinations whose rmap_item was gone before the outcome could be read.
        waiting: `chain_full` as the last pass ended.
        splits: huge pages that attempts took apart.
        tallies: by number of the process; those of exited ones go into `exited` as a pass ends, and
            beyond `MOST_PROCESSES` the half with least into `others`.

    Args:
        sees_attempts: the run sees TRY_TO_MERGE_ONE_PAGE; else unchanged pages in neither tree are
            OTHER.
        checksums: they tell whether a page has changed; else attempts alone decide, and what was
            not attempted is OTHER.
        one_tree: a page that equals a KSM page is kept from it by max_page_sharing alone; else none
            is CHAIN_FULL.
    """

    def __init__(
        self, *, sees_attempts: bool, checksums: bool = True, one_tree: bool = True
    ) -> None:
        self._one_tree = one_tree
        self._sees_attempts = sees_attempts
        self._checksums_tell = checksums
        self.of = np.zeros(0, dtype=np.uint8)
        self._checksum = np.zeros(0, dtype=np.uint32)
        self._is_new = np.zeros(0, dtype=bool)  # of the batch at hand; else all False
        self.placed = np.zeros(2, dtype=np.int64)
        self.counts = np.zeros(len(Cause), dtype=np.int64)
        self.in_pass = np.zeros(len(Cause), dtype=np.int64)
        self.freed_examinations = 0
        self.splits = 0
        self.tallies: dict[int, Tally] = {}
        self.exited = np.zeros(len(Cause), dtype=np.int64)
        self.others = np.zeros(len(Cause), dtype=np.int64)
        # What attempts of the examination under way came to, and whether it made a stable node.
        self._attempt, self._paired = 0, False
        self.waiting: Ids = np.zeros(0, dtype=np.int64)
        self._taken = np.zeros(_CHECKSUM_SLOTS, dtype=bool)

    def apply(self, batch: EventBatch, reconstruction: Reconstruction) -> None:
        """Follow the events of `batch`, which the reconstruction has followed."""
        self._welcome(reconstruction)
        if batch.only_counters:
            return
        if batch.lost:
            # What the examination under way attempted may be among what was lost.
            self._attempt, self._paired = int(Cause.OTHER), False
        rows, cause = self._examined(batch, reconstruction)
        starts = batch.rows(kinds.SCAN_START)
        if len(starts):
            self.in_pass[:] = 0
        in_pass = rows >= starts[-1] if len(starts) else slice(None)
        self.in_pass += np.bincount(cause[in_pass], minlength=len(Cause))
        unplaced = cause != Cause.NONE
        removed = batch.rows(kinds.REMOVE_RMAP_ITEM)
        gone = removed[batch.flags[removed] & (_FREED_FLAG | _STABLE_BEFORE) == _FREED_FLAG]
        # In no tree though its last look left it in one: merged, and its stable node went first.
        ids = reconstruction.ids[gone]
        gone = gone[
            (batch.flags[gone] & _UNSTABLE_BEFORE != 0) | (ids >= 0) & (self.of[ids] != Cause.NONE)
        ]
        skipped = batch.rows(kinds.SKIPPED)
        unseen = [Cause.SKIPPED] * len(skipped) + [Cause.GONE] * len(gone)
        self._tally(
            batch.events["mm"][np.concatenate([rows[unplaced], skipped, gone])],
            np.concatenate([cause[unplaced], np.array(unseen, dtype=np.uint8)]),
            reconstruction.processes,
        )

    def _welcome(self, reconstruction: Reconstruction) -> None:
        items = reconstruction.items
        self.of = grown(self.of, items.capacity)
        self._checksum = grown(self._checksum, items.capacity)
        self._is_new = grown(self._is_new, items.capacity + 1)  # the number -1 is the last
        self.of[items.born] = Cause.NONE
        self._checksum[items.born] = 0

    def _examined(
        self, batch: EventBatch, reconstruction: Reconstruction
    ) -> tuple[Ids, npt.NDArray[np.uint8]]:
        """Rows of examinations that change what is known of a page, and their causes.

        The others are only counted.
        """
        examined = batch.rows(kinds.CMP_AND_MERGE_PAGE)
        flags = batch.flags_of(kinds.CMP_AND_MERGE_PAGE)
        by_flags = np.bincount(flags, minlength=256)
        outcomes = np.bincount(_OUTCOME, by_flags, minlength=4)
        self.placed += outcomes[:2].astype(np.int64)
        self.freed_examinations += int(outcomes[_FREED])
        tells = _TELLS[flags]
        if len(reconstruction.items.born):
            self._is_new[reconstruction.items.born] = True
            tells |= self._is_new[reconstruction.ids[examined]]
            self._is_new[reconstruction.items.born] = False
        rows = examined[tells]
        attempts, paired = self._attempts(batch, rows)
        cause = self._causes(batch, rows, attempts)
        self._note(batch, reconstruction.ids, rows, cause, paired)
        return rows, cause

    def _attempts(
        self, batch: EventBatch, rows: Ids
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
        """For each row what its attempts came to or NONE, and whether it made a stable node."""
        at = batch.rows(kinds.TRY_TO_MERGE_ONE_PAGE)
        appends = batch.rows(kinds.STABLE_APPEND)
        new = appends[batch.flags[appends] & _NEW_NODE != 0]
        if not (len(at) or len(new) or self._attempt or self._paired):
            return np.zeros(len(rows), dtype=np.uint8), np.zeros(len(rows), dtype=bool)
        every = batch.rows(kinds.CMP_AND_MERGE_PAGE)
        # With _FAILED where a failure is among them.
        found = np.zeros(len(every) + 1, dtype=np.uint8)
        found[0] = self._attempt
        paired = np.zeros(len(every) + 1, dtype=bool)
        paired[0] = self._paired
        paired[np.searchsorted(every, new)] = True
        events = picked(batch.events, at)
        which, why = np.searchsorted(every, at), reasons(events)
        failed = events["err"] != 0
        # The last failure of an examination decides, without any the last success.
        succeeded = ~failed & (found[which] & _FAILED == 0)
        found[which[succeeded]] = why[succeeded]
        found[which[failed]] = why[failed] | _FAILED
        split = events["flags"] & (int(Flag.WAS_COMPOUND) | int(Flag.COMPOUND))
        self.splits += int(np.count_nonzero(split == int(Flag.WAS_COMPOUND)))
        self._attempt, self._paired = int(found[-1]), bool(paired[-1])
        place = np.searchsorted(every, rows)
        return found[place] & ~_FAILED, paired[place]

    def _causes(
        self, batch: EventBatch, rows: Ids, attempts: npt.NDArray[np.uint8]
    ) -> npt.NDArray[np.uint8]:
        """Cause of each of these examinations; NONE if the page was placed or is gone."""
        cause = np.full(len(rows), Cause.NONE, dtype=np.uint8)
        neither = true_rows(_OUTCOME[batch.flags[rows]] == _NEITHER)
        looked = rows[neither]
        before, after = batch.events["oldchecksum"][looked], batch.events["checksum"][looked]
        forked = self._sees_attempts and self._checksums_tell
        unplaced = Cause.FORK_SHARED if forked else Cause.OTHER
        changed = np.where(before == 0, Cause.FIRST_LOOK, Cause.CHANGED)
        tried = attempts[neither]
        unchanged = np.where(tried == Cause.NONE, unplaced, tried)
        same = (before == after) | (not self._checksums_tell)
        cause[neither] = np.where(same, unchanged, changed)
        return cause

    def _note(
        self,
        batch: EventBatch,
        ids: Ids,
        rows: Ids,
        cause: npt.NDArray[np.uint8],
        paired: npt.NDArray[np.bool_],
    ) -> None:
        """Keep each rmap_item's cause, and the checksum where it is known to be the content's."""
        items, flags = ids[rows], batch.flags[rows]
        known = ((flags & _UNSTABLE_AFTER != 0) | paired) & self._checksums_tell
        checksum = np.where(known, batch.events["checksum"][rows], 0)
        here = (items >= 0) & (flags & _FREED_FLAG == 0)
        # One that leaves its stable node may be in another by the end of the same look, without
        # a checksum of its own.
        removed = batch.rows(kinds.REMOVE_RMAP_ITEM)
        left = removed[(batch.flags[removed] & _STABLE_BEFORE != 0) & (ids[removed] >= 0)]
        if len(left):
            order = np.argsort(np.append(rows[here], left), kind="stable")
            forgotten = np.append(checksum[here], np.zeros(len(left), dtype=np.uint32))
            self._checksum[np.append(items[here], ids[left])[order]] = forgotten[order]
        else:
            self._checksum[items[here]] = checksum[here]
        skipped = batch.rows(kinds.SKIPPED)
        if len(skipped):
            order = np.argsort(np.concatenate([rows, skipped]), kind="stable")
            items_skipped = ids[skipped]
            items = np.append(items, items_skipped)[order]
            as_skipped = np.full(len(skipped), Cause.SKIPPED, dtype=np.uint8)
            cause = np.append(cause, as_skipped)[order]
            here = np.append(here, items_skipped >= 0)[order]
        self.of[items[here]] = cause[here]

    def _tally(self, mms: npt.NDArray[np.uint64], cause: Ids, processes: ProcessTable) -> None:
        if not len(mms):
            return
        self.counts += np.bincount(cause, minlength=len(Cause))
        starts = run_starts(mms)
        place: dict[int, int] = {}
        runs = [place.setdefault(mm, len(place)) for mm in mms[starts].tolist()]
        of_run = np.repeat(runs, run_lengths(starts, len(mms)))
        table = np.bincount(of_run * len(Cause) + cause, minlength=len(place) * len(Cause))
        for mm, row in zip(place, table.reshape(-1, len(Cause)), strict=True):
            process = processes.of(mm)
            self.tallies.setdefault(process.number, Tally(process)).counts += row

    def end_of_pass(self, reconstruction: Reconstruction) -> None:
        """Count the pages that waited though there is an equal KSM page; bound what is kept."""
        self.waiting = waiting = self.chain_full(reconstruction)
        mms = reconstruction.items.mm[waiting]
        self._tally(mms, np.full(len(waiting), int(Cause.CHAIN_FULL)), reconstruction.processes)
        for number in [n for n, tally in self.tallies.items() if tally.process.exited]:
            self.exited += self.tallies.pop(number).counts
        if len(self.tallies) > MOST_PROCESSES:
            for tally in self.ranked()[MOST_PROCESSES // 2 :]:
                self.others += self.tallies.pop(tally.process.number).counts

    def ranked(self) -> list[Tally]:
        """Of processes that have not exited, most wasted examinations first; ties by mm."""
        alive = (tally for tally in self.tallies.values() if not tally.process.exited)
        return sorted(alive, key=lambda tally: (-tally.wasted, tally.process.mm))

    def chain_full(self, reconstruction: Reconstruction) -> Ids:
        """rmap_items in the unstable tree with the checksum of one that is merged now."""
        if not self._one_tree:
            return np.zeros(0, dtype=np.int64)
        alive = reconstruction.items.alive
        checksum = self._checksum[: len(alive)]
        state = reconstruction.state[: len(alive)]
        merged = checksum[alive & (state >= FIRST_NODE) & (checksum != 0)]
        waiting = true_rows(alive & (state == UNSTABLE))
        if not len(merged) or not len(waiting):
            return waiting[:0]
        # Most have a checksum that no merged page has: a table shows it faster than a search.
        slots = merged & (_CHECKSUM_SLOTS - 1)
        self._taken[slots] = True
        waiting = waiting[self._taken[checksum[waiting] & (_CHECKSUM_SLOTS - 1)]]
        self._taken[slots] = False
        found: Ids = waiting[np.isin(checksum[waiting], merged)]
        return found

    def unplaced(self, reconstruction: Reconstruction) -> Ids:
        """rmap_items alive that are in neither tree."""
        alive = reconstruction.items.alive
        return true_rows(alive & (reconstruction.state[: len(alive)] == NEITHER))
