"""Finds where events were lost, and marks the place in the stream by a LOST record."""

from __future__ import annotations

import time

import numpy as np

from ksmtrace.events import numbers as kinds
from ksmtrace.events.kinds import Gauge
from ksmtrace.events.record import Records, empty_records, joined, true_rows

MOST_OVERTAKEN = 64
"""So many places behind its neighbour, a number is late; farther behind, it has wrapped."""


class LossTracker:
    """Puts a LOST record where a CPU's sequence numbers have a gap.

    Events and headers of chunks are numbered alike. A chunk that was lost leaves a gap of one, and
    BPF counts its items. The numbers wrap at 65536. A program attached by fentry can be interrupted
    between taking its number and sending: a number that comes after later ones is no loss. A loss
    on one CPU may come to light after what another CPU sent later, and a loss at the very end
    leaves no gap. So the count that BPF keeps is the truth: what no gap showed is announced by
    `settle`, and before each EVENTS_LOST that ksmd's own thread sent when a pass ended.
    """

    def __init__(self) -> None:
        self._next: dict[int, int] = {}
        self._announced = 0
        self._ahead = 0

    def mark(self, events: Records) -> Records:
        """`events` with a LOST record before each event that a loss precedes."""
        counted = true_rows(
            (events["kind"] == kinds.SAMPLE) & (events["address"] == Gauge.EVENTS_LOST)
        )
        pieces, start = [], 0
        for row in counted.tolist():
            pieces += [
                self._mark_gaps(events[start:row]),
                self.settle(int(events["aux"][row]), int(events["ts"][row])),
            ]
            start = row
        pieces.append(self._mark_gaps(events[start:]))
        return joined(pieces)

    def _mark_gaps(self, events: Records) -> Records:
        if not len(events):
            return events
        gaps = np.zeros(len(events), dtype=np.int64)
        for cpu in np.unique(events["cpu"]).tolist():
            rows = true_rows(events["cpu"] == cpu)
            numbers = events["seq"][rows].astype(np.int64)
            before = self._next.get(cpu, 0) - 1
            steps = np.diff(numbers, prepend=before)
            places = before + np.cumsum((steps + MOST_OVERTAKEN) % 65536 - MOST_OVERTAKEN)
            # What came too late for its own batch was taken for lost there.
            self._announced -= int(np.count_nonzero(places <= before))
            places = np.maximum(places, before)
            order = np.argsort(places, kind="stable")
            gaps[rows[order]] = np.maximum(np.diff(places[order], prepend=before) - 1, 0)
            self._next[cpu] = int(places[order[-1]]) + 1
        return self._insert(events, gaps) if gaps.any() else events

    def settle(self, lost: int, ts: int | None = None) -> Records:
        """A LOST record for what BPF counted and no gap has shown; empty where there is nothing.

        Args:
            lost: BPF's count.
            ts: time of the record; None for now.
        """
        missing = lost - self._announced
        if missing <= 0:
            return empty_records()
        self._announced += missing
        self._ahead += missing
        return lost_record(missing, time.monotonic_ns() if ts is None else ts)

    def _insert(self, events: Records, gaps: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Records:
        pieces, start = [], 0
        for row in true_rows(gaps != 0).tolist():
            count = int(gaps[row])
            known = min(self._ahead, count)
            self._ahead -= known
            self._announced += count - known
            if count > known:
                pieces += [events[start:row], lost_record(count - known, int(events["ts"][row]))]
                start = row
        return joined([*pieces, events[start:]])


def lost_record(count: int, ts: int) -> Records:
    """One LOST record: so many events, before what happened at `ts`."""
    record = empty_records(1)
    record["kind"] = kinds.LOST
    record["ts"] = ts
    record["aux"] = count
    return record
