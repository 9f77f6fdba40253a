"""Delays SIGINT and SIGTERM while they must not end a run: what is being put back must be."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self


class Interruption:
    """A context in which both signals raise KeyboardInterrupt inside `allowed`, else wait for it.

    Signals are the main thread's: in another one, this changes nothing.
    """

    def __init__(self) -> None:
        self._came = False
        self._allowed = False

    def __enter__(self) -> Self:
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Part of a run that a signal may end, also one that came before.

        Raises:
            KeyboardInterrupt: a signal came.
        """
        self._allowed = True
        try:
            if self._came:
                raise KeyboardInterrupt
            yield
        finally:
            self._allowed = False

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        self._came = True
        if self._allowed:
            self._allowed = False
            raise KeyboardInterrupt
