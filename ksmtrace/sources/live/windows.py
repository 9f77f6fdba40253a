"""Attaches some probes for a stated share of the time, in windows that begin at random."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from typing import Protocol

import numpy as np

from ksmtrace.events.kinds import EventKind, Gauge
from ksmtrace.events.record import Records, empty_records

PERIOD_SECONDS = 10.0
"""Each period has one window."""

FIRST_PERIOD_SECONDS = 2.0
"""Length of the first one, so that a short run has a window too; its window is as much shorter."""

LEAST_WINDOW_SECONDS = 0.02
"""Attaching and detaching take about as long: a shorter window would be mostly that."""

SETTLE_SECONDS = 0.01
"""Between letting go of entries and of returns: for calls that are under way."""


class WindowedProbes(Protocol):
    """Probes that can be attached and detached any number of times."""

    def attach(self) -> None:
        """Attach all, so that a call is seen from its entry to its return or not at all.

        Raises:
            Exception: the kernel refuses; nothing is left attached.
        """

    def detach_entries(self) -> None:
        """Let go of the entries: no further call is seen, those under way are."""

    def detach_returns(self) -> None:
        """Let go of the rest, and forget the calls that have not returned."""


class Windows:
    """One window in each period, at a random place in it, by a thread of its own.

    Attaching and detaching wait for the kernel (RCU), for tens of milliseconds: the thread waits,
    the reader of events does not.

    Args:
        probes: to attach and detach.
        share: of the time, above 0 and below 1. What was attached too long, because the kernel took
            its time, is taken off the windows that follow.
        seed: of the random places; None for one from the system.
    """

    def __init__(self, probes: WindowedProbes, share: float, seed: int | None = None) -> None:
        self._probes = probes
        self._share = share
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._marks: deque[tuple[int, int]] = deque()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._error = ""
        self._too_long = 0.0

    @property
    def error(self) -> str:
        """Why there are no further windows; "" while there are."""
        return self._error

    def start(self) -> None:
        """Begin the first period. The thread has the capabilities of the caller."""
        self._thread = threading.Thread(target=self._run, name="fault windows", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End after the window under way, which is cut short."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def marks(self) -> Records:
        """The beginnings and ends of windows since the last call, as SAMPLEs of FAULT_PROBES."""
        found = [self._marks.popleft() for _ in range(len(self._marks))]
        records = empty_records(len(found))
        records["kind"] = EventKind.SAMPLE
        records["address"] = Gauge.FAULT_PROBES
        records["ts"] = [ts for ts, _ in found]
        records["aux"] = np.array([value for _, value in found], dtype="<u8")
        return records

    def _run(self) -> None:
        period = FIRST_PERIOD_SECONDS
        while not self._ended.is_set():
            begun, due = time.monotonic(), self._share * period
            length = due - self._too_long
            held = 0.0
            if length >= LEAST_WINDOW_SECONDS:
                if self._ended.wait(self._random.uniform(0.0, max(0.0, period - length))):
                    return
                try:
                    held = self._window(min(length, period))
                except Exception as error:  # noqa: BLE001 - bcc raises bare Exception
                    self._error = str(error) or type(error).__name__
                    return
            self._too_long += held - due
            self._ended.wait(max(0.0, begun + period - time.monotonic()))
            period = PERIOD_SECONDS

    def _window(self, length: float) -> float:
        """One window; returns for how many seconds anything was attached."""
        begun = time.monotonic()
        self._probes.attach()
        try:
            self._marks.append((time.monotonic_ns(), 1))
            self._ended.wait(max(0.0, begun + length - time.monotonic() - SETTLE_SECONDS))
            self._marks.append((time.monotonic_ns(), 0))
            self._probes.detach_entries()
            self._ended.wait(SETTLE_SECONDS)
        finally:
            self._probes.detach_returns()
        return time.monotonic() - begun
