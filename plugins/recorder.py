"""Sink: writes the events of a run to a capture, as they come (`--record`, `record -o`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksmtrace import hookimpl

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

    @hookimpl
    def ksmtrace_session_start(self, session: Session, options: RunOptions) -> None:
        """Open the capture."""
        if options.record is not None:
            from ksmtrace.capture.writer import CaptureWriter

            self._writer = CaptureWriter(options.record, session)

    @hookimpl
    def ksmtrace_batch(self, batch: EventBatch) -> None:
        """Write the events; losses are among them, as LOST records."""
        if self._writer is not None:
            self._writer.write(batch.events)

    @hookimpl
    def ksmtrace_publish(self) -> None:
        """Write what is buffered to the disk when it is due, however few events come."""
        if self._writer is not None:
            self._writer.flush_if_due()

    @hookimpl
    def ksmtrace_session_finish(self) -> None:
        """Close the capture."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
