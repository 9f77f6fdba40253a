"""Writes captures: buffers events, writes record batches, starts a new segment when one is full."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Self
from uuid import uuid4

from ksmtrace.capture.reader import is_capture
from ksmtrace.capture.schema import CONTINUED, FINISHED, segment_path
from ksmtrace.capture.segment import Segment
from ksmtrace.capture.temporary import (
    cannot_be_written,
    check_kind,
    no_capture,
    remove_leftovers,
)
from ksmtrace.events import empty_records
from ksmtrace.events.record import Records
from ksmtrace.session import Session

SEGMENT_BYTES = 256 << 20
BATCH_EVENTS = 64 << 10
FLUSH_SECONDS = 1.0


class CaptureWriter:
    """A capture that is being recorded; readable up to its last record batch at any time.

    Attributes:
        path: the first segment; further ones are PATH.0001, PATH.0002 and so on.
        session: the session as recorded; it has a capture id even where the one given had none.
        moved: what happened to files that were written to, one line each: the recording went on in
            a new file beside each.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        session: Session,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        batch_events: int = BATCH_EVENTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the first segment; an older capture at `path` is removed, all its segments.

        Args:
            path: where to write; created with mode 0600.
            session: the run that is recorded.
            segment_bytes: a segment that has reached this size is followed by another one.
            batch_events: events of a full record batch.
            clock: seconds, monotonic.

        Raises:
            KsmtraceError: `path` cannot be written, or is something else than a capture.
        """
        self.path = self._asked = os.fspath(path)
        self.session = session if session.capture_id else replace(session, capture_id=uuid4().hex)
        self._segment_bytes = segment_bytes
        self._buffer = empty_records(batch_events)
        self._buffered = 0
        self._written = 0
        self._clock = clock
        self._flushed = clock()
        self._segment: Segment | None = None
        self.moved: list[str] = []
        with self._failing_at(self.path):
            old = check_capture_path(self.path)
            remove_leftovers(os.path.dirname(self.path) or os.curdir)
            self._segment = Segment(self.path, self.session, 0)
            for name in old:
                os.unlink(name)

    def write(self, events: Records) -> None:
        """Take in a copy of events of dtype `RECORD`, shape (n,).

        Raises:
            KsmtraceError: the disk is full or fails; the capture is readable up to the last record
                batch.
        """
        while len(events):
            part = events[: len(self._buffer) - self._buffered]
            self._buffer[self._buffered : self._buffered + len(part)] = part
            self._buffered += len(part)
            events = events[len(part) :]
            if self._buffered == len(self._buffer):
                self.flush()
        self.flush_if_due()

    def flush_if_due(self) -> None:
        """`flush` if 1 s has passed since the last time."""
        if self._clock() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Hand what is buffered to the operating system, as one record batch.

        Where the file has been deleted, replaced or changed by somebody else, recording goes on in
        a new one beside it, which is a capture of its own.

        Raises:
            KsmtraceError: as `write`.
        """
        if self._segment is None:
            raise ValueError("the capture is closed")
        self._flushed = self._clock()
        if harm := self._segment.harm():
            self._go_on_beside(self._segment, harm)
        if not self._buffered:
            return
        count, self._buffered = self._buffered, 0
        if self._segment.events and self._segment.bytes >= self._segment_bytes:
            self._next_segment(self._segment)
        with self._failing_at(self._segment.path):
            self._segment.append(self._buffer[:count])
        self._written += count

    def close(self) -> None:
        """Write what is buffered and the end mark; does nothing when closed, or after an error.

        Raises:
            KsmtraceError: as `write`.
        """
        if self._segment is None:
            return
        self.flush()
        assert self._segment is not None
        with self._failing_at(self._segment.path):
            self._segment.finish(FINISHED)
        self._abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _next_segment(self, full: Segment) -> None:
        # The next one comes first: a reader that finds the mark CONTINUED finds the segment as
        # well.
        number = full.number + 1
        path = segment_path(self.path, number)
        with self._failing_at(path):
            self._segment = Segment(path, self.session, number)
        with self._failing_at(full.path), closing(full):
            full.finish(CONTINUED)

    def _go_on_beside(self, lost: Segment, harm: str) -> None:
        self._abandon()
        number = len(self.moved) + 1
        while os.path.lexists(path := f"{self._asked}.after{number}"):
            number += 1
        saved = f"{self._written:,} events had been written"
        self.session = replace(self.session, capture_id=uuid4().hex)
        with self._failing_at(path):
            self._segment = Segment(path, self.session, 0)
        self.moved.append(f"{lost.path} {harm} while it was recorded to ({saved}): {path} goes on")
        self.path = path

    def _abandon(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    @contextmanager
    def _failing_at(self, path: str) -> Iterator[None]:
        """Turn an OSError into a KsmtraceError about `path`; the recording ends with it."""
        try:
            yield
        except OSError as error:
            self._abandon()
            saved = f" ({self._written} events are saved)" if self._written else ""
            raise cannot_be_written(path, error, saved) from error


def check_capture_path(path: str) -> list[str]:
    """Whether a capture can be written at `path`; returns older segments that it would replace.

    Raises:
        KsmtraceError: there is something else than a capture.
        OSError: its directory is not there.
    """
    old = _old_segments(path)
    for name in (path, *old):
        _check_replaceable(name)
    return old


def _old_segments(path: str) -> list[str]:
    """Files that are named as further segments of the capture at `path`."""
    directory, name = os.path.split(path)
    pattern = re.compile(re.escape(name) + r"\.\d{4,}")
    return [
        os.path.join(directory, entry)
        for entry in os.listdir(directory or os.curdir)
        if pattern.fullmatch(entry)
    ]


def _check_replaceable(path: str) -> None:
    """Raise KsmtraceError unless there is nothing at `path`, an empty file or a capture."""
    try:
        facts = os.lstat(path)
    except FileNotFoundError:
        return
    check_kind(path, facts)
    if facts.st_size and not is_capture(path):
        raise no_capture(path)
