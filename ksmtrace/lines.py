"""Any text as one line that is safe to print, and lines on stderr."""

from __future__ import annotations

import sys
from contextlib import suppress


def one_line(text: object) -> str:
    """`text` on one line, with "?" for characters that cannot be printed.

    An object that has no text, such as an exception of a plugin whose `__str__` raises, is told by
    words that say so.
    """
    try:
        words = str(text)
    except Exception:  # noqa: BLE001 - it is code of whoever made the object
        words = "with no message that can be had"
    return harmless(" ".join(words.split()))


def harmless(text: str) -> str:
    """`text`, as long as it is, with "?" for characters that cannot be printed."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def say(line: object) -> None:
    """Print a line on stderr, under the program's name; nothing where there is no stderr.

    Whatever is in it, names of files and what plugins say among that, is harmless to a terminal.
    """
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(f"ksmtrace: {one_line(line)}", file=sys.stderr)  # noqa: T201 - it is the one place
