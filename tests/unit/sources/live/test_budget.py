"""The stream ends after samples above the limit in a row, and never for another reason."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.events import EventKind
from ksmtrace.events.probe_time import ProbeTime
from ksmtrace.sources.live.budget import (
    FIRST_SECONDS,
    SAMPLE_SECONDS,
    SAMPLES_IN_A_ROW,
    Budget,
)
from ksmtrace.sources.live.probe_watch import ProbeWatch

RATIOS = st.lists(st.none() | st.floats(0, 1, allow_nan=False), max_size=30)


@given(RATIOS, st.floats(0.001, 0.999))
def test_only_samples_above_the_limit_in_a_row_exceed_it(ratios, limit):
    """None is no sample; one at or below the limit begins the row anew; what is exceeded stays."""
    budget = Budget(limit)
    known, ended_by = [], None
    for ratio in ratios:
        budget.take(ratio)
        if ratio is not None and ended_by is None:
            known.append(ratio)
            row = known[-SAMPLES_IN_A_ROW:]
            if len(row) == SAMPLES_IN_A_ROW and min(row) > limit:
                ended_by = row
        assert budget.exceeded is (ended_by is not None)
    if ended_by is not None:
        assert budget.ratio == pytest.approx(np.mean(ended_by))
        assert budget.ratio > limit


@given(RATIOS)
def test_without_a_limit_nothing_exceeds_it(ratios):
    budget = Budget(None)
    for ratio in ratios:
        budget.take(ratio)
    assert not budget.exceeded


@given(st.lists(st.sampled_from([0.01, 0.9]), min_size=1, max_size=40))
def test_a_share_that_goes_up_and_down_does_not_end_and_begin_the_stream(ratios):
    """There is one end at most: the state changes once or never."""
    budget = Budget(0.05)
    states = []
    for ratio in ratios:
        budget.take(ratio)
        states.append(budget.exceeded)
    assert states == sorted(states)


class Timer:
    """Samples with given shares, and what was called when."""

    def __init__(self, ratios):
        self.ratios = iter(ratios)
        self.calls = []

    def begin(self):
        self.calls.append("begin")

    def end(self):
        self.calls.append("end")
        ratio = next(self.ratios)
        return ProbeTime(ksmd_ns=1_000_000, in_ksmd_ns=round(ratio * 1_000_000), ts=7)

    def close(self):
        self.calls.append("close")


def walk(watch, seconds, step=0.05):
    """(time, kind) of every record of a run that looks each `step` seconds."""
    found = []
    for count in range(int(seconds / step)):
        found += [(count * step, int(r["kind"])) for r in watch.look(count * step)]
        if watch.budget.exceeded:
            break
    return found


def test_samples_are_short_and_far_apart():
    timer = Timer([0.01] * 10)
    found = walk(ProbeWatch(timer, Budget(0.05), 0.0), 70)
    assert [kind for _, kind in found] == [EventKind.PROBE_TIME] * 3
    times = [at for at, _ in found]
    assert times[0] == pytest.approx(FIRST_SECONDS + SAMPLE_SECONDS, abs=0.2)
    assert np.diff(times) == pytest.approx(30 + SAMPLE_SECONDS, abs=0.3)
    assert timer.calls == ["begin", "end"] * 3


def test_a_share_above_the_limit_is_looked_at_again_soon():
    watch = ProbeWatch(Timer([0.5] * 10), Budget(0.05), 0.0)
    found = walk(watch, 70)
    assert len(found) == SAMPLES_IN_A_ROW
    assert watch.budget.exceeded
    assert found[-1][0] < 15


def test_a_run_that_ends_during_a_sample_ends_the_sample():
    timer = Timer([0.5])
    watch = ProbeWatch(timer, Budget(0.05), 0.0)
    watch.look(FIRST_SECONDS)
    assert len(watch.finish()) == 1
    assert timer.calls == ["begin", "end", "close"]
    timer = Timer([])
    assert len(ProbeWatch(timer, Budget(0.05), 0.0).finish()) == 0
    assert timer.calls == ["close"]
