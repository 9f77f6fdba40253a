"""What a segment says anew at its start, so that reading may begin there.

A recording that keeps its last segments loses its first ones, and with them what nobody says a
second time: how the tunables stand, what processes are called, what counts were last read.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ksmtrace.events.kinds import EventKind, Flag, Gauge
from ksmtrace.events.record import Records, empty_records, joined
from ksmtrace.events.tunable import follow_writes
from ksmtrace.session import Exactness, Probe, Session

_OF_PROCESSES = (EventKind.PROCESS, EventKind.PROCESS_TEXT, EventKind.PROCESS_SAMPLE)
_ENDS = (EventKind.MM_ENTER, EventKind.MM_EXIT)
_FOLLOWED = (*_OF_PROCESSES, *_ENDS, EventKind.STREAM_END, EventKind.TOTAL)
_UNREPEATED = (*_OF_PROCESSES, EventKind.TUNABLE, EventKind.STREAM_END)
WHOLE, CUT = b"whole", b"cut"
_OFFSET = 0xFFFFFFFF
_MOST_PROCESSES = 1 << 15
_GONE = "read before the first segment that is kept"


class Known:
    """What is known of a run once the events so far have been written."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._tunables = dict(session.tunables)
        self._of_mm: dict[int, dict[tuple[int, int], Records]] = {}
        self._of_run: dict[tuple[int, ...], Records] = {}
        self._now_ns = session.monotonic_ns
        self._in_reading = False

    def follow(self, events: Records) -> None:
        """Take in the next events."""
        if not len(events):
            return
        self._now_ns = max(self._now_ns, int(events["ts"].max()))
        self._in_reading = _in_reading(events[-1])
        follow_writes(self._tunables, events)
        for index in np.flatnonzero(np.isin(events["kind"], _FOLLOWED)).tolist():
            self._take(events[index : index + 1].copy())

    def batch(self) -> tuple[Records, bytes]:
        """What a segment that begins now says anew, and its mark: WHOLE, or CUT within a reading.

        It is the last record of each kind about the run, and about each process that is there, with
        the present time.
        """
        said = [*self._of_run.values()]
        said += [record for parts in self._of_mm.values() for record in parts.values()]
        records = joined([empty_records(), *said])
        records["ts"] = self._now_ns
        return records, CUT if self._in_reading else WHOLE

    def session(self) -> Session:
        """The session, as if the run had begun now."""
        passed = self._now_ns - self._session.monotonic_ns
        probes = dict(self._session.probes)
        if EventKind.SNAPSHOT in probes:
            probes[EventKind.SNAPSHOT] = Probe("", Exactness.ABSENT, _GONE)
        return replace(
            self._session,
            probes=probes,
            tunables=dict(self._tunables),
            monotonic_ns=self._now_ns,
            realtime_ns=self._session.realtime_ns + passed,
        )

    def _take(self, record: Records) -> None:
        kind, mm, part = (int(record[name][0]) for name in ("kind", "mm", "address"))
        if kind in _ENDS:
            self._of_mm.pop(mm, None)
        elif kind not in _OF_PROCESSES:
            self._of_run[kind, *_counted(record)] = record
        else:
            parts = self._of_mm.setdefault(mm, {})
            if len(self._of_mm) > _MOST_PROCESSES:
                del self._of_mm[next(iter(self._of_mm))]
            if kind == EventKind.PROCESS_TEXT and not part & _OFFSET:
                # pieces of an older, longer text must not follow the new one
                for old in [key for key in parts if key[0] == kind and key[1] ^ part <= _OFFSET]:
                    del parts[old]
            parts[kind, part if kind != EventKind.PROCESS else 0] = record


class Beginning:
    """Leaves out events before the first whole reading of a recording that begins in the middle.

    So live tracing begins with a reading: counters are compared, and totals counted, from there on.

    Args:
        known: what the first segment says anew.
        mark: whether it begins within a reading.
    """

    def __init__(self, known: Records, mark: bytes) -> None:
        self._said: list[Records] = []
        self._counted: dict[tuple[int, ...], int] = {}
        self._in_cut_reading = mark != WHOLE
        self._begun = False
        self._leave_out(known)

    def feed(self, events: Records) -> Records:
        """Those of the next events that are to be read, totals less what was counted before."""
        if self._begun:
            return self._since(events)
        first = self._first_whole_reading(events)
        self._leave_out(events[:first])
        if first == len(events):
            return empty_records()
        self._begun = True
        return joined([*self._said, self._since(events[first:])])

    def left(self) -> Records:
        """What is known, where no whole reading came; else nothing."""
        return empty_records() if self._begun else joined(self._said)

    def _first_whole_reading(self, events: Records) -> int:
        """Its index, or the number of events where it is not among them."""
        samples = (events["kind"] == EventKind.SAMPLE) & (events["address"] != Gauge.FAULT_PROBES)
        start = 0
        if self._in_cut_reading:
            ends = np.flatnonzero(samples & (events["flags"] & Flag.LAST_OF_SAMPLE != 0))
            if not len(ends):
                return len(events)
            start, self._in_cut_reading = int(ends[0]) + 1, False
        samples &= events["flags"] & Flag.AT_SCAN_STOP == 0
        readings = np.flatnonzero(samples[start:])
        return start + int(readings[0]) if len(readings) else len(events)

    def _leave_out(self, events: Records) -> None:
        self._said.append(events[np.isin(events["kind"], _UNREPEATED)])
        for record in events[events["kind"] == EventKind.TOTAL]:
            self._counted[_counted(record)] = int(record["aux"])

    def _since(self, events: Records) -> Records:
        totals = np.flatnonzero(events["kind"] == EventKind.TOTAL)
        if not len(totals) or not self._counted:
            return events
        since = events.copy()
        for index in totals.tolist():
            before = self._counted.get(_counted(since[index]), 0)
            since["aux"][index] -= min(before, int(since["aux"][index]))
        return since


def _in_reading(last: np.void) -> bool:
    """Whether a reading goes on behind this record."""
    alone = last["address"] == Gauge.FAULT_PROBES or last["flags"] & Flag.LAST_OF_SAMPLE
    return bool(last["kind"] == EventKind.SAMPLE and not alone)


def _counted(total: Records) -> tuple[int, ...]:
    """Which outcome of which kind a TOTAL counts."""
    return tuple(int(total[name].item()) for name in ("address", "err", "flags"))
