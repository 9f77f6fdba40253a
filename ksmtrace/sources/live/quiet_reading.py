"""Reads the kernel's counters at a moment that belongs to a point of the stream, if any does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from ksmtrace.events.record import Records, joined
from ksmtrace.kernel.processes import read_rest
from ksmtrace.kernel.sysfs import Counters
from ksmtrace.sources.live.counter_samples import CounterSamples
from ksmtrace.sources.live.stream import EventStream

TRIES_WHILE_BUSY = 3
_SECONDS_WHILE_BUSY = 0.25
"""No other try is begun later: what else is due waits."""
TRIES_AT_THE_ENDS = 50


class QuietReading:
    """One reading, tried again until nothing happens during it.

    Counters read while ksmd works belong to no point of the stream. So the reading is repeated
    until no event arrives during it, and where batches are gathered, until ksmd sleeps through it,
    which soon happens: ksmd sleeps between batches of pages. A ksmd that never sleeps
    (sleep_millisecs 0) is read as it is, and so is one that is ahead of the reader.

    Args:
        ksmd_pid: pid of ksmd.
        samples: reads the counters.
        stream: of the events.
        take: gives the next of them.

    Attributes:
        counters: as they were read last.
    """

    def __init__(
        self,
        ksmd_pid: int,
        samples: CounterSamples,
        stream: EventStream,
        take: Callable[[], Records],
    ) -> None:
        self.counters = Counters({}, {})
        self._ksmd_pid = ksmd_pid
        self._samples = samples
        self._stream = stream
        self._take = take

    def tries(self, most: int, late: Callable[[], bool] | None = None) -> Iterator[Records]:
        """The events that arrive until the counters have been read.

        Args:
            most: how often it is tried, once at least.
            late: whether there is no time for more. Until then, what the reader is behind is taken
                in first; without it, a reader that is behind reads the counters as they are.
        """
        began = time.monotonic()
        for attempt in range(most):
            self._stream.pause(0.001 * attempt)
            before = self._take()
            while late is not None and self._stream.behind and not late():
                yield before
                before = self._take()
            rest = self._ksmd_rest()
            self.counters = self._samples.read()
            if self._stream.behind:
                yield before
                return
            events = joined([before, self._take()])
            quiet = self._stream.quiet and rest is not None and rest == self._ksmd_rest()
            yield events
            if quiet or (self._has_tried_since(began) if late is None else late()):
                return

    def _has_tried_since(self, began: float) -> bool:
        """Whether a reader that reads amid the run has tried enough."""
        return self._stream.behind or time.monotonic() - began > _SECONDS_WHILE_BUSY

    def _ksmd_rest(self) -> int | None:
        """A number for ksmd's sleep under way; None while it works, 0 where that is of no matter.

        ksmd has no event while a batch is under way that will be gathered.
        """
        return read_rest(self._ksmd_pid) if self._stream.gathers else 0
