"""One file of a capture as it is written, and what a killed ksmtrace left of one."""

from __future__ import annotations

import fcntl
import io
import os
import re
import stat
import tempfile
from contextlib import suppress

import pyarrow as pa

from ksmtrace.capture.schema import END, build_schema, to_arrow
from ksmtrace.events import empty_records
from ksmtrace.events.record import Records
from ksmtrace.session import Session

_PREFIX = ".ksmtrace-"
_TEMPORARY = re.compile(re.escape(_PREFIX) + r"[a-z0-9_]{8}")


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
        descriptor, temporary = _make_temporary(os.path.dirname(path) or os.curdir)
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


def try_directory(directory: str) -> None:
    """Make a file as for a segment, and remove it again.

    Raises:
        OSError: none can be made.
    """
    descriptor, path = _make_temporary(directory)
    os.close(descriptor)
    os.unlink(path)


def remove_leftovers(directory: str) -> None:
    """Remove the beginnings of captures whose ksmtrace was killed as it made them.

    A living one holds a lock on its own. What cannot be looked at, or has no locks, stays.
    """
    with suppress(OSError):
        for name in filter(_TEMPORARY.fullmatch, os.listdir(directory)):
            with suppress(OSError):
                _remove_dead(os.path.join(directory, name))


def _remove_dead(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        facts = os.fstat(descriptor)
        if stat.S_ISREG(facts.st_mode) and facts.st_uid == os.geteuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
    finally:
        os.close(descriptor)


def _make_temporary(directory: str) -> tuple[int, str]:
    """Descriptor and path of a new file, locked for as long as it is open.

    Somebody who removes leftovers may take it before it is locked: then another one is made.
    """
    while True:
        descriptor, path = tempfile.mkstemp(prefix=_PREFIX, dir=directory)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        except OSError:
            return descriptor, path  # no locks on this file system
        if os.fstat(descriptor).st_nlink:
            return descriptor, path
        os.close(descriptor)
