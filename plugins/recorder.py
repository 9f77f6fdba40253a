"""Sink: writes the events of a run to a capture, as they come (`--record`, `record -o`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksmtrace import hookimpl
from ksmtrace.errors import KsmtraceError
from ksmtrace.lines import say

if TYPE_CHECKING:
    from ksmtrace.capture.writer import CaptureWriter
    from ksmtrace.events.batch import EventBatch
    from ksmtrace.pipeline.control import RunControl
    from ksmtrace.pipeline.options import RunOptions
    from ksmtrace.pipeline.snapshot import Snapshot
    from ksmtrace.session import Session


MOST_DUMPS = 10
"""Each may be as large as the recording: a condition that is true now and then must not fill the
disk."""


class Plugin:
    """Records when `options.record` names a file.

    It has no metrics, so that live and replay have equal ones.
    """

    def __init__(self) -> None:
        self._writer: CaptureWriter | None = None
        self._control: RunControl | None = None
        self._options: RunOptions | None = None
        self._told = 0
        self._dumps = self._dumps_served = 0
        self._held = self._full = False
        self._failed: list[str] = []

    @hookimpl
    def ksmtrace_session_start(
        self, session: Session, options: RunOptions, control: RunControl
    ) -> None:
        """Open the capture."""
        if options.record is not None:
            from ksmtrace.capture.bounds import Bounds
            from ksmtrace.capture.writer import CaptureWriter

            self._options, self._control = options, control
            self._writer = CaptureWriter(
                options.record, session, bounds=Bounds(options.most_bytes, options.keep)
            )

    @hookimpl
    def ksmtrace_batch(self, batch: EventBatch) -> None:
        """Write the events; losses are among them, as LOST records."""
        if self._writer is not None:
            self._writer.write(batch.events)
            self._look_after(self._writer)

    @hookimpl
    def ksmtrace_tick(self) -> None:
        """Write what is buffered to the disk when it is due, however few events come."""
        if self._writer is not None:
            self._writer.flush_if_due()
            self._look_after(self._writer)

    @hookimpl
    def ksmtrace_publish(self, snapshot: Snapshot) -> None:
        """Dump what is kept where the condition for that has become true.

        Raises:
            KsmtraceError: the condition is about a figure that there is not.
        """
        if self._writer is None or self._options is None:
            return
        if (condition := self._options.dump_when) is not None:
            held, self._held = self._held, condition.holds(snapshot.document)
            if self._held and not held:
                self._dump(self._writer, str(condition))

    @hookimpl
    def ksmtrace_session_finish(self) -> None:
        """Close the capture.

        Raises:
            KsmtraceError: it was deleted, replaced or changed meanwhile, though what came after is
                kept, or a dump failed.
        """
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()
            if failed := [*writer.moved, *self._failed]:
                raise KsmtraceError("; ".join(failed))

    def _look_after(self, writer: CaptureWriter) -> None:
        """Serve who asked for a dump, and say what happened to the file."""
        for line in writer.moved[self._told :]:
            self._say(line)
        self._told = len(writer.moved)
        if self._control is not None and self._dumps_served < self._control.dumps_asked:
            self._dumps_served = self._control.dumps_asked
            self._dump(writer, "SIGUSR1")
        if writer.full and not self._full:
            self._full = True
            self._say(f"{writer.path} has reached its size: the recording is over")
            if self._options is not None and self._options.ends_when_full and self._control:
                self._control.quit()

    def _dump(self, writer: CaptureWriter, why: str) -> None:
        if self._dumps == MOST_DUMPS:
            self._say(f"{why}: not saved, {MOST_DUMPS} dumps have been made: record anew")
            return
        try:
            self._say(f"{why}: saved what is kept as {writer.dump()}")
            self._dumps += 1
        except KsmtraceError as error:
            self._failed.append(f"{why}: {error}")
            self._say(self._failed[-1])

    def _say(self, line: str) -> None:
        """Say it at once, where no screen would be spoilt."""
        if self._options is not None and not self._options.tui:
            say(line)
