"""Reads captures, all segments of them.

A damaged one is read up to its last complete record batch, with a warning of what is missing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from typing import Self

import pyarrow as pa

from ksmtrace.capture.decoded import (
    CONTINUATION,
    LONGEST_HEAD_BYTES,
    MOST_BATCH_BYTES,
    decoded_bytes,
)
from ksmtrace.capture.plausible import Plausible
from ksmtrace.capture.schema import (
    CONTINUED,
    END,
    FINISHED,
    from_arrow,
    is_capture_schema,
    not_a_capture,
    parse_header,
    segment_path,
)
from ksmtrace.errors import KsmtraceError
from ksmtrace.events import EventBatch
from ksmtrace.events.record import Records

_DAMAGE = (pa.ArrowException, OSError, MemoryError, OverflowError, ValueError)
"""What Arrow raises, depending on the byte at which a file is cut or changed."""

_CUT = "is cut or damaged, what follows is left out"
_AGAIN = "get a fresh copy of the file, or record anew"
_END_OF_STREAM_BYTES = 8


def open_capture(
    path: str | os.PathLike[str],
    source: str = "capture",
    *,
    most_batch_bytes: int = MOST_BATCH_BYTES,
) -> Capture:
    """Open the capture at `path`, which is its first segment; a later one starts in the middle.

    Args:
        path: of the file.
        source: becomes the session's.
        most_batch_bytes: reading a record batch that is larger once decoded raises KsmtraceError,
            before it is decoded.

    Raises:
        KsmtraceError: `path` cannot be read, or is no capture of a version that this ksmtrace
            reads.
    """
    return Capture(_Segment(os.fspath(path), source, most_batch_bytes), source)


def is_capture(path: str) -> bool:
    """Whether the file at `path` has the header of a capture, of any version.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        try:
            start = file.read(len(CONTINUATION) + 4)
            if int.from_bytes(start[len(CONTINUATION) :], "little") > LONGEST_HEAD_BYTES:
                return False
            file.seek(0)
            return is_capture_schema(pa.ipc.open_stream(file).schema)
        except _DAMAGE:
            return False


class Capture:
    """An open capture.

    Attributes:
        session: the facts of the recorded run.
        warnings: what is missing from the capture, one line each; complete once `batches` has
            ended.
    """

    def __init__(self, first: _Segment, source: str) -> None:
        self.session = first.header.session
        self.warnings: list[str] = []
        self._source = source
        self._first = first
        self._current = first

    def batches(self) -> Iterator[EventBatch]:
        """The recorded events in order, one batch per record batch.

        Each call starts at the beginning, and may do so only once the iteration before it is over.
        Where a segment is cut, damaged, missing or foreign, or its records are none that
        ksmtrace writes, the
        batches end there and `warnings` says so.

        Raises:
            KsmtraceError: a record batch is too large once decoded.
        """
        self.warnings.clear()
        read = 0
        plausible = Plausible()
        if self._first.header.segment:
            self.warnings.append(
                f"{self._first.path}: is segment {self._first.header.segment} of a capture: "
                "what was recorded before it is left out"
            )
        segment: _Segment | None = self._first
        while segment is not None:
            for events in segment.read():
                if fault := plausible.fault(events):
                    segment.fault, segment.end = fault, b""
                    break
                read += len(events)
                yield EventBatch(events)
            segment = self._following(segment, read)

    def close(self) -> None:
        """Close the files."""
        self._first.close()
        self._current.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _following(self, segment: _Segment, read: int) -> _Segment | None:
        """The segment after this one; None at the end, with a warning if something is missing."""
        following = segment.following_path()
        if segment.end == CONTINUED:
            return self._open_following(following, segment, read)
        if segment.fault:
            self._warn(f"{segment.path}: {segment.fault}", read)
        elif segment.end != FINISHED and os.path.exists(following):
            self._warn(f"{segment.path}: {_CUT}", read)
        elif segment.end != FINISHED:
            self._warn(
                f"{segment.path}: the recording did not end cleanly (killed, or still running)",
                read,
            )
        return None

    def _open_following(self, path: str, segment: _Segment, read: int) -> _Segment | None:
        if not os.path.exists(path):
            self._warn(f"{path}: this segment of the capture is missing", read)
            return None
        try:
            following = _Segment(path, self._source, segment.most_batch_bytes)
        except KsmtraceError as error:
            self._warn(str(error), read)
            return None
        header, before = following.header, segment.header
        if (header.capture_id, header.segment) != (before.capture_id, before.segment + 1):
            following.close()
            self._warn(f"{path}: not the next segment of this capture but of another one", read)
            return None
        if self._current is not self._first:
            self._current.close()
        self._current = following
        return following

    def _warn(self, what: str, read: int) -> None:
        self.warnings.append(f"{what}; {read} whole events were read")


