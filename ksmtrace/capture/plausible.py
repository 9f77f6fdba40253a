"""Whether records can be what ksmtrace wrote: times of one clock that goes forward, and counts."""

from __future__ import annotations

import numpy as np

from ksmtrace.events.kinds import EventKind
from ksmtrace.events.record import Records

MOST_DISORDER_NS = 3600 * 10**9
"""Records are in the order in which they were emitted, some with the time at which what they tell
of began: a write to `run` may take minutes."""
_CLOCK_END = np.uint64(1 << 63)
MOST_COUNT = 1 << 53
"""Events and nanoseconds that are added up: of either more takes a hundred days of a fast CPU."""
_COUNTED = {
    EventKind.LOST: ("aux",),
    EventKind.TOTAL: ("aux",),
    EventKind.COW_FAULT: ("aux",),
    EventKind.PROBE_TIME: ("address", "pfn", "aux", "rmap_item"),
    EventKind.STREAM_END: ("address", "aux"),
}


class Plausible:
    """What the records so far were like."""

    def __init__(self) -> None:
        self._latest = 0

    def fault(self, events: Records) -> str:
        """What is wrong with the next events, "" for nothing; a time of 0 is none."""
        for kind, columns in _COUNTED.items():
            some = events[events["kind"] == kind]
            if any((some[column] > MOST_COUNT).any() for column in columns):
                return "holds counts that no run has, what follows is left out"
        times = events["ts"][events["ts"] > 0]
        if not len(times):
            return ""
        if times.max() >= _CLOCK_END:
            return "holds times that no clock shows, what follows is left out"
        latest = np.maximum(np.maximum.accumulate(times), np.uint64(self._latest))
        if (latest - times > MOST_DISORDER_NS).any():
            return "goes back in time by more than an hour, what follows is left out"
        self._latest = int(latest[-1])
        return ""
