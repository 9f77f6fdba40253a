"""A replay yields what was recorded, in order, no earlier than its pace allows, and ends when
asked."""

import os
import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ksmtrace.capture.writer import CaptureWriter
from ksmtrace.errors import KsmtraceError
from ksmtrace.events import empty_records
from ksmtrace.sources.capture import CaptureSource
from support import streams


class Time:
    """A clock that only sleeping advances."""

    def __init__(self):
        self.now = 1000.0

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def record(path, times, batch_events=7):
    """A capture of events at `times`, in nanoseconds."""
    events = empty_records(len(times))
    events["ts"] = times
    events["mm"] = np.arange(len(times))
    with CaptureWriter(path, streams.session(), batch_events=batch_events) as writer:
        writer.write(events)
    return events


def played(path, speed):
    """[(seconds since the start, events)] of each batch of a replay."""
    time = Time()
    source = CaptureSource(path, speed=speed, clock=time.clock, sleep=time.sleep)
    result = [(time.now - 1000.0, batch.events) for batch in source.batches()]
    source.close()
    return result


def test_the_session_is_that_of_the_recorded_run(tmp_path):
    record(tmp_path / "a", [1])
    source = CaptureSource(tmp_path / "a", speed=None)
    assert source.session == streams.session(source="capture")
    source.close()
    source.close()


def test_without_a_pace_nothing_waits(tmp_path):
    events = record(tmp_path / "a", [1, 10**18])
    ((seconds, batch),) = played(tmp_path / "a", None)
    assert seconds == 0
    assert batch.tobytes() == events.tobytes()


@given(
    times=st.lists(st.one_of(st.just(0), st.integers(10**15, 10**15 + 2 * 10**9)), max_size=40),
    speed=st.sampled_from([0.5, 1.0, 3.0, 1e300]),
)
@settings(deadline=None)
def test_a_paced_replay_keeps_order_and_time(times, speed):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a")
        events = record(path, times)
        batches = played(path, speed)
    assert np.concatenate([empty_records(), *(b for _, b in batches)]).tobytes() == events.tobytes()
    origin = next((time for time in times if time), 0)
    for seconds, batch in batches:
        late = batch["ts"][batch["ts"] > 0].astype(float) - origin
        assert np.all(late <= seconds * speed * 1e9 + 1)
    starts = [seconds for seconds, _ in batches]
    assert np.all(np.diff(starts) <= 0.1)
    longest = (max(times) - origin) / 1e9 / speed if origin else 0
    assert not starts or starts[-1] <= longest + 0.1


def test_a_pace_of_one_takes_as_long_as_the_recording_did(tmp_path):
    record(tmp_path / "a", [5 * 10**9, 6 * 10**9, 9 * 10**9])
    when = [round(seconds, 1) for seconds, batch in played(tmp_path / "a", 1.0) if len(batch)]
    assert when == [0.0, 1.0, 4.0]
    when = [round(seconds, 1) for seconds, batch in played(tmp_path / "a", 2.0) if len(batch)]
    assert when == [0.0, 0.5, 2.0]


def test_events_that_are_due_together_come_together(tmp_path):
    record(tmp_path / "a", range(10**9, 2 * 10**9, 10**6), batch_events=1000)
    batches = played(tmp_path / "a", 1.0)
    assert 10 <= len(batches) <= 30


@pytest.mark.parametrize("speed", [None, 1.0])
def test_a_stopped_replay_ends(tmp_path, speed):
    record(tmp_path / "a", [1, 1, 1, 10**18], batch_events=2)
    time = Time()
    source = CaptureSource(tmp_path / "a", speed=speed, clock=time.clock, sleep=time.sleep)
    batches = source.batches()
    assert next(batches).events["ts"].tolist() == [1, 1]
    source.stop()
    assert list(batches) == []
    source.close()


def test_a_replay_that_waits_can_be_stopped_from_a_signal_handler(tmp_path):
    record(tmp_path / "a", [1, 10**18])
    time = Time()

    def sleep(seconds):
        time.sleep(seconds)
        source.stop()

    source = CaptureSource(tmp_path / "a", speed=1.0, clock=time.clock, sleep=sleep)
    assert [batch.events["ts"].tolist() for batch in source.batches()] == [[1]]
    source.close()


def test_what_is_missing_is_said(tmp_path):
    record(tmp_path / "a", [1, 2, 3])
    os.truncate(tmp_path / "a", os.path.getsize(tmp_path / "a") - 100)
    source = CaptureSource(tmp_path / "a", speed=None)
    assert source.warnings == []
    list(source.batches())
    assert len(source.warnings) == 1
    assert "3 whole events" in source.warnings[0]
    source.close()


def test_a_file_that_is_no_capture_is_refused(tmp_path):
    with pytest.raises(KsmtraceError, match="no such file"):
        CaptureSource(tmp_path / "none", speed=None)


@pytest.mark.parametrize("speed", [None, 1e300])
def test_a_replay_is_ended_amid_a_batch_of_very_many_events(tmp_path, speed):
    """The file's batches are as large as whoever wrote it likes."""
    events = record(tmp_path / "a", np.arange(1, 100_001), batch_events=100_000)
    time = Time()
    source = CaptureSource(tmp_path / "a", speed=speed, clock=time.clock, sleep=time.sleep)
    first = next(batches := source.batches())
    while not len(first):
        first = next(batches)
    source.stop()
    assert list(batches) == []
    assert len(first) < len(events) / 4
    assert first.events.tobytes() == events[: len(first)].tobytes()
    source.close()