class _Segment:
    """One open file of a capture.

    Attributes:
        end: FINISHED or CONTINUED once `read` has met the segment's end mark, else b"".
        fault: what ended `read` before that, or "".
    """

    def __init__(self, path: str, source: str, most_batch_bytes: int) -> None:
        self.path = path
        self.most_batch_bytes = most_batch_bytes
        self.end = b""
        self.fault = ""
        self._file = _open(path)
        try:
            start = self._file.read(len(CONTINUATION) + 4)
            if int.from_bytes(start[len(CONTINUATION) :], "little") > LONGEST_HEAD_BYTES:
                raise _bad_start(self._file, path)
            self._file.seek(0)
            try:
                schema = pa.ipc.open_stream(self._file).schema
            except _DAMAGE as error:
                raise _bad_start(self._file, path) from error
            self.header = parse_header(schema, path, source)
        except BaseException:
            self._file.close()
            raise

    def read(self) -> Iterator[Records]:
        """The events of each complete record batch, from the first one on."""
        self.end = b""
        self.fault = ""
        try:
            self._file.seek(0)
            options = pa.ipc.IpcReadOptions(use_threads=False)  # threads take as long, and more CPU
            stream = pa.ipc.open_stream(self._file, options=options)
            while not self.end:
                self._check_size()
                batch, metadata = stream.read_next_batch_with_custom_metadata()
                facts = dict(metadata or {})
                events = from_arrow(batch, facts)
                if len(events):
                    yield events
                self.end = facts.get(END, b"")
            left = self._file.read(_END_OF_STREAM_BYTES + 1)
            if self.end == FINISHED and len(left) > _END_OF_STREAM_BYTES:
                self.fault = (
                    "there are more bytes after the end of the recording, which are left out"
                )
        except StopIteration:
            return
        except _DAMAGE:
            self.fault = _CUT

    def _check_size(self) -> None:
        decoded = decoded_bytes(self._file.fileno(), self._file.tell())
        if decoded > self.most_batch_bytes:
            raise KsmtraceError(
                f"{self.path}: a record batch decodes to {-(-decoded >> 20)} MiB, more than "
                f"{self.most_batch_bytes >> 20} MiB, which no recording of ksmtrace does: "
                "if you trust the file, raise --max-batch"
            )

    def following_path(self) -> str:
        """Path of the next segment, in the directory of the file itself if `path` is a link."""
        number = self.header.segment
        base = os.path.realpath(self.path)
        if number:
            base = base.removesuffix(segment_path("", number))
        return segment_path(base, number + 1)

    def close(self) -> None:
        self._file.close()


def _open(path: str) -> BufferedReader:
    try:
        facts = os.stat(path)
        if stat.S_ISDIR(facts.st_mode):
            raise KsmtraceError(f"{path}: is a directory: name the capture in it")
        if not stat.S_ISREG(facts.st_mode):
            raise KsmtraceError(f"{path}: is not a regular file: copy the capture to one")
        if not facts.st_size:
            raise KsmtraceError(f"{path}: is empty: nothing was recorded, record anew")
        return open(path, "rb")
    except FileNotFoundError:
        raise KsmtraceError(f"{path}: no such file: check the name of the capture") from None
    except OSError as error:
        raise KsmtraceError(
            f"{path}: cannot be read: {error.strerror}: check its name and your rights"
        ) from error


def _bad_start(file: BufferedReader, path: str) -> KsmtraceError:
    """The error for a file that Arrow cannot open: it is cut short, or of another format."""
    file.seek(0)
    start = file.read(len(CONTINUATION) + 4)
    length = int.from_bytes(start[len(CONTINUATION) :], "little")
    whole = len(start) + length <= os.fstat(file.fileno()).st_size
    if not CONTINUATION.startswith(start[: len(CONTINUATION)]) or length > LONGEST_HEAD_BYTES:
        return not_a_capture(path)
    if whole and len(start) == len(CONTINUATION) + 4:
        return KsmtraceError(f"{path}: its header is damaged, or it is no capture: {_AGAIN}")
    return KsmtraceError(f"{path}: is cut before its header was whole: {_AGAIN}")
