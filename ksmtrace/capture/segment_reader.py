"""One open file of a capture: its header, and its record batches as far as they are whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from io import BufferedReader

import pyarrow as pa

from ksmtrace.capture.decoded import CONTINUATION, LONGEST_HEAD_BYTES, decoded_bytes
from ksmtrace.capture.schema import (
    END,
    FINISHED,
    KNOWN,
    from_arrow,
    not_a_capture,
    parse_header,
    segment_path,
)
from ksmtrace.errors import KsmtraceError
from ksmtrace.events.record import Records

DAMAGE = (pa.ArrowException, OSError, MemoryError, OverflowError, ValueError)
"""What Arrow raises, depending on the byte at which a file is cut or changed."""

CUT = "is cut or damaged, what follows is left out"
_AGAIN = "get a fresh copy of the file, or record anew"
_END_OF_STREAM_BYTES = 8
_SPARE_BYTES = 4 << 20


class SegmentReader:
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
        self._decoded_bytes = 0
        self._file = _open(path)
        try:
            start = self._file.read(len(CONTINUATION) + 4)
            if int.from_bytes(start[len(CONTINUATION) :], "little") > LONGEST_HEAD_BYTES:
                raise _bad_start(self._file, path)
            self._file.seek(0)
            try:
                schema = pa.ipc.open_stream(self._file).schema
            except DAMAGE as error:
                raise _bad_start(self._file, path) from error
            self.header = parse_header(schema, path, source)
        except BaseException:
            self._file.close()
            raise

    def read(self) -> Iterator[tuple[Records, bytes]]:
        """The events of each complete record batch, from the first one on.

        Beside them is the mark of those that only say anew what was known before, else b"".
        """
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
                known = facts.get(KNOWN, b"")
                if len(events) or known:
                    yield events, known
                self.end = facts.get(END, b"")
            left = self._file.read(_END_OF_STREAM_BYTES + 1)
            if self.end == FINISHED and len(left) > _END_OF_STREAM_BYTES:
                self.fault = (
                    "there are more bytes after the end of the recording, which are left out"
                )
        except StopIteration:
            return
        except MemoryError:
            # a damaged length asks for what nobody has; else this is the host's lack
            if not _is_to_be_had(self._decoded_bytes):
                raise
            self.fault = CUT
        except DAMAGE:
            self.fault = CUT

    def _check_size(self) -> None:
        decoded = self._decoded_bytes = decoded_bytes(self._file.fileno(), self._file.tell())
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
        """Close the file."""
        self._file.close()


def _is_to_be_had(size: int) -> bool:
    """Whether there is memory for a batch that decodes to so many bytes, and as much again."""
    try:
        bytearray(2 * size + _SPARE_BYTES)
    except MemoryError:
        return False
    return True


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
