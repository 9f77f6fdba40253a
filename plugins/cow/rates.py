"""Counts over time in bounded space: in a longer run intervals are longer, no count is lost."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MOST_INTERVALS = 256


class Rates:
    """Counts by interval; when there are too many, intervals are added two by two.

    What comes out does not depend on how the stream was cut.

    Args:
        names: what is counted.
    """

    def __init__(self, *names: str) -> None:
        self.names = names
        self._shift = 0
        self._counts = np.zeros((MOST_INTERVALS, len(names)), dtype=np.int64)
        self._reached = 0

    @property
    def interval_seconds(self) -> int:
        """Length of an interval now."""
        return 1 << self._shift

    def add(self, seconds: npt.NDArray[np.int64], which: npt.NDArray[np.int64]) -> None:
        """Things that happened: the second of each, from 0, and the index of its name."""
        if len(seconds):
            self.reach(int(seconds.max()))
            np.add.at(self._counts, (seconds >> self._shift, which), 1)

    def reach(self, second: int) -> None:
        """Time has come to `second`."""
        self._reached = max(self._reached, second)
        while self._reached >> self._shift >= MOST_INTERVALS:
            pairs = self._counts.reshape(-1, 2, len(self.names)).sum(axis=1)
            self._counts = np.concatenate([pairs, np.zeros_like(pairs)])
            self._shift += 1

    def seconds(self) -> list[int]:
        """Where each interval up to now begins."""
        return [number << self._shift for number in range((self._reached >> self._shift) + 1)]

    def per_second(self, name: str) -> list[float]:
        """The rate in each interval up to now; the last may not be over."""
        counts = self._counts[: (self._reached >> self._shift) + 1, self.names.index(name)]
        rates: list[float] = (counts / self.interval_seconds).tolist()
        return rates
