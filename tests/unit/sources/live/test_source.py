"""How a live source is opened: step by step, and nothing stays attached where a step fails."""

from itertools import repeat

import numpy as np
import pytest

from ksmtrace.errors import HostError, KsmtraceError
from ksmtrace.events import Gauge, empty_records
from ksmtrace.kernel.pagemap import KsmPages
from ksmtrace.kernel.sysfs import Counters
from ksmtrace.sources.live import attachment, counter_samples, opening, reader, source, stream
from ksmtrace.sources.live.attachment import Attachment, attach
from ksmtrace.sources.live.capabilities import Placement
from ksmtrace.sources.live.merged_before import MergedBefore
from ksmtrace.sources.live.opening import LiveOptions, session_of
from ksmtrace.sources.live.plan import Plan, counters_only
from ksmtrace.sources.live.probe_spec import Hook, Place
from ksmtrace.sources.live.quiet_reading import TRIES_AT_THE_ENDS
from ksmtrace.sources.live.ring import Drained
from ksmtrace.sources.live.source import LiveSource
from ksmtrace.sources.live.stream import EventStream
from support.clock import Clock
from support.streams import KERNEL


class Closable:
    """A program or a ring that counts how often it was closed."""

    def __init__(self, capacity=400):
        self.capacity = capacity
        self.closed = 0

    def close(self):
        self.closed += 1


@pytest.fixture
def opened(monkeypatch, tmp_path):
    """What `open` attaches on a host made for the test; the plan attaches nothing for real."""
    made = Attachment(Closable(), Closable())
    monkeypatch.setattr(source, "check_host", lambda **_: 41)
    monkeypatch.setattr(source, "read_kernel", lambda: KERNEL)
    monkeypatch.setattr(source, "plan_of", lambda *_: counters_only(tmp_path))
    monkeypatch.setattr(source, "attach", lambda *_, **__: made)
    monkeypatch.setattr(opening, "read_counters", lambda: {Gauge.PAGES_SHARED: 0})
    return made


@pytest.mark.parametrize("step", ["session_of", "merged_before_of"])
def test_a_step_that_fails_leaves_nothing_attached(opened, monkeypatch, step):
    def fail(*_):
        raise OSError("the disk is gone")

    program, ring = opened._program, opened._ring
    monkeypatch.setattr(source, step, fail)
    with pytest.raises(OSError, match="the disk is gone"):
        LiveSource.open(LiveOptions(probes="sysfs"))
    assert (program.closed, ring.closed) == (1, 1)


def test_a_source_closes_what_it_opened_once(opened):
    program, ring = opened._program, opened._ring
    live = LiveSource.open(LiveOptions(probes="sysfs"))
    assert (live.session.kernel, live.session.tier) == (KERNEL, "sysfs")
    assert (program.closed, ring.closed) == (0, 0)
    live.close()
    live.close()
    assert (program.closed, ring.closed) == (1, 1)


def test_a_choice_that_is_none_is_refused_before_the_host_is_looked_at():
    with pytest.raises(KsmtraceError, match="--probes nonsense"):
        LiveSource.open(LiveOptions(probes="nonsense"))


def test_a_ring_that_cannot_be_opened_takes_its_program_along(monkeypatch):
    program = Closable()

    def refuse(*_, **__):
        raise HostError("no ring")

    monkeypatch.setattr(attachment, "Program", lambda *_: program)
    monkeypatch.setattr(attachment, "open_ring", refuse)
    hook = Hook(Place.TRACEPOINT, "ksm_enter", "on_ksm_enter")
    plan = Plan(placements={hook: Placement("raw_tracepoint", ("ksm_enter",))})
    with pytest.raises(HostError, match="no ring"):
        attach(plan, 41, 4096)
    assert program.closed == 1


def test_a_program_is_detached_though_its_ring_fails_to_close():
    class Stuck(Closable):
        def close(self):
            raise BufferError("still mapped")

    program = Closable()
    with pytest.raises(BufferError):
        Attachment(program, Stuck()).close()
    assert program.closed == 1


