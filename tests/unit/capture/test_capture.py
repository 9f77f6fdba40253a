"""What is written reads back; a cut or damaged capture reads back up to there, with a warning."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ksmtrace.capture.reader import open_capture
from ksmtrace.capture.schema import segment_path
from ksmtrace.capture.writer import CaptureWriter
from ksmtrace.errors import ExitStatus, KsmtraceError
from ksmtrace.events import RECORD, empty_records
from support import streams


def of_one_hour(content):
    """Records of these bytes, of kinds of a later version, with times that a clock may show."""
    found = content.view(RECORD)
    found["kind"] |= 0x80
    found["ts"] %= 3600 * 10**9
    return found


@st.composite
def records(draw, max_size=200):
    """Records of any content: random bytes, or few different ones (which compress well)."""
    count = draw(st.integers(0, max_size))
    seed = draw(st.integers(0, 2**16))
    different = draw(st.sampled_from([2, 256]))
    return of_one_hour(
        np.random.default_rng(seed).integers(0, different, count * RECORD.itemsize, "u1")
    )


def read(path):
    """(batches, warnings) of the capture at `path`."""
    with open_capture(path) as capture:
        return [batch.events for batch in capture.batches()], list(capture.warnings)


def read_or_refusal(path):
    """(batches, warnings, None), or ([], [], the error) where the capture is refused."""
    try:
        return *read(path), None
    except KsmtraceError as error:
        return [], [], error


def joined(batches):
    return np.concatenate([empty_records(), *batches])


@given(
    events=records(),
    sizes=st.lists(st.integers(0, 80), max_size=12),
    flushes=st.booleans(),
    batch_events=st.integers(1, 100),
    segment_bytes=st.sampled_from([0, 6_000, 12_000, 1 << 20]),
)
@settings(deadline=None)
def test_what_was_written_reads_back_in_order(events, sizes, flushes, batch_events, segment_bytes):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.ksmtrace")
        with CaptureWriter(
            path, streams.session(), segment_bytes=segment_bytes, batch_events=batch_events
        ) as writer:
            cuts = np.minimum(np.cumsum([0, *sizes]), len(events))
            for start, end in zip(cuts, [*cuts[1:], len(events)], strict=True):
                writer.write(events[start:end])
                if flushes:
                    writer.flush()
        batches, warnings = read(path)
        assert joined(batches).tobytes() == events.tobytes()
        assert warnings == []
        assert all(0 < len(batch) <= batch_events for batch in batches)
        files = sorted(os.listdir(folder))
        assert files == [segment_path("a.ksmtrace", number) for number in range(len(files))]


def test_the_session_reads_back_but_for_its_source(tmp_path):
    session = streams.session()
    CaptureWriter(tmp_path / "a", session).close()
    with open_capture(tmp_path / "a", source="engine") as capture:
        assert capture.session == streams.session(source="engine")
    with open_capture(tmp_path / "a") as capture:
        assert capture.session == streams.session(source="capture")


def test_batches_can_be_read_more_than_once(tmp_path):
    events = records_of(50)
    with CaptureWriter(
        tmp_path / "a", streams.session(), segment_bytes=0, batch_events=7
    ) as writer:
        writer.write(events)
    (tmp_path / "a.0005").unlink()
    with open_capture(tmp_path / "a") as capture:
        for _ in range(2):
            batches = [batch.events for batch in capture.batches()]
            assert joined(batches).tobytes() == events[: 5 * 7].tobytes()
            assert len(capture.warnings) == 1


def test_batches_are_read_only(tmp_path):
    with CaptureWriter(tmp_path / "a", streams.session()) as writer:
        writer.write(records_of(3))
    batches, _ = read(tmp_path / "a")
    with pytest.raises(ValueError, match="read-only"):
        batches[0]["ts"] = 1


@dataclass
class Recording:
    """A finished capture, kept as bytes.

    Attributes:
        events: what was written.
        files: content of each segment.
        borders: for each segment, (size, events of the whole capture so far) after each step of
            writing.
    """

    events: np.ndarray
    files: list[bytes]
    borders: list[list[tuple[int, int]]]

    def place(self, folder):
        """Write the files to `folder`; returns the path of the first."""
        for number, content in enumerate(self.files):
            Path(folder, segment_path("a.ksmtrace", number)).write_bytes(content)
        return Path(folder, "a.ksmtrace")


def records_of(count, seed=1):
    return of_one_hour(np.random.default_rng(seed).integers(0, 256, count * RECORD.itemsize, "u1"))


def make_recording(events, batch_events, segment_bytes):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a")
        borders = []
        with CaptureWriter(
            path, streams.session(), segment_bytes=segment_bytes, batch_events=batch_events
        ) as writer:
            for start in range(0, len(events), batch_events):
                part = events[start : start + batch_events]
                writer.write(part)
                writer.flush()
                number = len(os.listdir(folder)) - 1
                if number == len(borders):
                    borders.append([])
                size = os.path.getsize(segment_path(path, number))
                borders[number].append((size, start + len(part)))
        files = [Path(segment_path(path, n)).read_bytes() for n in range(len(borders))]
        return Recording(events, files, borders)


RECORDINGS = [
    make_recording(records_of(61), batch_events=10, segment_bytes=1 << 20),
    make_recording(records_of(61), batch_events=6, segment_bytes=7_000),
    make_recording(records_of(5000), batch_events=1000, segment_bytes=0),
]
END_OF_STREAM_BYTES = 8


def test_the_recordings_that_are_cut_below_have_one_segment_and_several():
    assert [len(recording.files) for recording in RECORDINGS] == [1, 11, 5]


@st.composite
def cut_recordings(draw):
    """(recording, number of a segment, size it is cut to), often exactly at a border."""
    recording = draw(st.sampled_from(RECORDINGS))
    number = draw(st.integers(0, len(recording.files) - 1))
    whole = len(recording.files[number])
    borders = [size for size, _ in recording.borders[number]]
    ends = [whole - END_OF_STREAM_BYTES, whole]
    near = st.builds(
        lambda border, by: max(0, min(border + by, whole)),
        st.sampled_from(borders + ends),
        st.integers(-9, 9),
    )
    size = draw(st.one_of(st.integers(0, whole), st.sampled_from(borders + ends), near))
    return recording, number, size


@given(cut_recordings())
@settings(deadline=None, max_examples=400)
def test_a_cut_capture_reads_up_to_its_last_whole_batch(case):
    recording, number, size = case
    with tempfile.TemporaryDirectory() as folder:
        path = recording.place(folder)
        os.truncate(segment_path(str(path), number), size)
        batches, warnings, error = read_or_refusal(path)
    if error:
        assert number == 0
        assert size < recording.borders[0][0][0]
        assert error.status == ExitStatus.BAD_INPUT
        assert "\n" not in str(error)
        return
    before = recording.borders[number - 1][-1][1] if number else 0
    expected = max([before, *(n for border, n in recording.borders[number] if border <= size)])
    if size >= len(recording.files[number]) - END_OF_STREAM_BYTES:
        expected = len(recording.events)
        assert warnings == []
    else:
        assert len(warnings) == 1
        assert segment_path("a.ksmtrace", number) in warnings[0]
        assert f" {expected} whole events" in warnings[0]
        assert "\n" not in warnings[0]
    assert joined(batches).tobytes() == recording.events[:expected].tobytes()


@given(st.sampled_from(RECORDINGS), st.data())
@settings(deadline=None, max_examples=400)
def test_a_changed_bit_never_yields_a_wrong_event(recording, data):
    number = data.draw(st.integers(0, len(recording.files) - 1))
    bit = data.draw(st.integers(0, 8 * len(recording.files[number]) - 1))
    with tempfile.TemporaryDirectory() as folder:
        path = recording.place(folder)
        damaged = bytearray(recording.files[number])
        damaged[bit // 8] ^= 1 << bit % 8
        Path(segment_path(str(path), number)).write_bytes(damaged)
        batches, warnings, error = read_or_refusal(path)
    if error:
        assert number == 0
        assert "\n" not in str(error)
        return
    events = joined(batches)
    assert events.tobytes() == recording.events[: len(events)].tobytes()
    assert warnings or len(events) == len(recording.events)


@given(st.binary(max_size=200), st.booleans())
@settings(deadline=None)
def test_any_bytes_are_a_capture_or_a_clear_error(content, like_arrow):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.ksmtrace")
        path.write_bytes(b"\xff\xff\xff\xff" + content if like_arrow else content)
        with pytest.raises(KsmtraceError) as caught:
            open_capture(path)
    assert caught.value.status == ExitStatus.BAD_INPUT
    assert "\n" not in str(caught.value)


def test_a_capture_is_readable_while_it_is_written(tmp_path):
    events = records_of(30)
    with CaptureWriter(tmp_path / "a", streams.session(), batch_events=10) as writer:
        assert read(tmp_path / "a")[0] == []
        writer.write(events[:25])
        batches, warnings = read(tmp_path / "a")
        assert joined(batches).tobytes() == events[:20].tobytes()
        assert len(warnings) == 1
        assert "did not end cleanly" in warnings[0]
        assert " 20 whole events" in warnings[0]


def test_bytes_after_the_end_are_a_warning(tmp_path):
    recording = RECORDINGS[0]
    path = tmp_path / "a"
    path.write_bytes(recording.files[0] * 2)
    batches, warnings = read(path)
    assert joined(batches).tobytes() == recording.events.tobytes()
    assert len(warnings) == 1
    assert "more bytes after the end" in warnings[0]
