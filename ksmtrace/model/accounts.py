"""What happened to the pages of each process during the run, in space for those alive."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ksmtrace.events import numbers as kinds
from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind, Flag
from ksmtrace.events.readings import Reading
from ksmtrace.events.record import true_rows
from ksmtrace.model.ksmd_time import KsmdTime
from ksmtrace.model.processes import Process, ProcessTable
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.model.runs import run_lengths, run_starts

COUNTS = (
    *("passed_over", "settled", "changed", "first_look", "placed", "unplaced", "freed"),
    *("joined", "zero_page", "user_break", "kernel_break"),
)
"""Columns of an account: outcomes of a visit (skipped; left alone in the stable tree; checksum
changed; no checksum to compare with; looked up in the trees, and placed there or a page of zeroes;
looked up and not placed; gone before the outcome could be read), STABLE_APPEND, REPLACE_PAGE by the
zero page, copies (`Copies`) by the process and by the kernel."""

ZERO_CHECKSUM = 0x32D8BBDB
"""calc_checksum of a page of zeroes: the low 32 bits of its xxh64, since 5.0."""

VISIT_COST = np.array([1, 1, 4, 4, 20, 20, 20])
"""ksmd's time for each outcome of a visit, in units of 0.33 us: measured on 6.18 with 20,000 pages
of one process, 0.33, 0.38, 1.36 and 7.2 us a page (checksum and search depend on the machine and on
the trees; what is shared out is measured)."""

EXAMINED = COUNTS[1 : len(VISIT_COST)]
"""Columns of examinations."""

WASTED = ("changed", "unplaced", "freed")
"""Columns of examinations that came to nothing, as `Cause` has them, except for CHAIN_FULL, which
is known only as a pass ends."""

_VISITS = len(VISIT_COST)
_JOINED, _ZERO_PAGE, _USER_BREAK, _KERNEL_BREAK = range(_VISITS, len(COUNTS))

_NONE = -1


def _table() -> npt.NDArray[np.int8]:
    """The column by kind and flags, shape (256, 256); `_NONE` for what is not counted.

    An examination that ended in no tree is among the unplaced ones until its checksums are looked
    at.
    """
    flags = np.arange(256)
    table = np.full((256, 256), _NONE, dtype=np.int8)
    table[EventKind.SKIPPED] = COUNTS.index("passed_over")
    examined = table[EventKind.CMP_AND_MERGE_PAGE]
    examined[:] = COUNTS.index("placed")
    stable = int(Flag.STABLE_BEFORE | Flag.STABLE_AFTER)
    examined[flags & stable == stable] = COUNTS.index("settled")
    after = int(Flag.STABLE_AFTER | Flag.UNSTABLE_AFTER)
    examined[flags & after == 0] = COUNTS.index("unplaced")
    examined[flags & int(Flag.FREED) != 0] = COUNTS.index("freed")
    table[EventKind.STABLE_APPEND] = _JOINED
    table[EventKind.REPLACE_PAGE, flags & int(Flag.ZERO_PAGE) != 0] = _ZERO_PAGE
    return table


_TABLE = _table()
_COUNTED = tuple((_TABLE != _NONE).any(axis=1).nonzero()[0].tolist())
_NO_ROWS = np.zeros(0, dtype=np.int64)
_NO_COLUMN = np.zeros(0, dtype=np.int8)


@dataclass(slots=True)
class Account:
    """One process's figures, or those of all that have exited.

    Attributes:
        process: None for those that have exited.
        counts: by column of `COUNTS`; dtype int64.
        break_ns: time spent in COW faults by the process, and by the kernel's own breaks; of
            derived copies as long as the mean of the faults sampled until then; dtype int64.
        ksmd_ns: its part of ksmd's CPU time.
        due: visits since ksmd's CPU time was last read, by cost.
    """

    process: Process | None
    counts: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(len(COUNTS), dtype=np.int64)
    )
    break_ns: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, dtype=np.int64))
    ksmd_ns: int = 0
    due: int = 0

    def count(self, name: str) -> int:
        """A column by its name."""
        return int(self.counts[COUNTS.index(name)])

    @property
    def examined(self) -> int:
        """CMP_AND_MERGE_PAGE."""
        return int(self.counts[1:_VISITS].sum())

    @property
    def wasted(self) -> int:
        """Examinations that came to nothing."""
        return sum(map(self.count, WASTED))

    def add(self, other: Account) -> None:
        """Take over another account's figures."""
        self.counts += other.counts
        self.break_ns += other.break_ns
        self.ksmd_ns += other.ksmd_ns
        self.due += other.due


