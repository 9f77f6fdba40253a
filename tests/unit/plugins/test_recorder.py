"""The recorder writes what the run saw, or nothing at all."""

from functools import partial

import numpy as np
import pluggy
import pytest

from ksmtrace import hookspecs
from ksmtrace.capture.reader import open_capture
from ksmtrace.capture.writer import CaptureWriter
from ksmtrace.errors import KsmtraceError
from ksmtrace.events import EventBatch, EventKind
from ksmtrace.pipeline.options import RunOptions
from ksmtrace.pipeline.runner import Runner
from ksmtrace.plugins.recorder import Plugin
from support import streams

BATCHES = (
    streams.events(*streams.sample(pages_shared=0), {"kind": EventKind.SCAN_START}),
    streams.events(),
    streams.events(
        {"kind": EventKind.LOST, "aux": 7},
        {"kind": EventKind.SCAN_STOP, "aux": 1},
        {"kind": EventKind.MM_ENTER, "mm": 2**64 - 1},
    ),
)


class FailingSource(streams.ListSource):
    """A source that breaks after its batches."""

    def batches(self):
        yield from super().batches()
        raise KsmtraceError("the source broke")


def run(options, source_class=streams.ListSource):
    """Run the recorder alone over `BATCHES`."""
    manager = pluggy.PluginManager("ksmtrace")
    manager.add_hookspecs(hookspecs)
    manager.register(Plugin(), name="recorder")
    manager.check_pending()
    Runner(source_class(streams.session(), BATCHES), manager, options, fail_fast=True).run()


def recorded(path):
    """(session, events, warnings) of the capture at `path`."""
    with open_capture(path) as capture:
        events = np.concatenate([batch.events for batch in capture.batches()])
        return capture.session, events, capture.warnings


def test_the_capture_holds_every_event_in_order(tmp_path):
    run(RunOptions(record=str(tmp_path / "a.ksmtrace")))
    session, events, warnings = recorded(tmp_path / "a.ksmtrace")
    assert session == streams.session(source="capture")
    assert events.tobytes() == np.concatenate([batch.events for batch in BATCHES]).tobytes()
    assert warnings == []


@pytest.mark.parametrize("options", [RunOptions(record=None), RunOptions()])
def test_without_a_file_nothing_is_written(tmp_path, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    run(options)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_leaves_a_complete_capture(tmp_path):
    with pytest.raises(KsmtraceError, match="the source broke"):
        run(RunOptions(record=str(tmp_path / "a")), FailingSource)
    _, events, warnings = recorded(tmp_path / "a")
    assert len(events) == sum(len(batch) for batch in BATCHES)
    assert warnings == []


def test_a_file_that_cannot_be_written_ends_the_run(tmp_path):
    with pytest.raises(KsmtraceError, match="create the directory first"):
        run(RunOptions(record=str(tmp_path / "none" / "a")))


def test_what_waits_is_brought_to_the_disk_as_time_passes(tmp_path, monkeypatch):
    plugin = Plugin()
    now = 0.0
    writer = partial(CaptureWriter, clock=lambda: now)
    monkeypatch.setattr("ksmtrace.capture.writer.CaptureWriter", writer)
    plugin.ksmtrace_session_start(streams.session(), RunOptions(record=str(tmp_path / "a")))
    plugin.ksmtrace_batch(EventBatch(BATCHES[0].events))
    with open_capture(tmp_path / "a") as capture:
        assert list(capture.batches()) == []
        now = 1.0
        plugin.ksmtrace_tick()
        assert len(list(capture.batches())) == 1
    plugin.ksmtrace_session_finish()
