"""Runs a source through the plugins, and keeps the account that every run shows."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Iterator

import numpy as np
import pluggy

from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind, Flag
from ksmtrace.model.readings import ReadingTracker
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.model.scan import ScanTracker
from ksmtrace.pipeline.calls import PluginCalls
from ksmtrace.pipeline.reconciliation import Reconciliation
from ksmtrace.pipeline.self_check import SelfCheck
from ksmtrace.pipeline.snapshot import Snapshot
from ksmtrace.sources import Source


class Runner:
    """One run.

    Attributes:
        by_kind: events so far by kind, shape (256,), dtype int64.
        lost: events dropped so far.
        last_ns: CLOCK_MONOTONIC of the latest event.
    """

    def __init__(
        self, source: Source, manager: pluggy.PluginManager, options: Namespace, *, fail_fast: bool
    ) -> None:
        self.source = source
        self.session = source.session
        self.options = options
        self.calls = PluginCalls(manager, fail_fast=fail_fast)
        self.reconstruction = Reconstruction(self.session)
        self.reconciliation = Reconciliation()
        self.self_check = SelfCheck(self.session)
        self.by_kind = np.zeros(256, dtype=np.int64)
        self.lost = 0
        self.last_ns = self.session.monotonic_ns
        self.passes = 0
        self._readings = ReadingTracker()
        self._scans = ScanTracker()

    def run(self, at_end: Callable[[Snapshot], None] | None = None) -> Snapshot:
        """Run to the end of the source; returns the final state.

        `at_end` is called with it while the sinks are still open.

        Raises:
            KsmtraceError: the source or, where the run fails fast, a plugin failed.
        """
        interval = float(getattr(self.options, "interval", 1.0))
        try:
            self.calls.call("ksmtrace_session_start", session=self.session, options=self.options)
            due = time.monotonic() + interval
            for batch in self.source.batches():
                for part in _parts(batch):
                    for one in self.reconstruction.processes.parts(part):
                        self._apply(one)
                if time.monotonic() >= due:
                    self._publish(final=False)
                    due = time.monotonic() + interval
            self.source.close()
            snapshot = self._publish(final=True)
            if at_end is not None:
                at_end(snapshot)
            return snapshot
        finally:
            self.source.close()
            self.calls.finish(session=self.session)

    def _apply(self, batch: EventBatch) -> None:
        session, reconstruction = self.session, self.reconstruction
        if batch.lost:
            self.lost += batch.lost
            self.calls.call("ksmtrace_lost", count=batch.lost, session=session)
        self.by_kind += np.bincount(batch.kind, minlength=256)
        self.last_ns = max(self.last_ns, int(batch.events["ts"][-1]))
        reconstruction.apply(batch)
        self.self_check.apply(batch)
        readings = self._readings.apply(batch)
        for reading in readings:
            self.reconciliation.read(reading, reconstruction)
            self.self_check.read(reading)
        self.calls.call(
            "ksmtrace_batch", batch=batch, reconstruction=reconstruction, session=session
        )
        for reading in readings:
            self.calls.call(
                "ksmtrace_reading",
                reading=reading,
                reconstruction=reconstruction,
                session=session,
            )
        scan = self._scans.apply(batch)
        if scan is not None:
            self.passes += 1
            self.calls.call(
                "ksmtrace_scan_end", scan=scan, reconstruction=reconstruction, session=session
            )

    def _publish(self, *, final: bool) -> Snapshot:
        snapshot = Snapshot(self, final=final)
        self.calls.call("ksmtrace_publish", snapshot=snapshot, session=self.session)
        return snapshot


def _parts(batch: EventBatch) -> Iterator[EventBatch]:
    """Cut a batch after each SCAN_STOP, after each whole reading of the kernel's counters, and on both sides of a LOST."""
    if not len(batch):
        return
    lost = batch.kind == EventKind.LOST
    ends = lost | (batch.kind == EventKind.SCAN_STOP)
    ends |= (batch.kind == EventKind.SAMPLE) & (batch.flags & Flag.LAST_OF_SAMPLE != 0)
    ends[:-1] |= lost[1:]
    start = 0
    for end in (*(np.flatnonzero(ends) + 1).tolist(), len(batch)):
        if end > start:
            yield EventBatch(batch.events[start:end])
            start = end
