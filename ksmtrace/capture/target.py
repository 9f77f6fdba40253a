"""Where a capture is to be written: whether it can be, and what is said where it cannot.

Nothing here loads Arrow, whose threads would keep the capabilities that a trace gives up.
"""

from __future__ import annotations

import os
import stat
from errno import EDQUOT, EFBIG, ENOENT, ENOSPC

from ksmtrace.capture.decoded import CONTINUATION
from ksmtrace.errors import KsmtraceError
from ksmtrace.temporary import make_temporary

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
            if head and not is_head_of_capture(head):
                raise no_capture(path)
        try_directory(os.path.dirname(path) or os.curdir)
    except OSError as error:
        raise cannot_be_written(path, error) from error


def is_head_of_capture(head: bytes) -> bool:
    """Whether a file that begins so, with 64 KiB of it or all, is a capture, of any version."""
    return head.startswith(CONTINUATION) and _MARK in head


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
