"""A recording that keeps its last segments is a capture that begins in the middle."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.capture.bounds import Bounds, later_segments
from ksmtrace.capture.reader import open_capture
from ksmtrace.capture.writer import CaptureWriter
from ksmtrace.errors import KsmtraceError
from ksmtrace.events import EventKind, Flag, Gauge
from ksmtrace.events.record import Records
from ksmtrace.events.totals import Outcome, total_records
from ksmtrace.events.tunable import TunableWrite, tunable_records, tunable_writes
from ksmtrace.pipeline.state import RunState
from support import streams

CAPTURE = Path(__file__).parents[2] / "replay/data/debian-6.1.ksmtrace"
KEPT = Bounds(keep=2)
ANEW = (EventKind.PROCESS, EventKind.PROCESS_TEXT, EventKind.PROCESS_SAMPLE)


def bundled():
    """(session, events) of the bundled capture."""
    with open_capture(CAPTURE) as capture:
        return capture.session, np.concatenate([batch.events for batch in capture.batches()])


def read(path):
    """(session, events, warnings) of the capture at `path`."""
    with open_capture(path) as capture:
        parts = [batch.events for batch in capture.batches()]
        return capture.session, np.concatenate([streams.events().events, *parts]), capture.warnings


def state_after(session, events):
    """What a run comes to."""
    state = RunState(session)
    for part in state.reconstruction.cut(streams.EventBatch(events)):
        state.apply(part)
    return state


def is_end_of(events: Records, whole: Records) -> bool:
    """Whether `events` are the last ones of `whole`, and some are missing."""
    return 0 < len(events) < len(whole) and events.tobytes() == whole[-len(events) :].tobytes()


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """(path, session, events) of the bundled capture, recorded with few segments kept."""
    path = tmp_path_factory.mktemp("kept") / "a"
    session, events = bundled()
    with CaptureWriter(
        path, session, bounds=Bounds(keep=4), segment_bytes=200_000, batch_events=5000
    ) as writer:
        writer.write(events)
    return path, session, events


def test_only_the_last_segments_stay(kept):
    path, _, _ = kept
    names = sorted(os.listdir(path.parent))
    numbers = [int(name.rpartition(".")[2]) for name in names]
    assert numbers == list(range(numbers[0], numbers[0] + 4))
    assert numbers[0] > 0
    assert all(os.path.getsize(path.parent / name) <= 200_000 for name in names)


def test_what_is_kept_begins_with_a_reading_of_the_counters(kept):
    path, _, events = kept
    _, left, warnings = read(path)
    first = int(np.flatnonzero(left["kind"] == EventKind.SAMPLE)[0])
    assert is_end_of(left[first:], events)
    assert set(left["kind"][:first].tolist()) <= {*ANEW, EventKind.TUNABLE}
    assert [line for line in warnings if "is segment" not in line] == []


def test_processes_keep_their_names(kept):
    path, _, events = kept
    _, left, _ = read(path)
    at = {int(one["mm"]): one for one in events[events["kind"] == EventKind.PROCESS]}
    alive = set(left["mm"][left["kind"] == EventKind.CMP_AND_MERGE_PAGE].tolist())
    names = {int(one["mm"]): one for one in left[left["kind"] == EventKind.PROCESS]}
    assert alive
    for mm in alive:
        assert names[mm]["aux"] == at[mm]["aux"]


def test_counts_are_held_against_the_counters_from_there_on(kept):
    path, _, _ = kept
    session, left, _ = read(path)
    state = state_after(session, left)
    differences = state.self_check.to_json()
    assert differences
    known = [one["difference"] for one in differences.values() if one["difference"] is not None]
    assert known
    assert set(known) == {0}


def test_nothing_is_said_of_pages_merged_before(kept):
    session, _, _ = read(kept[0])
    assert not session.sees(EventKind.SNAPSHOT)


def test_a_dump_outlives_what_is_recorded_later(tmp_path):
    session, events = bundled()
    half = 100_000
    with CaptureWriter(
        tmp_path / "a", session, bounds=KEPT, segment_bytes=250_000, batch_events=5000
    ) as writer:
        writer.write(events[:half])
        dumps = [writer.dump()]
        assert read(dumps[0])[1].tobytes() == read(tmp_path / "a")[1].tobytes()
        at_dump = read(dumps[0])
        writer.write(events[half:])
        dumps.append(writer.dump())
    assert [os.path.basename(dump) for dump in dumps] == ["a.dump1", "a.dump2"]
    assert read(dumps[0])[1].tobytes() == at_dump[1].tobytes()
    assert len(later_segments(dumps[0])) == len(later_segments(dumps[1])) == 2
    for dump in dumps:
        assert [line for line in read(dump)[2] if "is segment" not in line] == []
    first = int(np.flatnonzero(at_dump[1]["kind"] == EventKind.SAMPLE)[0])
    assert is_end_of(at_dump[1][first:], events[:half])


def test_a_dump_of_the_first_segment_is_the_whole_recording(tmp_path):
    events = streams.events(*streams.sample(pages_shared=1), {"kind": EventKind.SCAN_START}).events
    with CaptureWriter(tmp_path / "a", streams.session(), bounds=KEPT) as writer:
        writer.write(events)
        assert read(writer.dump())[1].tobytes() == events.tobytes()


def test_a_dump_without_links_is_a_copy(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    session, events = bundled()
    with CaptureWriter(
        tmp_path / "a", session, bounds=KEPT, segment_bytes=250_000, batch_events=5000
    ) as writer:
        writer.write(events)
        dump = writer.dump()
        assert read(dump)[1].tobytes() == read(tmp_path / "a")[1].tobytes()


def test_a_dump_that_fails_leaves_nothing_and_the_recording_goes_on(tmp_path, monkeypatch):
    events = streams.events(*streams.sample(pages_shared=1)).events
    with CaptureWriter(
        tmp_path / "a", streams.session(), bounds=KEPT, segment_bytes=0, batch_events=1
    ) as writer:
        writer.write(events)
        writer.write(events)
        before = sorted(os.listdir(tmp_path))
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", lambda *_: os.stat("/nonexistent"))
            with pytest.raises(KsmtraceError, match="dump1: cannot be"):
                writer.dump()
        assert sorted(os.listdir(tmp_path)) == before
        writer.write(events)
    assert len(later_segments(str(tmp_path / "a"))) == 2


def test_a_bound_without_segments_kept_ends_the_recording(tmp_path):
    session, events = bundled()
    most = 100_000
    bounds = Bounds()
    object.__setattr__(bounds, "most_bytes", most)  # smaller than anybody may ask for
    with CaptureWriter(
        tmp_path / "a", session, bounds=bounds, segment_bytes=60_000, batch_events=5000
    ) as writer:
        writer.write(events)
        assert writer.full
    assert sum(entry.stat().st_size for entry in tmp_path.iterdir()) <= most
    _, left, warnings = read(tmp_path / "a")
    assert 0 < len(left) < len(events)
    assert left.tobytes() == events[: len(left)].tobytes()
    assert warnings == []


@pytest.mark.parametrize(
    ("most", "keep", "words"),
    [
        (1000, None, "give 1M or more"),
        (4 << 20, 5, "give 5M or more"),
        (None, 1, "2 to 9999"),
        (None, 10_000, "2 to 9999"),
    ],
)
def test_bounds_that_cannot_be_kept_are_refused(most, keep, words):
    with pytest.raises(KsmtraceError, match=words):
        Bounds(most, keep)


PROCESS_ROWS = st.builds(
    lambda kind, mm, part, aux: {"kind": kind, "mm": mm, "address": part, "aux": aux},
    st.sampled_from([EventKind.PROCESS_SAMPLE, EventKind.MM_ENTER, EventKind.MM_EXIT]),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(0, 9),
)
STEPS = st.lists(
    st.one_of(
        PROCESS_ROWS.map(lambda row: streams.events(row).events),
        st.builds(
            lambda name, number: tunable_records(TunableWrite(name, str(number))),
            st.sampled_from(["run", "pages_to_scan"]),
            st.integers(0, 99),
        ),
        st.integers(0, 2**40).map(
            lambda value: streams.events(*streams.sample(pages_shared=value, full_scans=1)).events
        ),
        st.lists(st.integers(1, 3), min_size=1, max_size=3).map(
            lambda mms: (
                streams.events(*({"kind": EventKind.BREAK_COW, "mm": mm} for mm in mms)).events
            )
        ),
    ),
    min_size=1,
    max_size=40,
)


@given(STEPS, st.integers(1, 7), st.integers(2, 4))
def test_whatever_is_cut_the_rest_is_as_it_was(tmp_path_factory, steps, batch_events, keep):
    path = tmp_path_factory.mktemp("kept") / "a"
    events = np.concatenate(steps)
    events["ts"] = np.arange(1, len(events) + 1)
    with CaptureWriter(
        path,
        streams.session(),
        bounds=Bounds(keep=keep),
        segment_bytes=0,
        batch_events=batch_events,
    ) as writer:
        writer.write(events)
    session, left, _ = read(path)
    segments = -(-len(events) // batch_events)
    removed = max(segments - keep, 0) * batch_events
    if not removed:
        assert left.tobytes() == events.tobytes()
        return
    assert session.tunables == streams.session().tunables | {
        write.name: write.text for write in tunable_writes(events[:removed])
    }
    rest = events[removed:]
    starts = [
        index
        for index in range(len(rest))
        if rest["kind"][index] == EventKind.SAMPLE and rest["address"][index] == Gauge.PAGES_SHARED
    ]
    told = left[left["kind"] != EventKind.PROCESS_SAMPLE]
    if not starts:
        assert not (told["kind"] == EventKind.BREAK_COW).any()
    else:
        whole = rest[starts[0] :]
        assert left[len(left) - len(whole) :].tobytes() == whole.tobytes()
    # the last count of each process that is there is known, however long ago it was read
    known: dict[tuple[int, int], int] = {}
    for one in events:
        mm, part = int(one["mm"]), int(one["address"])
        if one["kind"] in (EventKind.MM_ENTER, EventKind.MM_EXIT):
            known = {key: value for key, value in known.items() if key[0] != mm}
        elif one["kind"] == EventKind.PROCESS_SAMPLE:
            known[mm, part] = int(one["aux"])
    read_now = {
        (int(one["mm"]), int(one["address"])): int(one["aux"])
        for one in left[left["kind"] == EventKind.PROCESS_SAMPLE]
    }
    assert known.items() <= read_now.items()


def test_totals_are_counted_from_there_on(tmp_path):
    merged = Outcome(EventKind.TRY_TO_MERGE_ONE_PAGE)
    batches = [
        np.concatenate([total_records({merged: count}, ts), _reading(ts)])
        for ts, count in ((1, 10), (2, 25), (3, 40))
    ]
    with CaptureWriter(
        tmp_path / "a", streams.session(), bounds=KEPT, segment_bytes=0, batch_events=3
    ) as writer:
        writer.write(np.concatenate(batches))
    session, left, _ = read(tmp_path / "a")
    assert state_after(session, left).totals.counts == {merged: 15}


def _reading(ts: int) -> Records:
    rows = streams.sample(ts, pages_shared=1, pages_sharing=ts)
    assert rows[-1]["flags"] & Flag.LAST_OF_SAMPLE
    return streams.events(*rows).events
