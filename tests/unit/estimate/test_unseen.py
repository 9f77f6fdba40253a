"""Intervals of what is left of a population, by samples of it whose truth is known."""

import numpy as np
import pytest

from ksmtrace.estimate.unseen import Interval, left_interval

RNG = np.random.default_rng(16)
SAMPLES = 12


def zipf(count, most):
    sizes = np.minimum(RNG.zipf(1.8, count), most)
    return sizes[np.cumsum(sizes) < count]


POPULATIONS = {
    "unique": np.ones(300_000, dtype=np.int64),
    "pairs": np.concatenate([np.ones(100_000, int), np.full(100_000, 2)]),
    "mixed": np.concatenate(
        [np.ones(120_000, int), np.full(40_000, 2), np.full(9_000, 5), np.full(600, 50), [30_000]]
    ),
    "zipf": zipf(300_000, 50_000),
    "near the bound": np.full(100, 1280),
    "equal": np.array([200_000]),
}
"""Frames of each content."""


def distinct(sizes):
    return np.ones_like(sizes)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("name", POPULATIONS)
def test_the_interval_holds_the_truth(name, share):
    sizes = POPULATIONS[name]
    frames = float(sizes.sum())
    missed, widths = 0, []
    for seed in range(SAMPLES):
        found = np.random.default_rng(seed).binomial(sizes, share)
        interval = left_interval(found[found > 0], share, Interval(frames, frames), distinct)
        missed += not interval.low <= len(sizes) <= interval.high
        widths.append((interval.high - interval.low) / frames)
        assert 0 <= interval.low <= interval.high <= frames * (1 + 1e-6)
    assert missed <= 1
    assert max(widths) < (0.75 if share < 0.05 else 0.45 if share < 0.2 else 0.1)


def test_plain_scaling_misses_it():
    """What the interval is for: of pairs, a sample of a twentieth finds one in twenty together."""
    sizes = POPULATIONS["pairs"]
    found = np.random.default_rng(1).binomial(sizes, 0.05)
    scaled = (found.sum() - np.count_nonzero(found)) / 0.05
    saved = sizes.sum() - len(sizes)
    assert scaled < 0.1 * saved
    interval = left_interval(found[found > 0], 0.05, Interval(3e5, 3e5), distinct)
    assert 3e5 - interval.high <= saved <= 3e5 - interval.low


def test_an_empty_sample_says_little():
    interval = left_interval(np.zeros(0, dtype=np.int64), 0.5, Interval(0, 40), distinct)
    assert interval.low == 0
    assert interval.high <= 40
    nothing = left_interval(np.zeros(0, dtype=np.int64), 0.5, Interval(0, 0), distinct)
    assert nothing == Interval(0, 0)


def test_chains_leave_more():
    """With at most four mappings a page, a content of forty frames leaves ten."""
    sizes = np.full(2_000, 40)
    found = np.random.default_rng(3).binomial(sizes, 0.2)
    interval = left_interval(
        found[found > 0], 0.2, Interval(8e4, 8e4), lambda many: np.ceil(many / 4)
    )
    assert interval.low <= 20_000 <= interval.high
    assert interval.high - interval.low < 8_000
