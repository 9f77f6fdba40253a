"""Reads captures, all segments of them.

A damaged one is read up to its last complete record batch, with a warning of what is missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Self

import pyarrow as pa

from ksmtrace.capture.bounds import later_segments
from ksmtrace.capture.decoded import CONTINUATION, LONGEST_HEAD_BYTES, MOST_BATCH_BYTES
from ksmtrace.capture.known import Beginning
from ksmtrace.capture.plausible import Plausible
from ksmtrace.capture.schema import CONTINUED, FINISHED, is_capture_schema
from ksmtrace.capture.segment_reader import CUT, DAMAGE, SegmentReader
from ksmtrace.errors import KsmtraceError
from ksmtrace.events import EventBatch


def open_capture(
    path: str | os.PathLike[str],
    source: str = "capture",
    *,
    most_batch_bytes: int = MOST_BATCH_BYTES,
) -> Capture:
    """Open the capture at `path`, which is its first segment; a later one starts in the middle.

    Args:
        path: of the file; where it is gone, the first of its segments that is left is opened.
        source: becomes the session's.
        most_batch_bytes: reading a record batch that is larger once decoded raises KsmtraceError,
            before it is decoded.

    Raises:
        KsmtraceError: `path` cannot be read, or is no capture of a version that this ksmtrace
            reads.
    """
    return Capture(SegmentReader(_first_left(os.fspath(path)), source, most_batch_bytes), source)


def _first_left(path: str) -> str:
    """The first segment of a capture that is there; `path` where none is."""
    if os.path.lexists(path):
        return path
    with suppress(OSError):
        return next(iter(later_segments(path)), path)
    return path


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
        except DAMAGE:
            return False


class Capture:
    """An open capture.

    Attributes:
        session: the facts of the recorded run.
        warnings: what is missing from the capture, one line each; complete once `batches` has
            ended.
    """

    def __init__(self, first: SegmentReader, source: str) -> None:
        self.session = first.header.session
        self.warnings: list[str] = []
        self._source = source
        self._first = first
        self._current = first

    def batches(self) -> Iterator[EventBatch]:
        """The recorded events in order, one batch per record batch.

        Each call starts at the beginning, and may do so only once the iteration before it is over.
        Where a segment is cut, damaged, missing or foreign, or its records are none that ksmtrace
        writes, the batches end there and `warnings` says so. A recording whose first segments were
        removed as it went on begins with its first whole reading of the kernel's counters.

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
        segment: SegmentReader | None = self._first
        beginning: Beginning | None = None
        while segment is not None:
            for events, known in segment.read():
                if fault := plausible.fault(events):
                    segment.fault, segment.end = fault, b""
                    break
                if known and segment is self._first:
                    beginning = Beginning(events, known)
                elif not known:
                    read += len(events)
                    since = events if beginning is None else beginning.feed(events)
                    if len(since):
                        yield EventBatch(since)
            segment = self._following(segment, read)
        if beginning is not None and len(left := beginning.left()):
            yield EventBatch(left)

    def close(self) -> None:
        """Close the files."""
        self._first.close()
        self._current.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _following(self, segment: SegmentReader, read: int) -> SegmentReader | None:
        """The segment after this one; None at the end, with a warning if something is missing."""
        following = segment.following_path()
        if segment.end == CONTINUED:
            return self._open_following(following, segment, read)
        if segment.fault:
            self._warn(f"{segment.path}: {segment.fault}", read)
        elif segment.end != FINISHED and os.path.exists(following):
            self._warn(f"{segment.path}: {CUT}", read)
        elif segment.end != FINISHED:
            self._warn(
                f"{segment.path}: the recording did not end cleanly (killed, or still running)",
                read,
            )
        return None

    def _open_following(self, path: str, segment: SegmentReader, read: int) -> SegmentReader | None:
        if not os.path.exists(path):
            self._warn(f"{path}: this segment of the capture is missing", read)
            return None
        try:
            following = SegmentReader(path, self._source, segment.most_batch_bytes)
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
