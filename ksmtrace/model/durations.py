"""Durations counted in log-spaced buckets: as many as you like in bounded space, with quantiles and survival."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

PER_DOUBLING = 8
"""Buckets to a doubling: the middle of a bucket is within 5 % of every duration in it."""

_LEAST_EXPONENT, _END_EXPONENT = -20, 24
_COUNT = (_END_EXPONENT - _LEAST_EXPONENT) * PER_DOUBLING
_EDGES = np.exp2(np.arange(_COUNT + 1) / PER_DOUBLING + _LEAST_EXPONENT)


class Durations:
    """How many durations fell into each bucket; shorter than a microsecond counts as that, longer than half a year too.

    Attributes:
        counts: by bucket; dtype int64.
        sum_ns: of all durations.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(_COUNT, dtype=np.int64)
        self.sum_ns = 0

    def __len__(self) -> int:
        return int(self.counts.sum())

    def add(self, nanoseconds: npt.NDArray[np.int64]) -> None:
        """Count durations; one below 0, as clocks of two CPUs may give, counts as 0."""
        held = np.maximum(nanoseconds, 0)
        buckets = np.searchsorted(_EDGES, held / 1e9, side="left") - 1
        self.counts += np.bincount(np.clip(buckets, 0, _COUNT - 1), minlength=_COUNT)
        self.sum_ns += int(held.sum())

    def quantile(self, share: float) -> float | None:
        """Seconds within which `share` (0 to 1) of all durations lie, within 5 %; None if there are none."""
        total = len(self)
        if not total:
            return None
        return _middle(int(np.searchsorted(np.cumsum(self.counts), share * total)))

    def within(self, seconds: Sequence[float]) -> list[int]:
        """How many are not longer than each of `seconds`, which must be powers of two."""
        counted = np.append(0, np.cumsum(self.counts))
        return [int(counted[at]) for at in np.searchsorted(_EDGES, seconds).tolist()]


def survival(ended: Durations, unended: Durations) -> list[tuple[float, float]]:
    """(seconds, share that lasts longer) at the end of each bucket in which something ended; the share falls from 1.

    Kaplan and Meier's estimate on buckets: what has not ended says that it lasts at least so long, and within its bucket
    counts as half there.
    """
    left = len(ended) + len(unended)
    share, points = 1.0, []
    for bucket in np.flatnonzero(ended.counts + unended.counts).tolist():
        dies, leaves = int(ended.counts[bucket]), int(unended.counts[bucket])
        if dies:
            share *= 1 - dies / max(left - leaves / 2, dies)
            points.append((float(_EDGES[bucket + 1]), share))
        left -= dies + leaves
    return points


def half_life(ended: Durations, unended: Durations) -> tuple[float | None, float | None]:
    """Seconds that half of all last at least, and where that cannot be told yet a bound that it is above.

    (None, None) when there are no durations at all.
    """
    for seconds, share in survival(ended, unended):
        if share <= 0.5:
            return seconds, None
    longest = np.flatnonzero(ended.counts + unended.counts)
    return None, float(_EDGES[longest[-1]]) if len(longest) else None


def _middle(bucket: int) -> float:
    return float(np.sqrt(_EDGES[bucket] * _EDGES[bucket + 1]))
