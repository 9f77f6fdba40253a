"""Files that become captures once their header is in them, and what a killed ksmtrace left of one.

Nothing here loads Arrow, whose threads would keep the capabilities that a trace gives up.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import tempfile
from contextlib import suppress
from errno import EDQUOT, EFBIG, ENOENT, ENOSPC

from ksmtrace.capture.decoded import CONTINUATION
from ksmtrace.errors import KsmtraceError

_PREFIX = ".ksmtrace-"
_TEMPORARY = re.compile(re.escape(_PREFIX) + r"[a-z0-9_]{8}")
_LONGEST_HEAD_BYTES = 1 << 16
_MARK = b"ksmtrace.capture"


def try_directory(directory: str) -> None:
    """Make a file as for a segment, and remove it again.

    Raises:
        OSError: none can be made.
    """
    descriptor, path = make_temporary(directory)
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


def make_temporary(directory: str) -> tuple[int, str]:
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


def check_target(path: str) -> None:
    """Whether a capture can be written at `path`, as far as is known before there is one.

    Raises:
        KsmtraceError: there is something else than a capture, or no file can be made there.
    """
    try:
        if os.path.lexists(path):
            facts = os.lstat(path)
            check_kind(path, facts)
            with open(path, "rb") as file:
                head = file.read(_LONGEST_HEAD_BYTES)
            if head and not (head.startswith(CONTINUATION) and _MARK in head):
                raise no_capture(path)
        try_directory(os.path.dirname(path) or os.curdir)
    except OSError as error:
        raise cannot_be_written(path, error) from error


def check_kind(path: str, facts: os.stat_result) -> None:
    """Refuse to write over what is no file.

    Raises:
        KsmtraceError: it is something else.
    """
    if stat.S_ISDIR(facts.st_mode):
        raise KsmtraceError(f"{path}: is a directory: name a file in it")
    if not stat.S_ISREG(facts.st_mode):
        raise KsmtraceError(f"{path}: exists and is not a regular file: name another file")


def no_capture(path: str) -> KsmtraceError:
    """The error for a file that a capture would replace."""
    return KsmtraceError(
        f"{path}: exists and is not a ksmtrace capture: move it away or name another file"
    )


_REMEDIES = {
    ENOENT: "create the directory first",
    ENOSPC: "free space or record elsewhere",
    EDQUOT: "free space or record elsewhere",
    EFBIG: "raise the limit on file sizes or record elsewhere",
}


def cannot_be_written(path: str, error: OSError, saved: str = "") -> KsmtraceError:
    """The error for a capture that cannot be written."""
    remedy = _REMEDIES.get(error.errno or 0, "record to a place where you may write")
    if error.errno == ENOENT and not os.path.isabs(path) and not _has_directory():
        remedy = "the current directory has been deleted, go to another one"
    return KsmtraceError(f"{path}: cannot be written: {error.strerror}{saved}: {remedy}")


def _has_directory() -> bool:
    try:
        os.getcwd()
    except OSError:
        return False
    return True
