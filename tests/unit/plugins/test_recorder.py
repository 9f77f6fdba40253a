"""The recorder writes what the run saw, or nothing at all."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pluggy
import pytest

from ksmtrace import hookspecs
from ksmtrace.capture.reader import open_capture
from ksmtrace.capture.writer import CaptureWriter
from ksmtrace.errors import KsmtraceError
from ksmtrace.events import EventBatch, EventKind
from ksmtrace.pipeline.condition import Condition
from ksmtrace.pipeline.control import RunControl
from ksmtrace.pipeline.options import RunOptions
from ksmtrace.pipeline.runner import Runner
from ksmtrace.plugins.recorder import MOST_DUMPS, Plugin
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
    options = RunOptions(record=str(tmp_path / "a"))
    plugin.ksmtrace_session_start(streams.session(), options, RunControl())
    plugin.ksmtrace_batch(EventBatch(BATCHES[0].events))
    with open_capture(tmp_path / "a") as capture:
        assert list(capture.batches()) == []
        now = 1.0
        plugin.ksmtrace_tick()
        assert len(list(capture.batches())) == 1
    plugin.ksmtrace_session_finish()


class FlightRecorder:
    """A recorder that keeps its last segments, by hand."""

    def __init__(self, path, condition=None):
        self.path = path
        self.control = RunControl()
        self.plugin = Plugin()
        options = RunOptions(
            record=str(path),
            keep=2,
            dump_when=None if condition is None else Condition.parse(condition),
        )
        self.plugin.ksmtrace_session_start(streams.session(), options, self.control)

    def publish(self, **document):
        self.plugin.ksmtrace_publish(SimpleNamespace(document=document))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.plugin._writer is not None:
            self.plugin.ksmtrace_session_finish()

    def dumps(self):
        return sorted(entry.name for entry in self.path.parent.iterdir() if ".dump" in entry.name)


def test_a_signal_saves_what_is_kept(tmp_path, capsys):
    recorder = FlightRecorder(tmp_path / "a")
    recorder.plugin.ksmtrace_batch(BATCHES[0])
    assert recorder.dumps() == []
    recorder.control.ask_for_dump()
    recorder.plugin.ksmtrace_tick()
    recorder.plugin.ksmtrace_tick()
    assert recorder.dumps() == ["a.dump1"]
    assert recorded(tmp_path / "a.dump1")[1].tobytes() == BATCHES[0].events.tobytes()
    assert (
        capsys.readouterr().err == f"ksmtrace: SIGUSR1: saved what is kept as {tmp_path}/a.dump1\n"
    )
    recorder.plugin.ksmtrace_session_finish()


def test_a_condition_saves_it_each_time_it_becomes_true(tmp_path):
    with FlightRecorder(tmp_path / "a", "events.lost>3") as recorder:
        for lost, dumps in ((0, 0), (None, 0), (4, 1), (9, 1), (3, 1), (4, 2)):
            recorder.publish(events={"lost": lost})
            assert len(recorder.dumps()) == dumps
        recorder.publish(events=None)
        assert len(recorder.dumps()) == 2


def test_a_condition_that_is_true_now_and_then_does_not_fill_the_disk(tmp_path, capsys):
    with FlightRecorder(tmp_path / "a", "passes==1") as recorder:
        for turn in range(2 * MOST_DUMPS + 4):
            recorder.publish(passes=turn % 2)
    assert len(recorder.dumps()) == MOST_DUMPS
    assert f"not saved, {MOST_DUMPS} dumps have been made" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("condition", "words"),
    [("events.gone>1", "no 'gone' of events.gone"), ("events>1", "is no number")],
)
def test_a_condition_on_no_figure_is_an_error(tmp_path, condition, words):
    with (
        FlightRecorder(tmp_path / "a", condition) as recorder,
        pytest.raises(KsmtraceError, match=words),
    ):
        recorder.publish(events={"lost": 1})


def test_a_dump_that_fails_is_told_at_the_end(tmp_path, monkeypatch):
    recorder = FlightRecorder(tmp_path / "a")
    recorder.plugin.ksmtrace_batch(BATCHES[0])
    recorder.control.ask_for_dump()

    def fail(_):
        raise KsmtraceError("the disk is full")

    monkeypatch.setattr(CaptureWriter, "dump", fail)
    recorder.plugin.ksmtrace_tick()
    with pytest.raises(KsmtraceError, match="SIGUSR1: the disk is full"):
        recorder.plugin.ksmtrace_session_finish()
    assert len(recorded(tmp_path / "a")[1]) == len(BATCHES[0])


@pytest.mark.parametrize("alone", [True, False])
def test_a_recording_that_is_full_ends_a_run_that_only_records(tmp_path, monkeypatch, alone):
    monkeypatch.setattr("ksmtrace.capture.bounds.LEAST_SEGMENT_BYTES", 1)
    control = RunControl()
    plugin = Plugin()
    options = RunOptions(record=str(tmp_path / "a"), most_bytes=20_000, ends_when_full=alone)
    monkeypatch.setattr(
        "ksmtrace.capture.writer.CaptureWriter", partial(CaptureWriter, batch_events=1)
    )
    plugin.ksmtrace_session_start(streams.session(), options, control)
    for _ in range(30):
        plugin.ksmtrace_batch(BATCHES[2])
    assert control.quitted == alone
    assert not control.interrupted
    plugin.ksmtrace_session_finish()
    assert (tmp_path / "a").stat().st_size <= 20_000
    _, events, warnings = recorded(tmp_path / "a")
    assert 0 < len(events) < 90
    assert warnings == []
