"""Files that appear under their names once they are whole; what a killed ksmtrace left of one."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

_PREFIX = ".ksmtrace-"
_TEMPORARY = re.compile(re.escape(_PREFIX) + r"[a-z0-9_]{8}")


def write_whole(target: Path, text: str, mode: int = 0o600) -> None:
    """Have the file at `target` hold `text`, in one step for who reads it.

    Args:
        target: replaced; an older file stays as it was where this fails.
        text: written as UTF-8.
        mode: of the file.

    Raises:
        OSError: it cannot be written.
    """
    remove_leftovers(str(target.parent))
    descriptor, temporary = make_temporary(str(target.parent))
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
            os.fchmod(descriptor, mode)
            os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def remove_leftovers(directory: str) -> None:
    """Remove what ksmtraces that were killed left of files that they made.

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
