"""Standard streams as a command may find them: closed, full, or without a reader."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO


def open_closed_streams() -> None:
    """Give a command that was started with closed streams (`>&-`) ones that lead nowhere.

    Otherwise the next file that is opened would be the standard output of every library.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            setattr(sys, name, os.fdopen(nowhere, "r" if number == 0 else "w"))


def print_to_nowhere() -> None:
    """Standard output leads nowhere from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


class _Stubborn:
    """A text stream whose failures to write are nobody's: there is no better place to tell them."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


@contextmanager
def patient_stderr() -> Iterator[None]:
    """While this lasts, a standard error that is full or gone ends no run and changes no status."""
    before = sys.stderr
    sys.stderr = _Stubborn(before)
    try:
        yield
    finally:
        sys.stderr = before
