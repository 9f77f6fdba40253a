"""How many contents there are among all frames, from the frames of a sample: an interval.

A pair is found in a sample with the square of its share, so what is found equal cannot be scaled
up. What can be asked is which populations would show what the sample shows: a linear program over
the number of contents of each size, whose least and greatest answers are the interval ("Estimating
Unseen Deduplication - from Theory to Practice", Harnik et al., FAST 2016, after Valiant and
Valiant, "Estimating the Unseen", 2011).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ksmtrace.estimate.linear_program import Rows

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

_SEEN_WELL = 64
"""A content that is found so often in a sample has the size that scaling up gives."""
_BINS = (1, 2, 3, 4, 5, 6, 8, 11, 16, 23, 32, 45, _SEEN_WELL)
"""Bounds of how often contents are found: each from one to below the next is one observation."""
_RATIO = 1.05
"""Of a size to the next that is tried, once they are no longer next to each other."""
_Z = 3.0
"""Standard deviations that each of the observations may be off: all of them together in less than 5
of 100 samples (Bonferroni: 14 observations, 2 * 14 * (1 - Phi(3.0)) = 0.038)."""


@dataclass(frozen=True, slots=True)
class Interval:
    """From `low` to `high`, in at least 95 of 100 samples."""

    low: float
    high: float


_SOLVERS = 1e-7
"""Relative error of a linear program's answer (primal_feasibility_tolerance of HiGHS)."""


def left_interval(
    found: Counts, share: float, population: Interval, left: Callable[[Floats], Floats]
) -> Interval:
    """How many frames are left of a population once equal ones have merged.

    Args:
        found: for each content in the sample, how many of its frames are in it; shape (k,).
        share: of the frames that are in the sample, above 0 and below 1.
        population: how many frames there are.
        left: gives for sizes (frames of one content) how many are left of each, element by element.
    """
    well = found[found >= _SEEN_WELL]
    few = found[found < _SEEN_WELL]
    of_well = float(left(well / share).sum())
    spread = _Z * np.sqrt(well.sum() * (1 - share)) / share
    rest = Interval(
        max(0.0, population.low - well.sum() / share - spread),
        max(0.0, population.high - well.sum() / share + spread),
    )
    sizes = _sizes(share, population.high)
    of_few = (0.0, 0.0)
    if rest.high > 0:
        of_few = _program(few, len(well), share, rest, sizes, left)
    low, high = (of_well + one for one in of_few)
    return Interval(low * (1 - _SOLVERS), high * (1 + _SOLVERS))


def _program(
    few: Counts,
    well: int,
    share: float,
    rest: Interval,
    sizes: Floats,
    left: Callable[[Floats], Floats],
) -> tuple[float, float]:
    """The least and the greatest count of what is left of contents that are found seldom or never.

    The unknowns are how many contents there are of each size.
    """
    chance = _chances(sizes, share)
    seen = [np.count_nonzero((few >= low) & (few < high)) for low, high in pairwise(_BINS)]
    means = [_means(count) for count in (*map(int, seen), well)]
    frames = sizes * (1 - _tails(sizes - 1, share)[_SEEN_WELL - 1])
    rows = Rows(
        np.array([*chance, frames]),
        np.array([*(low for low, _ in means), rest.low]),
        np.array([*(high for _, high in means), rest.high]),
    )
    cost = left(sizes) * (1 - chance[-1])
    least, most = rows.extreme(cost, least=True), rows.extreme(cost, least=False)
    return max(least or 0.0, float(len(few))), rest.high if most is None else most


def _means(count: float) -> tuple[float, float]:
    """The means of a Poisson variable of which `count` is at most `_Z` deviations off (Wilson)."""
    middle = count + _Z**2 / 2
    spread = _Z * np.sqrt(count + _Z**2 / 4)
    return max(0.0, middle - spread), middle + spread


def _sizes(share: float, population: float) -> Floats:
    """Sizes that are tried: up to where a content would surely be found well."""
    most = min(max(population, 1.0), 2.0 * _SEEN_WELL / share)
    found = [1.0]
    while found[-1] < most:
        found.append(max(found[-1] + 1, np.floor(found[-1] * _RATIO)))
    return np.array(found)


def _chances(sizes: Floats, share: float) -> Floats:
    """For each observation, with which chance a content of a size is in it; shape (bins, sizes)."""
    tails = _tails(sizes, share)
    return np.array([*(tails[low] - tails[high] for low, high in pairwise(_BINS)), tails[-1]])


def _tails(sizes: Floats, share: float) -> Floats:
    """With which chance 0, 1, ... frames or more of a content are in the sample (binomial).

    Shape (_SEEN_WELL + 1, sizes).
    """
    exactly = (1 - share) ** sizes
    tails = [np.ones_like(sizes)]
    for count in range(_SEEN_WELL):
        tails.append(np.maximum(tails[-1] - exactly, 0.0))
        exactly = exactly * np.maximum(sizes - count, 0.0) / (count + 1) * share / (1 - share)
    return np.array(tails)
