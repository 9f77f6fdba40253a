"""Writes captures: buffers events, writes record batches, starts a new segment when one is full."""

from __future__ import annotations

import io
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from errno import EDQUOT, EFBIG, ENOENT, ENOSPC
from typing import Self
from uuid import uuid4

import pyarrow as pa

from ksmtrace.capture.reader import is_capture
from ksmtrace.capture.schema import (
    CONTINUED,
    END,
    FINISHED,
    build_schema,
    segment_path,
    to_arrow,
)
from ksmtrace.errors import KsmtraceError
from ksmtrace.events import empty_records
from ksmtrace.events.record import Records
from ksmtrace.session import Session

SEGMENT_BYTES = 256 << 20
BATCH_EVENTS = 64 << 10
FLUSH_SECONDS = 1.0

_REMEDIES = {
    ENOENT: "create the directory first",
    ENOSPC: "free space or record elsewhere",
    EDQUOT: "free space or record elsewhere",
    EFBIG: "raise the limit on file sizes or record elsewhere",
}


class CaptureWriter:
    """A capture that is being recorded; readable up to its last record batch at any time.

    Attributes:
        path: the first segment; further ones are PATH.0001, PATH.0002 and so on.
        session: the session as recorded; it has a capture id even where the one given had none.
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
        self.path = os.fspath(path)
        self.session = session if session.capture_id else replace(session, capture_id=uuid4().hex)
        self._segment_bytes = segment_bytes
        self._buffer = empty_records(batch_events)
        self._buffered = 0
        self._written = 0
        self._clock = clock
        self._flushed = clock()
        self._segment: _Segment | None = None
        with self._failing_at(self.path):
            old = _old_segments(self.path)
            for name in (self.path, *old):
                _check_replaceable(name)
            self._segment = _Segment(self.path, self.session, 0)
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

        Raises:
            KsmtraceError: as `write`.
        """
        if self._segment is None:
            raise ValueError("the capture is closed")
        self._flushed = self._clock()
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
        with self._failing_at(self._segment.path):
            self._segment.finish(FINISHED)
        self._abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _next_segment(self, full: _Segment) -> None:
        # The next one comes first: a reader that finds the mark CONTINUED finds the segment as
        # well.
        number = full.number + 1
        path = segment_path(self.path, number)
        with self._failing_at(path):
            self._segment = _Segment(path, self.session, number)
        with self._failing_at(full.path), closing(full):
            full.finish(CONTINUED)

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
            remedy = _REMEDIES.get(error.errno or 0, "record to a place where you may write")
            saved = f" ({self._written} events are saved)" if self._written else ""
            raise KsmtraceError(
                f"{path}: cannot be written: {error.strerror}{saved}: {remedy}"
            ) from error


class _Segment:
    """One file of a capture, which appears under its name once its header is in it.

    Attributes:
        bytes: size so far, in whole record batches.
        events: number of events in it.
    """

    def __init__(self, path: str, session: Session, number: int) -> None:
        self.path = path
        self.number = number
        self.bytes = 0
        self.events = 0
        self._schema = build_schema(session, number)
        self._message = io.BytesIO()
        options = pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)
        self._stream = pa.ipc.new_stream(self._message, self._schema, options=options)
        descriptor, temporary = tempfile.mkstemp(
            prefix=".ksmtrace-", dir=os.path.dirname(path) or os.curdir
        )
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        try:
            self.append(empty_records())  # Arrow writes the schema with the first batch only
            os.replace(temporary, path)
        except BaseException:
            self._file.close()
            os.unlink(temporary)
            raise

    def append(self, events: Records, **marks: bytes) -> None:
        """Write one record batch, with `marks` in its metadata."""
        batch, metadata = to_arrow(events, self._schema)
        metadata.update({name.encode(): value for name, value in marks.items()})
        self._stream.write_batch(batch, custom_metadata=metadata)
        self._put_out()
        self.events += len(events)

    def finish(self, end: bytes) -> None:
        """Write the end mark."""
        self.append(empty_records(), **{END.decode(): end})
        self._stream.close()
        self._put_out()

    def close(self) -> None:
        """Close the file without an end mark."""
        self._file.close()

    def _put_out(self) -> None:
        """Write Arrow's message to the file; one that does not fit leaves nothing behind."""
        with self._message.getbuffer() as message:
            try:
                done = 0
                while done < len(message):
                    done += self._file.write(message[done:])
            except OSError:
                with suppress(OSError):
                    os.ftruncate(self._file.fileno(), self.bytes)
                raise
            self.bytes += len(message)
        self._message.seek(0)
        self._message.truncate()


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
    if stat.S_ISDIR(facts.st_mode):
        raise KsmtraceError(f"{path}: is a directory: name a file in it")
    if not stat.S_ISREG(facts.st_mode):
        raise KsmtraceError(f"{path}: exists and is not a regular file: name another file")
    if facts.st_size and not is_capture(path):
        raise KsmtraceError(
            f"{path}: exists and is not a ksmtrace capture: move it away or name another file"
        )
