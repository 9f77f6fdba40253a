"""PROBE_TIME and STREAM_END records hold what was measured."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.events import EventBatch
from ksmtrace.events.probe_time import ProbeTime, StreamEnd, probe_times, stream_end

NS = st.integers(0, 2**63)
COUNT = st.integers(0, 2**32 - 1)
TIMES = st.builds(
    ProbeTime,
    sample_ns=NS,
    ksmd_ns=NS,
    in_ksmd_ns=NS,
    elsewhere_ns=NS,
    runs_in_ksmd=COUNT,
    runs_elsewhere=COUNT,
    ts=NS,
    err=st.integers(-4095, 0),
)


@given(st.lists(TIMES, max_size=4))
def test_samples_are_read_as_they_were_written(samples):
    records = [sample.to_records() for sample in samples]
    batch = EventBatch(np.concatenate(records or [StreamEnd(0.1, 0.05).to_records()]))
    assert probe_times(batch) == samples
    for sample in samples:
        known = not sample.err and sample.ksmd_ns
        assert sample.ratio == (min(1, sample.in_ksmd_ns / sample.ksmd_ns) if known else None)


@given(st.floats(0, 1), st.floats(0, 1), st.booleans(), NS)
def test_the_end_is_read_as_it_was_written(ratio, limit, counted, ts):
    found = stream_end(EventBatch(StreamEnd(ratio, limit, counted, ts).to_records()))
    assert (found.counted, found.ts) == (counted, ts)
    assert found.ratio == pytest.approx(ratio, abs=1e-6)
    assert found.limit == pytest.approx(limit, abs=1e-6)


def test_there_is_none_in_other_events():
    assert stream_end(EventBatch(ProbeTime().to_records())) is None


def test_the_end_in_words():
    end = StreamEnd(0.0725, 0.05)
    assert end.text == "the probes took 7.25% of ksmd's CPU time, 5% are allowed"
