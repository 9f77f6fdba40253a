"""Durations in buckets that grow with them: bounded space, the same relative error everywhere."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

PER_OCTAVE = 8
"""Buckets between one power of 2 and the next: a bucket's bound is at most an eighth above what is in it."""

_OCTAVES = 65
_BUCKETS = _OCTAVES * PER_OCTAVE

BOUNDS: npt.NDArray[np.float64] = np.exp2(np.arange(_BUCKETS) // PER_OCTAVE) * (
    0.5 + (np.arange(_BUCKETS) % PER_OCTAVE + 1) / (2 * PER_OCTAVE)
)
"""Upper bound of each bucket; shape (buckets,)."""


class LogHistogram:
    """Counts of whole numbers from 0 to 2**64 - 1.

    Attributes:
        counts: by bucket, shape (buckets,), dtype int64; bucket i holds values below BOUNDS[i].
        total: sum of all values.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(_BUCKETS, dtype=np.int64)
        self.total = 0

    def __len__(self) -> int:
        return int(self.counts.sum())

    def add(self, values: npt.NDArray[np.uint64]) -> None:
        """Count these."""
        fraction, octave = np.frexp(values.astype(np.float64))
        within = ((fraction - 0.5) * 2 * PER_OCTAVE).astype(np.int64)
        place = np.where(values > 0, octave * PER_OCTAVE + within, 0)
        self.counts += np.bincount(np.minimum(place, _BUCKETS - 1), minlength=_BUCKETS)
        self.total += sum(values.tolist())

    def quantile(self, share: float) -> float | None:
        """A bound below which `share` of the values lie, at most an eighth above the smallest such; None without values."""
        seen = np.cumsum(self.counts)
        if not seen[-1]:
            return None
        return float(BOUNDS[np.searchsorted(seen, share * seen[-1])])


def half_life(broken: LogHistogram, others: LogHistogram) -> float | None:
    """The time by which half are broken, as Kaplan and Meier estimate it; None while fewer are.

    Args:
        broken: ages at which some broke.
        others: ages to which the others were followed without that.
    """
    followed = broken.counts + others.counts
    at_risk = np.cumsum(followed[::-1])[::-1]
    surviving = np.cumprod(1 - broken.counts / np.maximum(at_risk, 1))
    reached = np.flatnonzero(surviving <= 0.5)
    return float(BOUNDS[reached[0]]) if len(reached) else None
