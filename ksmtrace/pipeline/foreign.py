"""Code of other packages: what it prints does not mix with answers."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from ksmtrace.lines import say

MOST_LINES = 20
"""Lines of one plugin that are passed on."""

_OWN = "ksmtrace."


def is_foreign(code: object) -> bool:
    """Whether a function, or a class, is of another package."""
    return not str(getattr(code, "__module__", "")).startswith(_OWN)


class Prints:
    """What plugins printed so far, by name: some lines of each are passed on to stderr."""

    def __init__(self) -> None:
        self._lines: dict[str, int] = {}

    @contextmanager
    def kept_from_stdout(self, name: str) -> Iterator[None]:
        """Have what this thread prints meanwhile said on stderr, as the plugin's of this name.

        Other threads print as before: one draws the screen.
        """
        real = sys.stdout
        stand_in = _StandIn(real)
        sys.stdout = stand_in
        try:
            yield
        finally:
            # unless it has been replaced for good, which is the plugin's doing
            sys.stdout = real
            for line in stand_in.caught.getvalue().splitlines():
                self._pass_on(name, line)

    def _pass_on(self, name: str, line: str) -> None:
        count = self._lines[name] = self._lines.get(name, 0) + 1
        if count <= MOST_LINES:
            say(f"plugin {name!r} prints: {line}")
        elif count == MOST_LINES + 1:
            say(f"plugin {name!r} prints more, which is left out")


class _StandIn:
    """A stdout that keeps what one thread writes to it, and else is the real one."""

    def __init__(self, real: TextIO) -> None:
        self.caught = io.StringIO()
        self._real = real
        self._thread = threading.get_ident()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any part of a stdout
        return getattr(self._real, name)

    @property
    def _ours(self) -> bool:
        return threading.get_ident() == self._thread

    @property
    def buffer(self) -> Any:  # noqa: ANN401 - as of sys.stdout
        """What takes bytes."""
        return _Bytes(self.caught) if self._ours else self._real.buffer

    def write(self, text: str) -> int:
        """Keep it, or write it."""
        return self.caught.write(text) if self._ours else self._real.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Keep them, or write them."""
        for line in lines:
            self.write(line)


class _Bytes(io.RawIOBase):
    def __init__(self, caught: io.StringIO) -> None:
        self._caught = caught

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        self._caught.write(bytes(data).decode(errors="replace"))
        return len(data)
