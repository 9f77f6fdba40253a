"""What is due by the clock is done though no event comes, and though very many come at once."""

from functools import partial

import numpy as np
import pytest

from ksmtrace import hookimpl
from ksmtrace.capture.reader import open_capture
from ksmtrace.capture.writer import CaptureWriter
from ksmtrace.events import EventKind
from ksmtrace.pipeline import runner as runner_module
from ksmtrace.plugins.recorder import Plugin as Recorder
from support.clock import Clock
from support.runs import EMPTY, runner
from support.streams import ListSource, events

NOTHING = events()
FIRST = events(*EMPTY)
PASSES = events(*EMPTY, *({"kind": EventKind.SCAN_STOP, "aux": n} for n in range(100)))


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(runner_module, "time", clock)
    return clock


class Ticker:
    """Notes when it is called; a batch takes it `seconds`."""

    def __init__(self, clock, seconds=0.0):
        self.clock, self.seconds = clock, seconds
        self.ticks, self.published = [], []

    @hookimpl
    def ksmtrace_batch(self):
        self.clock.now += self.seconds

    @hookimpl
    def ksmtrace_tick(self):
        self.ticks.append(self.clock.now)

    @hookimpl
    def ksmtrace_publish(self):
        self.published.append(self.clock.now)


def slowly(clock, seconds):
    """A source of which each batch takes so long to come."""

    class Slow(ListSource):
        def batches(self):
            for batch in super().batches():
                clock.now += seconds
                yield batch

    return Slow


def test_time_passes_without_events(clock):
    ticker = Ticker(clock)
    run = runner([FIRST, *[NOTHING] * 100], {"ticker": ticker}, interval=3600,
                 source=slowly(clock, 0.03))  # fmt: skip
    run.run()
    assert np.diff(ticker.ticks).max() <= 0.5
    assert len(ticker.ticks) >= 101 * 0.03 / 0.5
    assert ticker.published == [pytest.approx(101 * 0.03)]


@pytest.mark.parametrize(("seconds", "apart"), [(0.01, 1.0), (0.5, 5.5)])
def test_publishing_takes_a_tenth_of_the_time_at_most(clock, seconds, apart):
    """Where it takes long the events come first; where it does not, the interval is kept."""

    class Sink(Ticker):
        @hookimpl
        def ksmtrace_publish(self):
            self.clock.now += seconds
            self.published.append(self.clock.now)

    sink = Sink(clock)
    runner([FIRST, *[NOTHING] * 1000], {"sink": sink}, interval=1,
           source=slowly(clock, 0.03)).run()  # fmt: skip
    assert np.diff(sink.published)[:-1].min() >= apart
    assert np.diff(sink.published)[:-1].max() < apart + seconds + 0.04


def test_time_passes_amid_a_batch_of_a_hundred_passes(clock):
    """As ksmd makes them where a process has a page and it never sleeps."""
    ticker = Ticker(clock, seconds=0.1)
    runner([PASSES], {"ticker": ticker}, interval=3600).run()
    assert np.diff(ticker.ticks).max() <= 0.5
    assert len(ticker.ticks) >= 101 * 0.1 / 0.5


@pytest.mark.parametrize("interval", [5.0, 3600.0])
def test_a_capture_is_on_disk_within_a_second_or_so_whatever_the_interval(
    clock, tmp_path, monkeypatch, interval
):
    path = tmp_path / "a"
    found = []
    monkeypatch.setattr(
        "ksmtrace.capture.writer.CaptureWriter", partial(CaptureWriter, clock=clock.monotonic)
    )

    class Watching(ListSource):
        def batches(self):
            yield FIRST
            for _ in range(45):
                clock.now += 0.03
                yield NOTHING
            with open_capture(path) as capture:
                found.extend(len(batch) for batch in capture.batches())

    runner([FIRST], {"recorder": Recorder()}, interval=interval, source=Watching,
           record=str(path)).run()  # fmt: skip
    assert clock.now < 1.5
    assert sum(found) == len(EMPTY)