class Accounts:
    """Accounts by `Process.number`, and one for all processes that have exited.

    ksmd's CPU time between two readings is shared out by what it visited in between, by cost.

    Attributes:
        exited: of processes that have exited; `alive` has those of the others.
        total: of all, also of events that name no mm.
        ksmd: its CPU time. Part of it is nobody's: what was spent between two readings without a
            visit to a page, and what division leaves.
    """

    def __init__(self) -> None:
        self._of: dict[int, Account] = {}
        self.exited = Account(None)
        self.total = Account(None)
        self.ksmd = KsmdTime()
        self._derived = False
        self._sampled = self._sampled_ns = 0

    @property
    def timed(self) -> bool:
        """Whether it is known how long copies took."""
        return bool(self._sampled) or not self._derived

    def alive(self) -> list[tuple[Process, Account]]:
        """Processes alive that have an account."""
        self._fold()
        return [(a.process, a) for a in self._of.values() if a.process is not None]

    def every(self) -> list[Account]:
        """All accounts that are open, and that of those exited."""
        return [*self._of.values(), self.exited]

    def apply(self, reconstruction: Reconstruction) -> None:
        """Count the events of the last batch that `reconstruction` has followed."""
        found = reconstruction.once(_counted)
        if reconstruction.copies.derived:
            self._derived = True
            number, ns = reconstruction.once(_sampled)
            self._sampled, self._sampled_ns = self._sampled + number, self._sampled_ns + ns
        if found is not None:
            self._count(found, reconstruction.processes)
        if reconstruction.batch.count(kinds.MM_EXIT):
            self._fold()

    def read(self, reading: Reading) -> None:
        """Share out ksmd's CPU time since the last reading of the kernel's counters."""
        worked = self.ksmd.read(reading)
        if worked is None:
            return
        accounts = self.every()
        due = sum(account.due for account in accounts)
        for account in accounts:
            if account.due:
                # whole nanoseconds: their sums do not depend on when an account is closed
                account.ksmd_ns += worked * account.due // due
                account.due = 0

    def _count(self, found: _Counted, processes: ProcessTable) -> None:
        break_ns = found.break_ns
        if self._derived and self._sampled:
            mean_ns = self._sampled_ns // self._sampled
            break_ns = break_ns + found.counts[:, [_USER_BREAK, _KERNEL_BREAK]] * mean_ns
        self.total.counts += found.counts.sum(axis=0)
        self.total.break_ns += break_ns.sum(axis=0)
        due = (found.counts[:, :_VISITS] @ VISIT_COST).tolist()
        for index, one in enumerate(found.mms):
            if one:
                account = self.account_of(processes.of(one))
                account.counts += found.counts[index]
                account.break_ns += break_ns[index]
                account.due += due[index]

    def account_of(self, process: Process) -> Account:
        """Where what happens to a process is counted, opened when there is none."""
        account = self._of.get(process.number)
        if account is None:
            account = self._of[process.number] = Account(process)
        return account

    def _fold(self) -> None:
        gone = [n for n, a in self._of.items() if a.process is not None and a.process.exited]
        for number in gone:
            self.exited.add(self._of.pop(number))


@dataclass(frozen=True, slots=True)
class _Counted:
    """What happened in a batch: a row for each mm, columns as in `Account`."""

    mms: list[int]
    counts: npt.NDArray[np.int64]
    break_ns: npt.NDArray[np.int64]


def _counted(reconstruction: Reconstruction) -> _Counted | None:
    """Count the last batch; None where nothing is to be counted."""
    batch = reconstruction.batch
    there = [kind for kind in _COUNTED if batch.count(kind)]
    rows = np.concatenate([_NO_ROWS, *(batch.rows(kind) for kind in there)])
    column = np.concatenate([_NO_COLUMN, *(_TABLE[kind][batch.flags_of(kind)] for kind in there)])
    if (column == _NONE).any():
        rows, column = rows[column != _NONE], column[column != _NONE]
    copies = reconstruction.copies
    if not len(rows) and not len(copies.rows):
        return None
    _part_unplaced(batch, rows, column)
    if len(copies.rows):
        # a look that tells of a copy is counted as what else it is too
        by = np.where(copies.by_kernel, _KERNEL_BREAK, _USER_BREAK).astype(np.int8)
        rows, column = np.concatenate([rows, copies.rows]), np.concatenate([column, by])
    mm = batch.events["mm"][rows]
    starts = run_starts(mm)
    mms, runs = np.unique(mm[starts], return_inverse=True)
    which = np.repeat(runs, run_lengths(starts, len(rows)))
    width = len(COUNTS)
    counts = np.bincount(which * width + column, minlength=len(mms) * width)
    break_ns = np.zeros((len(mms), 2), dtype=np.int64)
    if not copies.derived:
        break_ns = _break_ns(batch, rows, column, which, len(mms))
    return _Counted(mms.tolist(), counts.reshape(-1, width), break_ns)


def _sampled(reconstruction: Reconstruction) -> tuple[int, int]:
    """Users' faults that the last batch has of a window: how many, and their nanoseconds."""
    faults = reconstruction.batch.of(kinds.COW_FAULT)
    spent = faults["aux"][faults["flags"] & int(Flag.BY_KERNEL) == 0].astype(np.int64)
    return len(spent), int(np.maximum(spent, 0).sum())


def _part_unplaced(
    batch: EventBatch, rows: npt.NDArray[np.intp], column: npt.NDArray[np.int8]
) -> None:
    """Tell apart by their checksums what ended in no tree: mend `column`.

    Only what had not changed was looked up in the trees. A page of zeroes is then taken for one
    that the zero page replaced.
    """
    unplaced = true_rows(column == COUNTS.index("unplaced"))
    where = rows[unplaced]
    before, now = batch.events["oldchecksum"][where], batch.events["checksum"][where]
    column[unplaced[before != now]] = COUNTS.index("changed")
    column[unplaced[(before != now) & (before == 0)]] = COUNTS.index("first_look")
    column[unplaced[(before == now) & (now == ZERO_CHECKSUM)]] = COUNTS.index("placed")


def _break_ns(
    batch: EventBatch,
    rows: npt.NDArray[np.intp],
    column: npt.NDArray[np.int8],
    which: npt.NDArray[np.intp],
    count: int,
) -> npt.NDArray[np.int64]:
    """Nanoseconds in COW faults by mm, by (users' writes, kernel's breaks); shape (count, 2)."""
    total = np.zeros((count, 2), dtype=np.int64)
    faults = true_rows((column == _USER_BREAK) | (column == _KERNEL_BREAK))
    if len(faults):
        # a clock that was set back gives a difference below zero: no time
        spent = np.maximum(batch.events["aux"][rows[faults]].astype(np.int64), 0)
        np.add.at(total, (which[faults], column[faults] - _USER_BREAK), spent)
    return total
