"""Windows in which probes are attached: in which order, how often, and what the stream says."""

import threading

import pytest

from ksmtrace.errors import KsmtraceError
from ksmtrace.events import EventKind, Gauge
from ksmtrace.sources.live import windows
from ksmtrace.sources.live.fault_probes import parse_share
from ksmtrace.sources.live.windows import Windows

WHOLE = ["prepare", "attach", "detach_entries", "detach_returns", "release"]


class Probes:
    """Keeps what is asked of it, and says when so many windows are over."""

    def __init__(self, *, windows=3, fails_at=""):
        self.calls = []
        self.done = threading.Event()
        self._windows = windows
        self._fails_at = fails_at

    def __getattr__(self, name):
        if name not in WHOLE:
            raise AttributeError(name)

        def call():
            self.calls.append(name)
            if name == "release" and self.calls.count(name) == self._windows:
                self.done.set()
            if name == self._fails_at:
                self.done.set()
                raise OSError("the kernel refuses")

        return call


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(windows, "PERIOD_SECONDS", 0.02)
    monkeypatch.setattr(windows, "FIRST_PERIOD_SECONDS", 0.01)
    monkeypatch.setattr(windows, "LEAST_OPEN_SECONDS", 0.0001)
    monkeypatch.setattr(windows, "EXPECTED_OVERHEAD_SECONDS", 0.0)
    monkeypatch.setattr(windows, "SETTLE_SECONDS", 0.0)


def run(probes, share=0.5):
    windowed = Windows(probes, share, seed=1)
    windowed.start()
    assert probes.done.wait(60)
    windowed.close()
    return windowed


def test_windows_follow_each_other_and_the_stream_tells_of_each(short):
    probes = Probes()
    marks = run(probes).marks()
    count = probes.calls.count("prepare")
    assert count >= 3
    assert probes.calls == WHOLE * count
    assert marks["aux"].tolist() == [1, 0] * count
    assert (marks["kind"] == EventKind.SAMPLE).all()
    assert (marks["address"] == Gauge.FAULT_PROBES).all()
    assert (marks["flags"] == 0).all()
    assert sorted(marks["ts"].tolist()) == marks["ts"].tolist()


def test_marks_are_handed_out_once(short):
    windowed = run(Probes())
    assert len(windowed.marks())
    assert not len(windowed.marks())


@pytest.mark.parametrize("step", ["prepare", "attach"])
def test_a_kernel_that_refuses_ends_the_windows_and_nothing_stays(short, step):
    probes = Probes(fails_at=step)
    windowed = run(probes)
    assert windowed.error == "the kernel refuses"
    assert probes.calls == [*WHOLE[: WHOLE.index(step) + 1], "release"]
    assert not len(windowed.marks())


def test_an_end_in_a_window_detaches(monkeypatch):
    monkeypatch.setattr(windows, "FIRST_PERIOD_SECONDS", 3600.0)
    monkeypatch.setattr(windows, "PERIOD_SECONDS", 7200.0)
    probes = Probes()
    windowed = Windows(probes, 0.5, seed=1)
    monkeypatch.setattr(windowed._random, "uniform", lambda _low, _high: 0.0)
    windowed.start()
    while "attach" not in probes.calls:
        pass
    windowed.close()
    assert probes.calls == WHOLE
    assert windowed.marks()["aux"].tolist() == [1, 0]


def test_what_took_too_long_is_taken_off_later_windows(monkeypatch, short):
    """Each attaching takes 40 ms of a share that comes to 1 ms a period: one window for 40 of
    them."""
    clock = {"now": 0.0}
    monkeypatch.setattr(windows.time, "monotonic", lambda: clock["now"])
    probes = Probes()
    windowed = Windows(probes, 0.05, seed=1)

    def wait(seconds=0.0):
        clock["now"] += max(0.0, seconds)
        return clock["now"] > 100.0

    monkeypatch.setattr(windowed._ended, "wait", wait)
    monkeypatch.setattr(windowed._ended, "is_set", lambda: clock["now"] > 100.0)

    def slow():
        probes.calls.append("attach")
        clock["now"] += 0.04

    monkeypatch.setattr(probes, "attach", slow, raising=False)
    windowed._run()
    held = probes.calls.count("attach") * 0.04
    assert 0.04 < held / 100.0 < 0.051
    assert held < 0.05 * 100.0 + 0.05


@pytest.mark.parametrize(
    ("text", "share"), [("all", 1.0), ("none", 0.0), ("0.02", 0.02), (".5", 0.5), ("0.002", 0.002)]
)
def test_shares_that_can_be_asked_for(text, share):
    assert parse_share(text) == share


@pytest.mark.parametrize(
    "text", ["", "0", "1", "0.6", "0.001", "-0.1", "nan", "2e-2", "some", "2%"]
)
def test_shares_that_cannot(text):
    with pytest.raises(
        KsmtraceError, match=r"all, none, or a share of the time from 0\.002 to 0\.5"
    ):
        parse_share(text)
