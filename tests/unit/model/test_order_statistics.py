"""Confidence intervals of quantiles: against the binomial summed in whole numbers, and by trial."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest

from ksmtrace.model.order_statistics import quantile_ranks


def held(count, share, low, high):
    """The chance that the quantile lies between the values of these ranks, in whole numbers."""
    p = Fraction(str(share))
    chances = [comb(count, k) * p**k * (1 - p) ** (count - k) for k in range(count + 1)]
    first = 0 if low is None else low
    last = count if high is None else high - 1
    return sum(chances[first : last + 1])


@pytest.mark.parametrize("share", [0.5, 0.99])
@pytest.mark.parametrize("count", [1, 5, 6, 20, 100, 299, 300, 380])
def test_the_interval_holds_at_least_as_often_as_said(count, share):
    low, high = quantile_ranks(count, share)
    assert held(count, share, low, high) >= Fraction(95, 100)
    if low is not None and high is not None:
        # and is no wider than it must be
        assert held(count, share, low + 1, high) < Fraction(975, 1000)
        assert held(count, share, low, high - 1) < Fraction(975, 1000)


def test_too_few_values_bound_nothing():
    assert quantile_ranks(5, 0.5) == (None, None)
    assert quantile_ranks(100, 0.99)[1] is None


def test_it_holds_for_many_values_too():
    random = np.random.default_rng(4)
    for share in (0.5, 0.99):
        low, high = quantile_ranks(20_000, share)
        inside = 0
        for _ in range(400):
            drawn = np.sort(random.random(20_000))
            inside += drawn[low - 1] <= share <= drawn[high - 1]
        assert inside >= 400 * 0.95 - 3 * (400 * 0.95 * 0.05) ** 0.5
