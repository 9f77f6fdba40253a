"""One file of a capture as it is written."""

from __future__ import annotations

import io
import os
from contextlib import suppress

import pyarrow as pa

from ksmtrace.capture.schema import END, build_schema, to_arrow
from ksmtrace.capture.temporary import make_temporary
from ksmtrace.events import empty_records
from ksmtrace.events.record import Records
from ksmtrace.session import Session


class Segment:
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
        descriptor, temporary = make_temporary(os.path.dirname(path) or os.curdir)
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        try:
            self.append(empty_records())  # Arrow writes the schema with the first batch only
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
