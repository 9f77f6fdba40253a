"""Runs a source through the plugins: the one loop behind every verb."""

from __future__ import annotations

import time
from collections.abc import Callable

import pluggy

from ksmtrace.events.batch import EventBatch
from ksmtrace.pipeline.calls import PluginCalls
from ksmtrace.pipeline.control import RunControl
from ksmtrace.pipeline.options import RunOptions
from ksmtrace.pipeline.snapshot import Snapshot
from ksmtrace.pipeline.state import RunState
from ksmtrace.sources import Source

TICK_SECONDS = 0.25
_PUBLISHING_SHARE, _MOST_INTERVALS = 0.1, 30
"""Of the time: where publishing takes long, events come first, for so many intervals at most."""


class Runner:
    """One run.

    Args:
        source: where events come from.
        manager: the plugins.
        options: what was asked for.
        control: by which the run can be ended; None for a run that nobody ends.
        fail_fast: whether a plugin that raises ends the run; else it is dropped.

    Attributes:
        state: what the run has come to so far.
        calls: the hooks of the plugins, with the time that each took.
    """

    def __init__(
        self,
        source: Source,
        manager: pluggy.PluginManager,
        options: RunOptions,
        control: RunControl | None = None,
        *,
        fail_fast: bool,
    ) -> None:
        self.source = source
        self.session = source.session
        self.options = options
        self.control = control or RunControl()
        self.control.attach(source)
        self.calls = PluginCalls(manager, fail_fast=fail_fast, live=self.session.live)
        self.state = RunState(self.session)
        self._next_tick = 0.0

    def run(
        self,
        at_end: Callable[[Snapshot], None] | None = None,
        when_prepared: Callable[[], None] | None = None,
    ) -> Snapshot:
        """Run to the end of the source; returns the final state.

        `at_end` is called with it while the sinks are still open, `when_prepared` before plugins
        start: the place to give up privileges.

        Raises:
            KsmtraceError: the source or, where the run fails fast, a plugin failed.
        """
        try:
            self.calls.call("ksmtrace_prepare", options=self.options)
            if when_prepared is not None:
                when_prepared()
            self.calls.call(
                "ksmtrace_session_start",
                session=self.session,
                options=self.options,
                control=self.control,
            )
            due = time.monotonic() + self.options.interval
            for batch in self.source.batches():
                for part in self.state.reconstruction.cut(batch):
                    self._apply(part)
                    self._tick()
                self._tick()
                if (began := time.monotonic()) >= due:
                    self._publish(final=False)
                    ended = time.monotonic()
                    wait = (ended - began) / _PUBLISHING_SHARE
                    most = self.options.interval * _MOST_INTERVALS
                    due = ended + max(self.options.interval, min(wait, most))
            self.source.close()
            snapshot = self._publish(final=True)
            if at_end is not None:
                at_end(snapshot)
            return snapshot
        finally:
            self.source.close()
            self.calls.finish(session=self.session)

    def _apply(self, batch: EventBatch) -> None:
        readings, scan = self.state.apply(batch)
        of = {"reconstruction": self.state.reconstruction, "session": self.session}
        if self.state.just_lost:
            self.calls.call("ksmtrace_lost", count=self.state.just_lost, session=self.session)
        self.calls.call("ksmtrace_batch", batch=batch, **of)
        for reading in readings:
            self.calls.call("ksmtrace_reading", reading=reading, **of)
        if scan is not None:
            self.calls.call("ksmtrace_scan_end", scan=scan, **of)
            snapshot = Snapshot(self.state, self.calls, final=False)
            self.calls.call("ksmtrace_after_pass", snapshot=snapshot, session=self.session)

    def _tick(self) -> None:
        now = time.monotonic()
        if now >= self._next_tick:
            self._next_tick = now + TICK_SECONDS
            self.calls.call("ksmtrace_tick", session=self.session)

    def _publish(self, *, final: bool) -> Snapshot:
        snapshot = Snapshot(self.state, self.calls, final=final)
        self.calls.call("ksmtrace_publish", snapshot=snapshot, session=self.session)
        return snapshot
