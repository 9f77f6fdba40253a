"""Confidence of a quantile by order statistics: no matter how the values are distributed."""

from __future__ import annotations

from math import exp, lgamma, log, sqrt

CONFIDENCE = 0.95

_EXACT_BELOW = 100.0
"""Variance of the binomial from which on the normal distribution stands for it."""

_NORMAL_975 = 1.959964


def quantile_ranks(count: int, share: float) -> tuple[int | None, int | None]:
    """Ranks, from 1, between which the quantile lies with at least `CONFIDENCE`.

    How many of `count` independent values lie below the quantile is binomial. None for an end that
    no value bounds: there are too few.

    Args:
        count: of values.
        share: the quantile, above 0 and below 1.
    """
    variance = count * share * (1 - share)
    if variance >= _EXACT_BELOW:
        middle, reach = count * share, _NORMAL_975 * sqrt(variance)
        low, high = int(middle - reach), int(middle + reach) + 2
    else:
        low, high = _exact(count, share)
    return (low if low >= 1 else None), (high if high <= count else None)


def _exact(count: int, share: float) -> tuple[int, int]:
    """The largest `low` with P(B < low) <= 2.5%, the least `high` with P(B >= high) <= 2.5%."""
    tail = (1 - CONFIDENCE) / 2
    low, below = 0, 0.0
    while low < count and below + _chance(count, share, low) <= tail:
        below += _chance(count, share, low)
        low += 1
    high, above = count + 1, 0.0
    while high > 0 and above + _chance(count, share, high - 1) <= tail:
        above += _chance(count, share, high - 1)
        high -= 1
    return low, high


def _chance(count: int, share: float, successes: int) -> float:
    ways = lgamma(count + 1) - lgamma(successes + 1) - lgamma(count - successes + 1)
    return exp(ways + successes * log(share) + (count - successes) * log(1 - share))
