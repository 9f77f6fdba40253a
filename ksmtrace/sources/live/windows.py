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
"""Each period has one window at most."""

FIRST_PERIOD_SECONDS = 2.0
"""Length of the first one, which has the window of a whole one: so a short run has one too."""

LEAST_OPEN_SECONDS = 0.05
"""A window that would be open for less, after what attaching takes, is saved up for a longer."""

EXPECTED_OVERHEAD_SECONDS = 0.05
"""What attaching and detaching take, until it has been measured."""

SETTLE_SECONDS = 0.01
"""Between letting go of entries and of returns: for calls that are under way."""


class WindowedProbes(Protocol):
    """Probes that can be attached and detached any number of times."""

    def prepare(self) -> None:
        """Attach what slows nobody but those who are waited for anyway.

        Raises:
            Exception: the kernel refuses.
        """

    def attach(self) -> None:
        """Attach the rest, so that a call is seen from its entry to its return or not at all.

        Raises:
            Exception: the kernel refuses.
        """

    def detach_entries(self) -> None:
        """Let go of the entries: no further call is seen, those under way are."""

    def detach_returns(self) -> None:
        """Let go of what is left of `attach`."""

    def release(self) -> None:
        """Let go of everything, and forget the calls that have not returned."""


class Windows:
    """One window in each period, at a random place in it, by a thread of its own.

    Attaching and detaching wait for the kernel (RCU), for tens of milliseconds: the thread waits,
    the reader of events does not.

    Args:
        probes: to attach and detach.
        share: of the time, above 0 and below 1, for which they are attached, attaching and
            detaching included. What the kernel takes too long is taken off later windows.
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
        self._left = share * PERIOD_SECONDS
        self._overhead = EXPECTED_OVERHEAD_SECONDS

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
            begun = time.monotonic()
            length = min(self._left - self._overhead, period / 2)
            if length >= LEAST_OPEN_SECONDS:
                if self._ended.wait(self._random.uniform(0.0, period - length)):
                    return
                try:
                    self._window(length)
                except Exception as error:  # noqa: BLE001 - bcc raises bare Exception
                    self._error = str(error) or type(error).__name__
                    return
            self._ended.wait(max(0.0, begun + period - time.monotonic()))
            period = PERIOD_SECONDS
            self._left += self._share * period

    def _window(self, length: float) -> None:
        """One window, open for `length` seconds; takes what it cost off what is left."""
        try:
            self._probes.prepare()
            begun = time.monotonic()
            self._probes.attach()
            self._marks.append((time.monotonic_ns(), 1))
            self._ended.wait(length)
            self._marks.append((time.monotonic_ns(), 0))
            self._probes.detach_entries()
            self._ended.wait(SETTLE_SECONDS)
            self._probes.detach_returns()
            held = time.monotonic() - begun
        finally:
            self._probes.release()
        self._left -= held
        self._overhead = (self._overhead + held - length) / 2
