"""How many events are taken in at a time."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from ksmtrace.sources.live.ring import MOST_RECORDS

LEAST_PORTION = 1 << 10
_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.1, 0.4
_MOST_TIMES = 8
"""By which a portion is divided at once: something else may have taken the time."""
_TRIES = 2
"""Portions of each size that are compared, by the faster one: something else may take time."""
_MOST_BETWEEN = 16
"""Portions from one comparison to the next, where nothing changes."""
_BY_ITSELF = 1 / 6
"""What the least portion costs whatever is in it, of what its events cost."""
_MOST_STEP = 4
"""By which the least portion grows at once."""


class _Taken(NamedTuple):
    seconds: float
    events: int


class Portion:
    """How many events are taken in at a time: what is done with in a fraction of a second.

    What that is differs a hundredfold between machines, between plugins, and by what ksmd does.
    Where a portion costs much whatever is in it, to take in few is in vain: so half as many are
    tried now and then, and no fewer are taken in than cost six times as much as that.

    Attributes:
        most: events.
    """

    def __init__(self) -> None:
        self.most = self._least = LEAST_PORTION
        self._tried: int | None = None
        self._wholes: deque[_Taken] = deque(maxlen=_TRIES)
        self._halves: list[_Taken] = []
        self._usual = math.inf
        self._wait = self._between = _TRIES

    def took(self, count: int, seconds: float) -> None:
        """So many events were taken in and done with in so many seconds."""
        if count <= self.most // 2:
            return
        if self._tried is not None:
            self._halves.append(_Taken(seconds, count))
            if len(self._halves) == _TRIES:
                self.most, self._tried = self._tried, None
                self._compare()
        elif seconds > _LONGEST_SECONDS and self.most > self._least:
            times = min(math.ceil(2 * seconds / _LONGEST_SECONDS), _MOST_TIMES)
            self._resize(max(self.most // times, self._least))
        elif seconds < _SHORTEST_SECONDS:
            self._resize(min(self.most * 2, MOST_RECORDS))
        else:
            self._wholes.append(_Taken(seconds, count))
            self._wait -= 1
            changed = min(self._wholes).seconds > 2 * self._usual
            if (self._wait <= 0 or changed) and len(self._wholes) == _TRIES:
                self._tried, self.most = self.most, self.most // 2

    def _resize(self, most: int) -> None:
        self.most = most
        self._wholes.clear()

    def _compare(self) -> None:
        """Half as many have been tried: the least portion follows."""
        whole, half = min(self._wholes), min(self._halves)
        more = whole.events - half.events
        of_events = whole.events / more * (whole.seconds - half.seconds) if more > 0 else 0.0
        of_itself = max(whole.seconds - of_events, 0.0)
        enough = math.inf
        if of_events > 0:
            enough = self.most * of_itself / of_events / _BY_ITSELF
        before = self._least
        highest = min(self.most * _MOST_STEP, MOST_RECORDS)
        self._least = int(max(min(enough, highest), LEAST_PORTION))
        changed = not 0.5 < self._least / before < 2
        self._between = _TRIES if changed else min(2 * self._between, _MOST_BETWEEN)
        self._wait, self._usual = self._between, whole.seconds
        self._resize(max(self.most, self._least))
        self._halves.clear()
