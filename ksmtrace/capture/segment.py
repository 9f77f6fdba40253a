"""One file of a capture as it is written."""

from __future__ import annotations

import io
import os
from contextlib import suppress

import pyarrow as pa

from ksmtrace.capture.schema import END, FINISHED, KNOWN, ArrowSchema, build_schema, to_arrow
from ksmtrace.events import empty_records
from ksmtrace.events.record import Records
from ksmtrace.session import Session
from ksmtrace.temporary import make_temporary

_PIECE_BYTES = 1 << 20


class Segment:
    """One file of a capture, which appears under its name once its header is in it.

    Args:
        path: of the file.
        session: as its header has it.
        number: of the segment.
        known: what its reader has to know beforehand where it is the first one left, and the mark
            that says so.

    Attributes:
        bytes: size so far, in whole record batches.
        events: number of events in it.
    """

    def __init__(
        self,
        path: str,
        session: Session,
        number: int,
        known: tuple[Records, bytes] | None = None,
    ) -> None:
        self.path = path
        self.number = number
        self.bytes = 0
        self.events = 0
        self._encoded = 0
        self._schema = build_schema(session, number)
        self._message = io.BytesIO()
        options = pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)
        self._stream = pa.ipc.new_stream(self._message, self._schema, options=options)
        descriptor, temporary = make_temporary(os.path.dirname(path) or os.curdir)
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        try:
            # Arrow writes the schema with the first batch only
            if known is None:
                self.append(empty_records())
            else:
                records, mark = known
                self.append(records, **{KNOWN.decode(): mark})
            self.events = 0
            os.replace(temporary, path)
        except BaseException:
            self._file.close()
            os.unlink(temporary)
            raise

    def harm(self) -> str:
        """What somebody else did to the file, "" for nothing."""
        ours = os.fstat(self._file.fileno())
        try:
            named = os.stat(self.path)
        except OSError:
            return "was deleted"
        if (named.st_dev, named.st_ino) != (ours.st_dev, ours.st_ino):
            return "was replaced"
        if ours.st_size != self.bytes:
            return "was truncated" if ours.st_size < self.bytes else "was written to by others"
        return ""

    def append(self, events: Records, **marks: bytes) -> None:
        """Write one record batch, with `marks` in its metadata."""
        self.encode(events, **marks)
        self.put_out()

    def encode(self, events: Records, **marks: bytes) -> int:
        """Make one record batch, for `put_out` to write; returns its size in bytes."""
        self._message.seek(0)
        self._message.truncate()
        batch, metadata = to_arrow(events, self._schema)
        metadata.update({name.encode(): value for name, value in marks.items()})
        self._stream.write_batch(batch, custom_metadata=metadata)
        self._encoded = len(events)
        return self._message.tell()

    def finish(self, end: bytes) -> None:
        """Write the end mark."""
        self.append(empty_records(), **{END.decode(): end})
        self._message.seek(0)
        self._message.truncate()
        self._stream.close()
        self._encoded = 0
        self.put_out()

    def copy_to(self, path: str) -> None:
        """Write what is in the file so far to another one, as a segment that ends there."""
        descriptor, temporary = make_temporary(os.path.dirname(path) or os.curdir)
        try:
            with os.fdopen(descriptor, "wb") as copy, open(self.path, "rb") as file:
                left = self.bytes
                while part := file.read(min(left, _PIECE_BYTES)):
                    left -= copy.write(part)
                copy.write(_end_of(self._schema))
            os.replace(temporary, path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            raise

    def close(self) -> None:
        """Close the file without an end mark."""
        self._file.close()

    def put_out(self) -> None:
        """Write what `encode` made to the file; what does not fit leaves nothing behind."""
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
        self.events += self._encoded


def _end_of(schema: ArrowSchema) -> bytes:
    """What ends a segment: the end mark, and Arrow's own."""
    message = io.BytesIO()
    with pa.ipc.new_stream(message, schema) as stream:
        batch, metadata = to_arrow(empty_records(), schema)
        stream.write_batch(batch, custom_metadata=metadata)
        begun = message.tell()
        stream.write_batch(batch, custom_metadata={**metadata, END: FINISHED})
    return message.getvalue()[begun:]
