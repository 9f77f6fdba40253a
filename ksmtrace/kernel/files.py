"""Reads files of /proc and /sys: a file that is not there is a fact, another failure is counted.

Whatever such a file holds, a reader ends with a value or without one. Why there is none of a file
that is there stands in a ledger, `UNREAD`.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ksmtrace.errors import reason_of

_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ESRCH})
"""No such file, no such process any more, none when it was read."""
_PROCESS = re.compile(r"/proc/\d+/")
_LEAST, _BEYOND = -(1 << 63), 1 << 64


NOT_AS_KNOWN = errno.EBADMSG
"""Why there is no value of a file whose content is not what the file is known to hold."""


class Ledger:
    """What could not be read: by file how often, and why the last time.

    Files of different processes are one, /proc/<pid>/NAME.
    """

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def note(self, path: Path, number: int) -> None:
        """One more failure, an errno, of the file at `path`."""
        name = _PROCESS.sub("/proc/<pid>/", str(path))
        self._found[name] = self._found.get(name, (0, ""))[0] + 1, reason_of(number)

    def clear(self) -> None:
        """Forget all."""
        self._found.clear()

    def lines(self) -> list[str]:
        """One sentence a file."""
        return [
            f"{name} could not be read {count:,} time{'s' if count > 1 else ''} (last: {why})"
            for name, (count, why) in sorted(self._found.items())
        ]


UNREAD = Ledger()
"""The failures of this process so far."""


class UnreadError(OSError):
    """A file that is there could not be read, or holds something else; `errno` says why."""


def load_bytes(path: Path) -> bytes | None:
    """The content; None where there is no such file, or its process is gone.

    Raises:
        UnreadError: it is there and cannot be read; this is in `UNREAD` then.
    """
    try:
        with path.open("rb", buffering=0) as file:
            return file.readall()
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise failed(path, error.errno or errno.EIO) from error


def load_number(path: Path) -> int | None:
    """The number in a file, as `number` has it; None where there is no such file.

    Raises:
        UnreadError: it cannot be read, or holds no number.
    """
    content = load_bytes(path)
    if content is None:
        return None
    found = number(content.strip())
    if found is None:
        raise failed(path, NOT_AS_KNOWN)
    return found


def failed(path: Path, reason: int) -> UnreadError:
    """The error for a file that cannot be read, an errno, once it is in `UNREAD`."""
    UNREAD.note(path, reason)
    return UnreadError(reason, reason_of(reason), str(path))


def read_bytes(path: Path) -> bytes | None:
    """The content; None where there is none, for whatever reason."""
    try:
        return load_bytes(path)
    except UnreadError:
        return None


def read_text(path: Path) -> str | None:
    """The content without the white space around it; bytes that are no UTF-8 are U+FFFD."""
    content = read_bytes(path)
    return None if content is None else content.decode("utf-8", "replace").strip()


def read_lines(path: Path) -> list[str]:
    """The lines, without what ends them; none where there is no content."""
    # only a newline ends a line of the kernel's: names in it may hold any other separator
    text = read_text(path)
    return text.split("\n") if text else []


def number(text: bytes | str) -> int | None:
    """A decimal number of 64 bits, None for anything else.

    One above the signed ones is a negative one that the kernel printed as unsigned, as
    ksm_zero_pages of 6.6 to 6.9 in /proc/<pid>/ksm_stat.
    """
    word = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    if not re.fullmatch(r"-?[0-9]{1,20}", word):
        return None
    value = int(word)
    if not _LEAST <= value < _BEYOND:
        return None
    return value if value < -_LEAST else value - _BEYOND


def process_ids(root: Path) -> Iterator[int]:
    """The processes that /proc lists, in its order."""
    try:
        names = os.listdir(root / "proc")
    except OSError as error:
        if error.errno not in _NOT_THERE:
            UNREAD.note(root / "proc", error.errno or errno.EIO)
        return
    yield from (int(name) for name in names if name.isascii() and name.isdecimal())
