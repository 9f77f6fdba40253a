"""The state of a run as far as it follows from the events alone, without any plugin."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind, LossCause
from ksmtrace.events.losses import lost_by_cause
from ksmtrace.events.probe_time import StreamEnd, stream_end
from ksmtrace.events.readings import Reading, ReadingTracker
from ksmtrace.events.totals import Totals
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.model.scan import Scan, ScanTracker
from ksmtrace.pipeline.probe_times import ProbeTimes
from ksmtrace.pipeline.reconciliation import Reconciliation
from ksmtrace.pipeline.self_check import SelfCheck
from ksmtrace.pipeline.silence import SilenceWatch
from ksmtrace.session import Session

_ABOUT_EVENTS = (
    *(EventKind.LOST, EventKind.TOTAL),
    *(EventKind.PROBE_TIME, EventKind.STREAM_END),
)
"""Kinds of records that are about other events, or about the tracer."""


LOSS_CAUSES = (*(cause.name.lower() for cause in LossCause), "silent")
"""Why events may be missing, as documents and metrics have it."""


class RunState:
    """The state after the last batch applied.

    Attributes:
        session: the facts about the run's source.
        by_kind: number of events by kind, shape (256,), dtype int64.
        totals: events that are counted and not sent.
        probe_times: what the tracer's programs took of ksmd.
        stream_end: why and when the events ended before the run; None where they did not.
        lost: number of events dropped, those of silent probes included that the kernel counted.
        lost_by: the same by cause: names of `LossCause`, and "silent".
        just_lost: those of them before or in the last batch.
        silences: probes that are attached and do not fire.
        last_ns: CLOCK_MONOTONIC of the latest event, in nanoseconds.
        passes: number of full passes of ksmd that ended.
        reconstruction: ksmd's state.
        reconciliation: the reconstruction against the kernel's counters.
        self_check: counts of events against the kernel's.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.by_kind = np.zeros(256, dtype=np.int64)
        self.totals = Totals()
        self.probe_times = ProbeTimes()
        self.stream_end: StreamEnd | None = None
        self.lost = self.just_lost = 0
        self.lost_by: Counter[str] = Counter()
        self.silences = SilenceWatch(session)
        self.last_ns = session.monotonic_ns
        self.passes = 0
        self.reconstruction = Reconstruction(session)
        self.reconciliation = Reconciliation()
        self.self_check = SelfCheck(session)
        self._readings = ReadingTracker()
        self._scans = ScanTracker()

    @property
    def counts(self) -> dict[EventKind, int]:
        """How many events there were of each kind, sent or counted, as far as the run knows."""
        counts = self.by_kind + self.totals.by_kind
        return {kind: int(counts[kind]) for kind in EventKind if kind not in _ABOUT_EVENTS}

    @property
    def session_now(self) -> Session:
        """The facts of the run as they are now.

        Once the stream has ended, no event is seen, and none of a kind whose probes are silent.
        """
        if self.stream_end is None:
            return self.session.without(self.silences.silent)
        return self.session.without_stream(counted=self.stream_end.counted)

    @property
    def session_told(self) -> Session:
        """The facts for figures of the whole run: without kinds whose probes never fired."""
        return self.session.without(self.silences.never_seen)

    def apply(self, batch: EventBatch) -> tuple[list[Reading], Scan | None]:
        """Follow a batch, one of the parts that `Reconstruction.cut` makes.

        Returns the readings of the kernel's counters and the pass that end with it, if any do.
        """
        missed = self.silences.missed
        self.by_kind += batch.by_kind
        self.totals.apply(batch)
        self.probe_times.apply(batch)
        self.stream_end = self.stream_end or stream_end(batch)
        self.last_ns = max(self.last_ns, int(batch.events["ts"][-1]))
        self.reconstruction.apply(batch)
        self.self_check.apply(batch)
        self.silences.apply(batch)
        readings = self._readings.apply(batch)
        for reading in readings:
            self.reconstruction.read(reading)
            self.reconciliation.read(reading, self.reconstruction)
            self.self_check.read(reading)
            if self.silences.read(reading):
                self.reconstruction.doubt()
        self.just_lost = batch.lost + self.silences.missed - missed
        self.lost += self.just_lost
        self.lost_by += lost_by_cause(batch)
        self.lost_by["silent"] = self.silences.missed
        scan = self._scans.apply(batch)
        self.passes += scan is not None
        return readings, scan
