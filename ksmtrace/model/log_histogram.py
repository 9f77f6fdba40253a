"""Counts durations in logarithmic buckets: quantiles, survival and half-life of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

PER_OCTAVE = 8
"""Buckets between a duration and twice that duration, on either scale."""

Durations = npt.NDArray[np.int64] | npt.NDArray[np.uint64]
"""Nanoseconds, shape (n,)."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The buckets of a histogram: bucket i lies between `edges[i]` and `edges[i + 1]`.

    Attributes:
        edges: seconds, ascending; shape (buckets + 1,).
        closed: the end that belongs to a bucket: "right", as in Prometheus, or "left".
    """

    edges: npt.NDArray[np.float64]
    closed: Literal["left", "right"]

    def place(self, nanoseconds: Durations) -> npt.NDArray[np.intp]:
        """The bucket of each duration; the first and the last take what is beyond them."""
        side: Literal["left", "right"] = "left" if self.closed == "right" else "right"
        found = np.searchsorted(self.edges, nanoseconds / 1e9, side=side) - 1
        return np.clip(found, 0, len(self.edges) - 2)


def _linear_edges() -> npt.NDArray[np.float64]:
    octave, part = np.divmod(np.arange(65 * PER_OCTAVE), PER_OCTAVE)
    bounds = np.exp2(octave) * (0.5 + (part + 1) / (2 * PER_OCTAVE))
    return np.append(0.0, bounds / 1e9)


LINEAR = Scale(_linear_edges(), "left")
"""Powers of two of a nanosecond, each octave in equal parts: no bound is more than an eighth above
what is in its bucket. From 0 to 2**64 ns."""

GEOMETRIC = Scale(np.exp2(np.arange(-20 * PER_OCTAVE, 24 * PER_OCTAVE + 1) / PER_OCTAVE), "right")
"""Powers of two of a second, each octave in parts of equal ratio: the middle of a bucket is within
5% of what is in it. From a microsecond to half a year."""


class LogHistogram:
    """How many durations fell into each bucket of a scale.

    Attributes:
        counts: by bucket; shape (buckets,), dtype int64.
        sum_ns: of all durations.
    """

    def __init__(self, scale: Scale) -> None:
        self.scale = scale
        self.counts = np.zeros(len(scale.edges) - 1, dtype=np.int64)
        self.sum_ns = 0

    def __len__(self) -> int:
        return int(self.counts.sum())

    def add(self, nanoseconds: Durations) -> None:
        """Count durations; one below 0, as clocks of two CPUs may give, counts as 0."""
        if not len(nanoseconds):
            return
        held = np.maximum(nanoseconds, 0)
        self.counts += np.bincount(self.scale.place(held), minlength=len(self.counts))
        high, low = held.astype(np.uint64) >> np.uint64(32), held.astype(np.uint32)
        self.sum_ns += (int(high.sum()) << 32) + int(low.sum(dtype=np.uint64))

    def merge(self, other: LogHistogram) -> None:
        """Count the durations of another histogram of the same scale too."""
        self.counts += other.counts
        self.sum_ns += other.sum_ns

    def quantile(self, share: float) -> float | None:
        """Seconds, the middle of the bucket in which `share` (0 to 1) is reached; None if empty."""
        bucket = self._reaching(share)
        if bucket is None:
            return None
        return float(np.sqrt(self.scale.edges[bucket] * self.scale.edges[bucket + 1]))

    def quantile_bound(self, share: float) -> float | None:
        """Seconds, the upper bound of that bucket."""
        bucket = self._reaching(share)
        return None if bucket is None else float(self.scale.edges[bucket + 1])

    def lower_bound_of(self, rank: int) -> float:
        """Seconds, the lower bound of the bucket that holds the duration of this rank, from 1."""
        return float(self.scale.edges[int(np.searchsorted(np.cumsum(self.counts), rank))])

    def upper_bound_of(self, rank: int) -> float:
        """Seconds, its upper bound."""
        return float(self.scale.edges[int(np.searchsorted(np.cumsum(self.counts), rank)) + 1])

    def _reaching(self, share: float) -> int | None:
        seen = np.cumsum(self.counts)
        return int(np.searchsorted(seen, share * seen[-1])) if seen[-1] else None

    def within(self, seconds: Sequence[float]) -> list[int]:
        """How many are in the buckets up to each of `seconds`, which must be edges of the scale."""
        counted = np.append(0, np.cumsum(self.counts))
        return [int(counted[at]) for at in np.searchsorted(self.scale.edges, seconds).tolist()]

    def filled(self) -> list[tuple[float, int]]:
        """(upper bound in seconds, count) of each bucket that is not empty."""
        return [
            (float(self.scale.edges[bucket + 1]), int(self.counts[bucket]))
            for bucket in np.flatnonzero(self.counts)
        ]


def survival(
    ended: LogHistogram, unended: LogHistogram, *, at_risk: float = 0.5
) -> list[tuple[float, float]]:
    """(seconds, share that lasts longer) at the end of each bucket in which something ended.

    Kaplan and Meier's estimate on buckets; the share falls from 1. What has not ended is known to
    last at least so long.

    Args:
        ended: durations whose end was seen.
        unended: durations so far of what was followed no longer; of the same scale.
        at_risk: part of the unended of a bucket that might still have ended in it: half of them, as
            in a life table, or with 1 all.
    """
    left = len(ended) + len(unended)
    share, points = 1.0, []
    for bucket in np.flatnonzero(ended.counts + unended.counts).tolist():
        dies, leaves = int(ended.counts[bucket]), int(unended.counts[bucket])
        if dies:
            share *= 1 - dies / max(left - leaves * (1 - at_risk), dies)
            points.append((float(ended.scale.edges[bucket + 1]), share))
        left -= dies + leaves
    return points


def half_life(
    ended: LogHistogram, unended: LogHistogram, *, at_risk: float = 0.5
) -> tuple[float | None, float | None]:
    """Seconds that half of all last at least, and where that is not known a bound it is above.

    (None, None) when there are no durations at all. Arguments are those of `survival`.
    """
    for seconds, share in survival(ended, unended, at_risk=at_risk):
        if share <= 0.5:
            return seconds, None
    longest = np.flatnonzero(ended.counts + unended.counts)
    return None, float(ended.scale.edges[longest[-1]]) if len(longest) else None
