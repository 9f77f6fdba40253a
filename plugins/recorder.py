"""Sink: writes the events of a run to a capture, as they come (`--record`, `record -o`)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ksmtrace import hookimpl
from ksmtrace.errors import KsmtraceError

if TYPE_CHECKING:
    from ksmtrace.capture.writer import CaptureWriter
    from ksmtrace.events.batch import EventBatch
    from ksmtrace.pipeline.options import RunOptions
    from ksmtrace.session import Session


class Plugin:
    """Records when `options.record` names a file.

    It has no metrics, so that live and replay have equal ones.
    """

    def __init__(self) -> None:
        self._writer: CaptureWriter | None = None
        self._told = 0
        self._speaks = True

    @hookimpl
    def ksmtrace_session_start(self, session: Session, options: RunOptions) -> None:
        """Open the capture."""
        if options.record is not None:
            from ksmtrace.capture.writer import CaptureWriter

            self._speaks = not options.tui
            self._writer = CaptureWriter(options.record, session)

    @hookimpl
    def ksmtrace_batch(self, batch: EventBatch) -> None:
        """Write the events; losses are among them, as LOST records."""
        if self._writer is not None:
            self._writer.write(batch.events)
            self._tell(self._writer)

    @hookimpl
    def ksmtrace_tick(self) -> None:
        """Write what is buffered to the disk when it is due, however few events come."""
        if self._writer is not None:
            self._writer.flush_if_due()
            self._tell(self._writer)

    @hookimpl
    def ksmtrace_session_finish(self) -> None:
        """Close the capture.

        Raises:
            KsmtraceError: it was deleted, replaced or changed meanwhile, though what came after is
                kept.
        """
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()
            if writer.moved:
                raise KsmtraceError("; ".join(writer.moved))

    def _tell(self, writer: CaptureWriter) -> None:
        """Say at once, where no screen would be spoilt, what happened to the file."""
        for line in writer.moved[self._told :]:
            if self._speaks:
                sys.stderr.write(f"ksmtrace: {line}\n")
        self._told = len(writer.moved)