class Giving(Attachment):
    """A ring of 400 events, out of which so many come at a time."""

    capacity = 400

    def __init__(self, *drained):
        super().__init__()
        self.left = list(drained)

    def drain(self, _):
        return self.left.pop(0)


@pytest.mark.parametrize(("slots", "filling"), [(0, False), (99, False), (100, True)])
def test_a_quarter_of_the_ring_at_once_is_filling_it(slots, filling):
    events = EventStream(Giving(Drained(empty_records(slots), [], slots)))
    events.take()
    assert (events.filling, events.behind) == (filling, False)


def test_a_ring_that_has_more_is_looked_at_without_a_pause():
    events = EventStream(Giving(Drained(empty_records(1), [], 1, more=True)))
    events.take()
    assert (events.filling, events.behind) == (True, True)


def test_without_a_ring_nothing_fills():
    events = EventStream(Attachment())
    assert len(events.take()) == 0
    assert not events.filling


class NeverQuiet(Attachment):
    """Events arrive with every look, which takes long."""

    def __init__(self, clock, seconds):
        super().__init__()
        self._clock, self._seconds = clock, seconds
        self.drains = 0

    def drain(self, _):
        self.drains += 1
        self._clock.now += self._seconds
        return Drained(empty_records(1), [], 1)


@pytest.mark.parametrize(("look_seconds", "most_seconds"), [(0.001, 3), (5, 20)])
def test_a_run_ends_though_events_never_stop(monkeypatch, tmp_path, look_seconds, most_seconds):
    """A reading is repeated until nothing arrives during it: often where that is soon done, not for
    minutes where each look is long."""
    clock = Clock()
    for module in (source, reader, stream):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(counter_samples.CounterReader, "read", lambda _: Counters({}, {}))
    monkeypatch.setattr(opening, "read_counters", lambda: {Gauge.PAGES_SHARED: 0})
    session = session_of(counters_only(tmp_path), KERNEL)
    attached = NeverQuiet(clock, look_seconds)
    live = LiveSource(LiveOptions(probes="sysfs"), session, 41, attached, MergedBefore(seen=False))
    live.stop()
    list(live.batches())
    assert clock.now < 2 * most_seconds
    assert attached.drains >= 2 * 2


def test_a_run_is_ended_while_it_reads_what_was_merged_before(monkeypatch, tmp_path):
    """32 TiB took minutes, and SIGINT was not heeded."""
    clock = Clock()
    for module in (source, reader, stream):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(counter_samples.CounterReader, "read", lambda _: Counters({}, {}))
    before = MergedBefore(seen=True)
    nothing = np.zeros(0, dtype=np.uint64)
    monkeypatch.setattr(
        before._reader, "pieces", lambda: repeat(KsmPages(nothing, nothing, nothing, "kpageflags"))
    )
    attached = NeverQuiet(clock, 0.001)
    session = session_of(counters_only(tmp_path), KERNEL)
    live = LiveSource(LiveOptions(probes="sysfs", duration=1), session, 41, attached, before)
    batches = live.batches()
    for _ in range(100):
        next(batches)
    assert attached.drains >= 99  # the ring is emptied meanwhile
    live.stop()
    rest = list(batches)
    assert len(rest) < TRIES_AT_THE_ENDS + 10
    assert live.warnings == ["what was merged before was not read to its end: the run ended"]


def test_the_duration_counts_from_the_first_reading(monkeypatch, tmp_path):
    clock = Clock()
    for module in (source, reader, stream):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(counter_samples.CounterReader, "read", lambda _: Counters({}, {}))
    before = MergedBefore(seen=True)

    def slow():
        for _ in range(60):
            clock.sleep(1)
            nothing = np.zeros(0, dtype=np.uint64)
            yield KsmPages(nothing, nothing, nothing, "kpageflags")

    monkeypatch.setattr(before._reader, "pieces", slow)
    session = session_of(counters_only(tmp_path), KERNEL)
    attached = NeverQuiet(clock, 0.001)
    live = LiveSource(LiveOptions(probes="sysfs", duration=5), session, 41, attached, before)
    list(live.batches())
    assert clock.now > 60 + 5
