"""Counts copies of KSM pages by process, range and second, and how long they take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from ksmtrace.events import EventBatch, Flag
from ksmtrace.events import numbers as kinds
from ksmtrace.events.record import picked, true_rows
from ksmtrace.model.copies import Copies
from ksmtrace.model.log_histogram import LINEAR, LogHistogram
from ksmtrace.model.processes import Process, ProcessTable
from ksmtrace.model.ranges import RANGE_SHIFT
from ksmtrace.model.runs import run_starts
from ksmtrace.plugins.cow.rates import Rates
from ksmtrace.plugins.cow.storms import Storms

MOST = 4096
"""Processes, and ranges, that have a count of their own. When there are more as a pass ends, the
half with least is put together."""


@dataclass(slots=True)
class Count:
    """Pages broken, of a process, of a range, or of the rest.

    Attributes:
        place: first address of the range, 0 for a process.
    """

    process: Process | None = None
    place: int = 0
    user: int = 0
    kernel: int = 0
    regretted: int = 0

    @property
    def total(self) -> int:
        """By whomever."""
        return self.user + self.kernel

    def take(self, other: Count) -> None:
        """Add another's counts."""
        self.user += other.user
        self.kernel += other.kernel
        self.regretted += other.regretted


@dataclass(slots=True)
class Breaks:
    """Follows copies, and how long those faults took that are seen.

    Attributes:
        by_process, by_range: by number of the process, and with the first address.
        exited: of processes that have exited.
        others, other_ranges: of processes and ranges that have lost their own count.
        latency: of users' writes in do_wp_page, where they were timed: all, or those in windows.
        longest_ns: the longest of them.
        rates: breaks by second, "user" and "kernel".
    """

    every: Count = field(default_factory=Count)
    by_process: dict[int, Count] = field(default_factory=dict)
    by_range: dict[tuple[int, int], Count] = field(default_factory=dict)
    exited: Count = field(default_factory=Count)
    others: Count = field(default_factory=Count)
    other_ranges: Count = field(default_factory=Count)
    latency: LogHistogram = field(default_factory=lambda: LogHistogram(LINEAR))
    longest_ns: int = 0
    rates: Rates = field(default_factory=lambda: Rates("user", "kernel"))
    storms: Storms = field(default_factory=Storms)
    _second: int = 0

    def time(self, batch: EventBatch) -> None:
        """Take in how long the faults of a batch took."""
        faults = batch.of(kinds.COW_FAULT)
        users = faults["flags"] & int(Flag.BY_KERNEL) == 0
        timed = faults["aux"][users & (faults["aux"] > 0)]
        if len(timed):
            self.latency.add(timed)
            self.longest_ns = max(self.longest_ns, int(timed.max()))

    def apply(
        self, batch: EventBatch, copies: Copies, processes: ProcessTable, start_ns: int
    ) -> None:
        """Count the copies of a batch; seconds run from `start_ns`, and never back."""
        events, by_kernel = picked(batch.events, copies.rows), copies.by_kernel.astype(np.int64)
        times = np.maximum(events["ts"], np.uint64(start_ns)) - np.uint64(start_ns)
        seconds = (times // np.uint64(10**9)).astype(np.int64)
        seconds = np.maximum.accumulate(np.maximum(seconds, self._second))
        self._second = int(seconds[-1])
        self.rates.add(seconds, by_kernel)
        kernel = int(by_kernel.sum())
        self.every.take(Count(user=len(events) - kernel, kernel=kernel))
        starts = run_starts(seconds).tolist()
        for start, end in zip(starts, [*starts[1:], len(events)], strict=True):
            now = slice(start, end)
            mms, addresses = events["mm"][now], events["address"][now]
            self._count(int(seconds[start]), mms, addresses, by_kernel[now], processes)

    def _count(
        self,
        second: int,
        mms: np.ndarray[tuple[int], np.dtype[np.uint64]],
        addresses: np.ndarray[tuple[int], np.dtype[np.uint64]],
        by_kernel: np.ndarray[tuple[int], np.dtype[np.int64]],
        processes: ProcessTable,
    ) -> None:
        places = addresses >> np.uint64(RANGE_SHIFT) << np.uint64(RANGE_SHIFT)
        order = np.lexsort((places, mms))
        mms, places, by_kernel = mms[order], places[order], by_kernel[order]
        starts = true_rows(np.append(True, (mms[1:] != mms[:-1]) | (places[1:] != places[:-1])))
        sizes = np.diff(np.append(starts, len(mms)))
        kernels = np.add.reduceat(by_kernel, starts)
        columns = (mms[starts], places[starts], sizes, kernels)
        for mm, place, size, kernel in zip(*(c.tolist() for c in columns), strict=True):
            process = processes.of(mm)
            found = Count(process, place, size - kernel, kernel)
            self.storms.add(second, process, found.user, found.kernel)
            self.of(process).take(found)
            key = process.number, place
            self.by_range.setdefault(key, Count(process, place)).take(found)

    def of(self, process: Process) -> Count:
        """The count of one process."""
        return self.by_process.setdefault(process.number, Count(process))

    def end_of_pass(self) -> None:
        """Bound what is kept."""
        for number in [n for n, c in self.by_process.items() if c.process and c.process.exited]:
            self.exited.take(self.by_process.pop(number))
        if len(self.by_process) > MOST:
            for count in ranked(self.by_process.values())[MOST // 2 :]:
                self.others.take(count)
                del self.by_process[_number(count)]
        if len(self.by_range) > MOST:
            for count in ranked(self.by_range.values())[MOST // 2 :]:
                self.other_ranges.take(count)
                del self.by_range[_number(count), count.place]


def _number(count: Count) -> int:
    assert count.process is not None, "only sums have none"
    return count.process.number


def ranked(counts: Iterable[Count]) -> list[Count]:
    """Most first; ties in the order of mm and address."""

    def order(count: Count) -> tuple[int, int, int, int]:
        process = count.process
        assert process is not None, "only sums have none"
        return -count.total, process.mm, process.pid or 0, count.place

    return sorted(counts, key=order)
