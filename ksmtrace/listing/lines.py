"""Writes a stream of events as lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind
from ksmtrace.listing.choice import Choice
from ksmtrace.listing.unseen import unseen_lines
from ksmtrace.listing.words import FUNCTIONS, words_of
from ksmtrace.model.processes import ProcessTable
from ksmtrace.session import Knowledge, Session

HEAD = f"#{'seconds':>14} {'pass':>5} function"
"""The line above all others."""

_NO_PASS = -1


def event_lines(batches: Iterable[EventBatch], choice: Choice, session: Session) -> Iterator[str]:
    """One line for each event that is chosen, in stream order, below `HEAD`.

    Lines that begin with "#" between them say what the run does not show (`unseen_lines`).

    A line has the seconds since the first event of the stream (of a page that was gathered, as near
    as they are known), the pass under way ("-" before the first that begins, and between two), the
    function, and what the event says as `name=value`: process and mm first.
    """
    yield HEAD
    yield from unseen_lines(session, choice)
    stream = _Stream(choice, trees=session.knows(Knowledge.TREES))
    for batch in batches:
        yield from stream.lines(batch)


def _from_names(batch: EventBatch) -> Iterator[EventBatch]:
    """`batch` in parts, within which no mm gets another process: each begins with its name."""
    names = np.flatnonzero(np.isin(batch.kind, (EventKind.PROCESS, EventKind.MM_ENTER))).tolist()
    for start, stop in pairwise([0, *names, len(batch)]):
        if start < stop:
            yield EventBatch(batch.events[start:stop])


class _Stream:
    def __init__(self, choice: Choice, *, trees: bool) -> None:
        self._choice = choice
        self._trees = trees
        self._processes = ProcessTable()
        self._pass = _NO_PASS
        self._first_ns: int | None = None

    def lines(self, batch: EventBatch) -> Iterator[str]:
        for part in _from_names(batch):
            if self._first_ns is None:
                self._first_ns = int(part.events["ts"][0])
            self._processes.apply(part)
            passes = self._passes(part)
            for row in self._choice.rows(part, self._pids(part), passes).tolist():
                yield self._line(part.events[row], int(passes[row]))

    def _passes(self, batch: EventBatch) -> npt.NDArray[np.int64]:
        """The pass of each event; its end belongs to it."""
        starts = batch.kind == EventKind.SCAN_START
        ended = np.zeros(len(batch), dtype=bool)
        ended[1:] = batch.kind[:-1] == EventKind.SCAN_STOP
        marks = np.flatnonzero(starts | ended)
        values = np.where(starts[marks], batch.events["aux"][marks].astype(np.int64), _NO_PASS)
        known = np.concatenate([[self._pass], values])
        counted = np.zeros(len(batch), dtype=np.intp)
        counted[marks] = 1
        found: npt.NDArray[np.int64] = known[np.cumsum(counted)]
        self._pass = _NO_PASS if batch.kind[-1] == EventKind.SCAN_STOP else int(found[-1])
        return found

    def _pids(self, batch: EventBatch) -> npt.NDArray[np.int64]:
        if not self._choice.pids:
            return np.full(len(batch), -1)
        mms, which = np.unique(batch.events["mm"], return_inverse=True)
        pids = [self._pid(mm) for mm in mms.tolist()]
        found: npt.NDArray[np.int64] = np.array(pids, dtype=np.int64)[which]
        snapshots = batch.kind == EventKind.SNAPSHOT
        found[snapshots] = batch.events["aux"][snapshots].astype(np.int64)
        return found

    def _pid(self, mm: int) -> int:
        pid = self._processes.of(mm).pid if mm else None
        return -1 if pid is None else pid

    def _line(self, event: np.void, number: int) -> str:
        assert self._first_ns is not None, "an event has come"
        seconds = (int(event["ts"]) - self._first_ns) / 1e9
        shown = "-" if number == _NO_PASS else str(number)
        kind = int(event["kind"])
        known = kind in EventKind.__members__.values()
        function = FUNCTIONS[EventKind(kind)] if known else "unknown"
        words = [*self._process(int(event["mm"])), *map(str, words_of(event, trees=self._trees))]
        return f"{seconds:15.6f} {shown:>5} {' '.join([function, *words])}"

    def _process(self, mm: int) -> list[str]:
        if not mm:
            return []
        process = self._processes.of(mm)
        named = [] if process.pid is None else [f"pid={process.pid}"]
        comm = [f"comm={process.comm.replace(' ', '?')}"] if process.comm else []
        return [*named, *comm, f"mm={mm:#x}"]
