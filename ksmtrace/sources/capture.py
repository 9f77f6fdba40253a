"""Plays a capture, as fast as possible or at the speed at which it happened."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from ksmtrace.capture.decoded import MOST_BATCH_BYTES
from ksmtrace.capture.reader import open_capture
from ksmtrace.events import EventBatch
from ksmtrace.events.cut import MOST_EVENTS, pieces_of

TICK_SECONDS = 0.05
"""How often a paced replay yields what has become due, if only an empty batch."""


class CaptureSource:
    """A `Source` that reads a capture.

    Attributes:
        session: the facts of the recorded run; its source is "capture".
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        speed: float | None,
        most_batch_bytes: int = MOST_BATCH_BYTES,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Open the capture at `path`.

        Args:
            path: its first segment.
            speed: seconds of event time per second of real time; None plays as fast as possible.
            most_batch_bytes: as `open_capture` has it.
            clock: seconds, monotonic.
            sleep: waits for so many seconds.

        Raises:
            KsmtraceError: `path` cannot be read, or is no capture of a version that can be read.
        """
        self._capture = open_capture(path, "capture", most_batch_bytes=most_batch_bytes)
        self.session = self._capture.session
        self._speed = speed
        self._clock = clock
        self._sleep = sleep
        self._stopped = False

    @property
    def warnings(self) -> list[str]:
        """What is missing from the capture, one line each; complete once `batches` has ended."""
        return self._capture.warnings

    def batches(self) -> Iterator[EventBatch]:
        """The recorded events in order; when paced, also empty batches while none is due."""
        pace = None if self._speed is None else _Pace(self._speed, self._clock)
        for batch in self._capture.batches():
            pieces = map(EventBatch, pieces_of(batch.events))
            for part in pieces if pace is None else self._paced(batch, pace):
                if self._stopped:
                    return
                yield part

    def stop(self) -> None:
        """End the batches soon; may be called from a signal handler."""
        self._stopped = True

    def close(self) -> None:
        """Close the capture's files."""
        self._capture.close()

    def _paced(self, batch: EventBatch, pace: _Pace) -> Iterator[EventBatch]:
        # Events are in stream order, which is not quite that of their times: an event is due when
        # all before it are.
        times = np.maximum.accumulate(batch.events["ts"])
        pace.begin(times)
        done = 0
        while True:
            due = int(np.searchsorted(times, pace.now_ns(), side="right"))
            due = min(due, done + MOST_EVENTS)
            yield EventBatch(batch.events[done:due])
            done = due
            if done == len(batch):
                return
            if times[done] > pace.now_ns():
                self._sleep(TICK_SECONDS)


class _Pace:
    """Event time as it passes in a replay."""

    def __init__(self, speed: float, clock: Callable[[], float]) -> None:
        self._speed = speed
        self._clock = clock
        self._origin_ns = 0
        self._started = 0.0

    def begin(self, times: npt.NDArray[np.uint64]) -> None:
        """Let event time run from the first of `times`, unless it runs already; 0 is no time."""
        known = times[times > 0]
        if not self._origin_ns and len(known):
            self._origin_ns = int(known[0])
            self._started = self._clock()

    def now_ns(self) -> np.uint64:
        """The event time up to which events are due."""
        passed_ns = min((self._clock() - self._started) * self._speed * 1e9, 2.0**63)
        return np.uint64(min(self._origin_ns + int(passed_ns), 2**64 - 1))
