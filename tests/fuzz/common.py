"""What targets share."""

import os
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from ksmtrace.errors import KsmtraceError

documented = suppress(KsmtraceError)
"""What every reader may raise: one line that says what, where and the remedy."""


@cache
def folder() -> Path:
    """A directory in memory where it can be had; it goes with this process."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    _kept.append(tempfile.TemporaryDirectory(prefix="ksmtrace-fuzz-", dir=place))
    return Path(_kept[-1].name)


def file_of(data: bytes) -> Path:
    """A file with this content; the next call writes to the same one."""
    path = folder() / "input"
    path.write_bytes(data)
    return path


_kept: list[tempfile.TemporaryDirectory[str]] = []
