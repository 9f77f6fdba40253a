"""Writes captures: buffers events, writes record batches, starts a new segment when one is full."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import Self
from uuid import uuid4

from ksmtrace.capture.bounds import Bounds, KeptFiles, later_segments
from ksmtrace.capture.known import Known
from ksmtrace.capture.reader import is_capture
from ksmtrace.capture.schema import CONTINUED, FINISHED, segment_path
from ksmtrace.capture.segment import Segment
from ksmtrace.capture.target import cannot_be_written, check_kind, no_capture
from ksmtrace.errors import KsmtraceError
from ksmtrace.events import empty_records
from ksmtrace.events.record import Records
from ksmtrace.session import Session
from ksmtrace.temporary import remove_leftovers

BATCH_EVENTS = 64 << 10
FLUSH_SECONDS = 1.0
_END_BYTES = 4 << 10
"""More than what ends a segment takes."""


class CaptureWriter:
    """A capture that is being recorded; readable up to its last record batch at any time.

    Attributes:
        path: the first segment; further ones are PATH.0001, PATH.0002 and so on.
        session: the session as recorded; it has a capture id even where the one given had none.
        moved: what happened to files that were written to, one line each: the recording went on in
            a new file beside each.
        full: it has reached its bound, and nothing more is written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        session: Session,
        *,
        bounds: Bounds | None = None,
        segment_bytes: int | None = None,
        batch_events: int = BATCH_EVENTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the first segment; an older capture at `path` is removed, all its segments.

        Args:
            path: where to write; created with mode 0600.
            session: the run that is recorded.
            bounds: how large it may become; None for any size.
            segment_bytes: a segment that would become larger is followed by another one; None for
                what the bounds allow.
            batch_events: events of a full record batch.
            clock: seconds, monotonic.

        Raises:
            KsmtraceError: `path` cannot be written, or is something else than a capture.
        """
        self.path = self._asked = os.fspath(path)
        self.session = session if session.capture_id else replace(session, capture_id=uuid4().hex)
        bounds = bounds or Bounds()
        self._segment_bytes = bounds.segment_bytes if segment_bytes is None else segment_bytes
        self._kept = KeptFiles(bounds)
        self._known = Known(self.session) if bounds.keep is not None else None
        self._buffer = empty_records(batch_events)
        self._buffered = 0
        self._written = 0
        self._clock = clock
        self._flushed = clock()
        self._segment: Segment | None = None
        self.moved: list[str] = []
        self.full = False
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
        if self.full:
            self._buffered = 0
            return
        if self._segment is None:
            raise ValueError("the capture is closed")
        self._flushed = self._clock()
        if harm := self._segment.harm():
            self._go_on_beside(self._segment, harm)
        if not self._buffered:
            return
        events, self._buffered = self._buffer[: self._buffered], 0
        size = self._segment.encode(events) + _END_BYTES
        if self._segment.events and self._segment.bytes + size > self._segment_bytes:
            self._next_segment(self._segment)
            self._segment.encode(events)
        if not self._kept.fits(self._segment.bytes + size):
            self._end(self._segment)
            self.full = True
            return
        with self._failing_at(self._segment.path):
            self._segment.put_out()
        if self._known is not None:
            self._known.follow(events)
        self._written += len(events)

    def dump(self) -> str:
        """Save what is kept as a capture of its own, which lasts; returns its path.

        Finished segments are linked, the one that is written to is copied.

        Raises:
            KsmtraceError: it cannot be written; the recording goes on.
        """
        self.flush()
        if self._segment is None:
            raise KsmtraceError(f"{self.path}: is closed: there is nothing to dump")
        number = 1
        while later_segments(base := f"{self._asked}.dump{number}") or os.path.lexists(base):
            number += 1
        made: list[str] = []
        try:
            for path in self._kept.paths:
                made.append(base + path.removeprefix(self.path))
                _link(path, made[-1])
            made.append(segment_path(base, self._segment.number))
            self._segment.copy_to(made[-1])
        except OSError as error:
            for path in made:
                with suppress(OSError):
                    os.unlink(path)
            raise cannot_be_written(base, error) from error
        return base

    def close(self) -> None:
        """Write what is buffered and the end mark; does nothing when closed, or after an error.

        Raises:
            KsmtraceError: as `write`.
        """
        if self._segment is None:
            return
        self.flush()
        if self._segment is not None:
            self._end(self._segment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _next_segment(self, full: Segment) -> None:
        # The next one comes first: a reader that finds the mark CONTINUED finds the segment as
        # well.
        number = full.number + 1
        path = segment_path(self.path, number)
        session, known = self.session, None
        if self._known is not None:
            session, known = self._known.session(), self._known.batch()
        with self._failing_at(path):
            self._segment = Segment(path, session, number, known)
        with self._failing_at(full.path), closing(full):
            full.finish(CONTINUED)
        self._kept.add(full.path, full.bytes)

    def _end(self, last: Segment) -> None:
        with self._failing_at(last.path):
            last.finish(FINISHED)
        self._abandon()

    def _go_on_beside(self, lost: Segment, harm: str) -> None:
        self._abandon()
        number = len(self.moved) + 1
        while os.path.lexists(path := f"{self._asked}.after{number}"):
            number += 1
        saved = f"{self._written:,} events had been written"
        self.session = replace(self.session, capture_id=uuid4().hex)
        self._kept.forget()
        known = None if self._known is None else self._known.batch()
        with self._failing_at(path):
            self._segment = Segment(path, self.session, 0, known)
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
    old = later_segments(path)
    for name in (path, *old):
        _check_replaceable(name)
    return old


def _link(path: str, new: str) -> None:
    """The file at `path` under another name too: a copy where the file system has no links."""
    try:
        os.link(path, new)
    except OSError:
        shutil.copy2(path, new)


def _check_replaceable(path: str) -> None:
    """Raise KsmtraceError unless there is nothing at `path`, an empty file or a capture."""
    try:
        facts = os.lstat(path)
    except FileNotFoundError:
        return
    check_kind(path, facts)
    if facts.st_size and not is_capture(path):
        raise no_capture(path)
