"""The segments of a capture are read as one, with a warning of missing or foreign ones."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ksmtrace.capture.reader import open_capture
from ksmtrace.capture.schema import segment_path
from ksmtrace.capture.writer import CaptureWriter
from ksmtrace.events import RECORD, empty_records
from support import streams

EVENTS = np.random.default_rng(1).integers(0, 256, 50 * RECORD.itemsize, "u1").view(RECORD)
EVENTS["ts"] %= 3600 * 10**9
EVENTS["kind"] |= 0x80


@pytest.fixture
def path(tmp_path):
    """A capture of five segments with ten events each."""
    path = tmp_path / "a.ksmtrace"
    with CaptureWriter(path, streams.session(), segment_bytes=0, batch_events=10) as writer:
        writer.write(EVENTS)
    return path


def read(path):
    """(batches, warnings) of the capture at `path`."""
    with open_capture(path) as capture:
        return [batch.events for batch in capture.batches()], list(capture.warnings)


def joined(batches):
    return np.concatenate([empty_records(), *batches])


@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_missing_segment_is_a_warning(path, number):
    missing = segment_path(str(path), number)
    os.unlink(missing)
    batches, warnings = read(path)
    assert len(joined(batches)) == number * 10
    assert warnings == [
        f"{missing}: this segment of the capture is missing; {number * 10} whole events were read"
    ]


def test_a_segment_of_another_capture_is_a_warning(tmp_path, path):
    other = replace(streams.session(), capture_id="another")
    with CaptureWriter(tmp_path / "b", other, segment_bytes=0, batch_events=10) as writer:
        writer.write(EVENTS[:20])
    os.replace(tmp_path / "b.0001", f"{path}.0001")
    batches, warnings = read(path)
    assert len(joined(batches)) == 10
    assert len(warnings) == 1
    assert "a.ksmtrace.0001: not the next segment" in warnings[0]


def test_segments_in_the_wrong_order_are_a_warning(path):
    os.replace(f"{path}.0003", f"{path}.0001")
    batches, warnings = read(path)
    assert len(joined(batches)) == 10
    assert "not the next segment" in warnings[0]


def test_a_later_segment_that_cannot_be_read_is_a_warning(path):
    Path(f"{path}.0002").write_text("no capture")
    batches, warnings = read(path)
    assert len(joined(batches)) == 20
    assert len(warnings) == 1
    assert "a.ksmtrace.0002: not a ksmtrace capture" in warnings[0]


def test_reading_can_start_at_a_later_segment(path):
    path.unlink()
    batches, warnings = read(f"{path}.0001")
    assert joined(batches).tobytes() == EVENTS[10:].tobytes()
    assert len(warnings) == 1
    assert "a.ksmtrace.0001: is segment 1 of a capture" in warnings[0]


def test_a_link_leads_to_the_segments_beside_the_file(tmp_path, path):
    (tmp_path / "link").symlink_to(path)
    batches, warnings = read(tmp_path / "link")
    assert joined(batches).tobytes() == EVENTS.tobytes()
    assert warnings == []
