"""Durations in buckets, against the durations themselves."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.model.log_histogram import GEOMETRIC, LINEAR, LogHistogram, half_life, survival

SECOND = 1_000_000_000
some_ns = st.lists(st.integers(1_000, 10**16), min_size=1, max_size=60)


def durations(*nanoseconds):
    made = LogHistogram(GEOMETRIC)
    made.add(np.array(nanoseconds, dtype=np.int64))
    return made


@given(some_ns, st.sampled_from((0.1, 0.5, 0.9, 1.0)))
def test_a_quantile_is_within_5_percent_of_one_of_the_durations(values, share):
    exact = np.quantile(values, share, method="inverted_cdf") / 1e9
    assert durations(*values).quantile(share) == pytest.approx(exact, rel=0.05)


@given(some_ns)
def test_counts_up_to_powers_of_two_are_exact(values):
    bounds = [2.0**exponent for exponent in range(-19, 24, 3)]
    counted = durations(*values).within(bounds)
    assert counted == [sum(value / 1e9 <= bound for value in values) for bound in bounds]
    assert durations(*values).sum_ns == sum(values)


def test_what_is_out_of_range_goes_to_the_ends():
    made = durations(-5, 0, 1, 2**62)
    assert len(made) == 4
    assert made.counts[0] == 3
    assert made.counts[-1] == 1
    assert made.sum_ns == 2**62 + 1


def test_nothing_has_no_quantile_and_no_half_life():
    assert LogHistogram(GEOMETRIC).quantile(0.5) is None
    assert survival(LogHistogram(GEOMETRIC), LogHistogram(GEOMETRIC)) == []
    assert half_life(LogHistogram(GEOMETRIC), LogHistogram(GEOMETRIC)) == (None, None)


def test_without_censoring_survival_is_the_share_left():
    points = survival(durations(*(2**n * SECOND for n in range(4))), LogHistogram(GEOMETRIC))
    assert [share for _, share in points] == pytest.approx([0.75, 0.5, 0.25, 0])
    assert [at for at, _ in points] == [1, 2, 4, 8]
    assert half_life(durations(SECOND, 2 * SECOND), LogHistogram(GEOMETRIC)) == (1, None)


def test_kaplan_and_meier_by_hand():
    """Ends at 1, 4 and 16 s, censored at 2 and 8 s: 4/5, then 2/3 of it, then all."""
    points = survival(durations(SECOND, 4 * SECOND, 16 * SECOND), durations(2 * SECOND, 8 * SECOND))
    assert [share for _, share in points] == pytest.approx([4 / 5, 4 / 5 * 2 / 3, 0])


def test_a_half_life_that_is_not_reached_has_a_bound():
    half, above = half_life(durations(SECOND), durations(*[64 * SECOND] * 5))
    assert half is None
    assert above == pytest.approx(64, rel=0.1)


@given(some_ns, some_ns)
def test_survival_falls_from_1_and_never_below_0(ended, unended):
    shares = [1.0, *(share for _, share in survival(durations(*ended), durations(*unended)))]
    assert all(0 <= after <= before for before, after in pairwise(shares))


def test_a_duration_on_a_bound_is_in_the_bucket_that_its_scale_says():
    """1024 ns and 2 s are bounds: of the linear scale's next bucket, and of the geometric's own."""
    linear = LogHistogram(LINEAR)
    linear.add(np.array([1023, 1024], dtype=np.uint64))
    assert linear.filled() == [(1024e-9, 1), (1152e-9, 1)]
    assert linear.within([1024e-9]) == [1]
    assert durations(2 * SECOND).filled() == [(2.0, 1)]


def test_a_sum_is_exact_beyond_64_bits():
    made = LogHistogram(LINEAR)
    for _ in range(2):
        made.add(np.array([2**64 - 1, 2**33 + 5], dtype=np.uint64))
    assert made.sum_ns == 2 * (2**64 + 2**33 + 4)


@pytest.mark.parametrize(("at_risk", "share"), [(1, 1 - 1 / 3), (0.5, 1 - 1 / 2), (0, 0)])
def test_what_is_unended_in_a_bucket_counts_in_part(at_risk, share):
    """One of three ends in the bucket in which the other two are last seen."""
    ended, unended = durations(SECOND), durations(SECOND, SECOND)
    assert survival(ended, unended, at_risk=at_risk) == [(1.0, pytest.approx(share))]
