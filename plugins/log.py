"""Sink: what is worth knowing of a run that is a service, as lines on stderr (`live --log`)."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ksmtrace import __version__, hookimpl
from ksmtrace.events import EventBatch, EventKind
from ksmtrace.events.probe_time import StreamEnd, stream_end
from ksmtrace.events.tunable import tunable_writes
from ksmtrace.pipeline.control import RunControl
from ksmtrace.pipeline.options import RunOptions
from ksmtrace.session import Session

if TYPE_CHECKING:
    from ksmtrace.pipeline.snapshot import Snapshot

LOSS_SECONDS = 60.0
"""A loss is reported at once; those within this time after it in one line when it is over."""

_INFO, _WARNING = 6, 4
"""Levels of syslog(3)."""


class Plugin:
    """One line at the start, one at the end; between them losses and writes to KSM's `run`.

    An interval in which all is well has no line. Where stderr is the journal, lines begin with
    their level, as in sd-daemon(3).
    """

    def __init__(self) -> None:
        self._options = RunOptions()
        self._control = RunControl()
        self._start_due = False
        self._levels = False
        self._run = ""
        self._lost = 0
        self._silent: set[tuple[str, str]] = set()
        self._quiet_until = 0.0

    @hookimpl
    def ksmtrace_session_start(
        self, session: Session, options: RunOptions, control: RunControl
    ) -> None:
        """See whether this run has a log."""
        self._options, self._control = options, control
        self._levels = stderr_is_journal()
        self._run = session.tunables.get("run", "")
        self._start_due = options.log

    @hookimpl
    def ksmtrace_lost(self, count: int) -> None:
        """Count a loss."""
        self._lost += count

    @hookimpl
    def ksmtrace_batch(self, batch: EventBatch, session: Session) -> None:
        """Report losses, the stream's end, and who switches KSM on and off."""
        if session.live and (end := stream_end(batch)) is not None:
            self._log_stream_end(end)
        if not self._options.log:
            return
        self._log_start(session)
        if self._lost and time.monotonic() >= self._quiet_until:
            self._log_losses()
        for write in tunable_writes(batch.events):
            if write.name == "run" and write.number is not None and write.text != self._run:
                self._log(_WARNING, f"KSM's run was {self._run or '?'} and is {write.text} now")
                self._run = write.text

    @hookimpl
    def ksmtrace_publish(self, snapshot: Snapshot, session: Session) -> None:
        """At the end, log the outcome."""
        if session.live:
            self._log_silences(snapshot.silent)
        if not self._options.log:
            return
        self._log_start(session)
        if not snapshot.final:
            return
        if self._lost:
            self._log_losses()
        found = snapshot.document
        events = found["events"]
        verdict = found["analyzers"].get("balance", {}).get("verdict")
        self._log(
            _INFO,
            f"ends after {found['duration_seconds']:.0f} s: {found['passes']} passes, "
            f"{events['total']} events, {events['lost']} lost"
            + (f"; KSM here: {verdict}" if verdict else ""),
        )

    def _log_start(self, session: Session) -> None:
        """Log what is traced, how, and where its figures are, once every plugin has started."""
        if not self._start_due:
            return
        self._start_due = False
        parts = [f"{__version__} traces KSM of {session.kernel.release}, run is {self._run or '?'}"]
        unseen = [
            kind.name.lower()
            for kind in session.probes
            if not session.counts(kind) and kind is not EventKind.SAMPLE
        ]
        parts.append(
            f"tier {session.tier}" + (f", not seen: {', '.join(unseen)}" if unseen else "")
        )
        parts += [f"metrics at {url}" for url in self._control.urls]
        parts += [f"metrics in {self._options.textfile}"] if self._options.textfile else []
        self._log(_INFO, "; ".join(parts))

    def _log_stream_end(self, end: StreamEnd) -> None:
        """Log it; a run without a log has the line on stderr all the same, one with a screen not.

        It is a run that nobody asked to end so.
        """
        goes_on = "counts and counters go on" if end.counted else "the kernel's counters go on"
        if self._options.log or not self._options.tui:
            self._log(
                _WARNING,
                f"the stream of events ends: {end.text}; {goes_on}; to avoid it: --budget none, "
                "or --totals from the beginning",
            )

    def _log_silences(self, silent: Mapping[str, Mapping[str, Any]]) -> None:
        """Log probes that have begun or ceased to be silent; as the stream's end, asked or not."""
        now = {(one["reason"], name) for name, one in silent.items() if not one["over"]}
        begun, ended, self._silent = now - self._silent, self._silent - now, now
        if not (self._options.log or not self._options.tui):
            return
        for reason in sorted({reason for reason, _ in begun}):
            names = ", ".join(sorted(name for why, name in begun if why == reason))
            self._log(_WARNING, f"events are missed: {names}: {reason}")
        if ended:
            names = ", ".join(sorted(name for _, name in ended))
            self._log(_WARNING, f"events come again: {names}")

    def _log_losses(self) -> None:
        self._log(
            _WARNING,
            f"{self._lost} events were lost, every count is too low: lower pages_to_scan, "
            "or leave plugins out (-p no:NAME)",
        )
        self._lost = 0
        self._quiet_until = time.monotonic() + LOSS_SECONDS

    def _log(self, level: int, line: str) -> None:
        plain = "".join(c if c.isprintable() else "?" for c in line)
        print(f"{f'<{level}>' if self._levels else ''}ksmtrace: {plain}", file=sys.stderr)  # noqa: T201


def stderr_is_journal() -> bool:
    """Whether stderr is systemd's journal: JOURNAL_STREAM, systemd.exec(5), is device and inode."""
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
