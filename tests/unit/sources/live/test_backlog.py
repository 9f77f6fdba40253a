"""A reader that cannot keep up: duration, signals and readings are served all the same, and what is
not read is lost to the last event."""

import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ksmtrace.events import EventKind, Flag, Gauge, empty_records
from ksmtrace.events.cut import MOST_EVENTS
from ksmtrace.kernel.sysfs import Counters
from ksmtrace.sources.live import (
    counter_samples,
    identities,
    opening,
    quiet_reading,
    reader,
    source,
    stream,
)
from ksmtrace.sources.live.attachment import Attachment
from ksmtrace.sources.live.gathered.chunk import GATHERED, ChunkFlag, Tag
from ksmtrace.sources.live.gathered.merged import MERGED
from ksmtrace.sources.live.merged_before import MergedBefore
from ksmtrace.sources.live.opening import LiveOptions, session_of
from ksmtrace.sources.live.plan import counters_only
from ksmtrace.sources.live.portion import Portion
from ksmtrace.sources.live.ring import MOST_RECORDS, Drained, parse_ring
from ksmtrace.sources.live.source import LiveSource
from ksmtrace.sources.live.stream import EventStream
from support.chunks import Item, WordWriter
from support.clock import Clock
from support.streams import KERNEL

CAPACITY = 50_000
MM, FIRST = 0xFFFF888000000000, 0x100000


class World(Attachment):
    """Events that arrive all the time, at `rate` a second, from `begin` on, in a ring of `capacity`
    that has no room for some; to take one out takes `seconds`."""

    def __init__(self, clock, rate, seconds, capacity=CAPACITY):
        super().__init__()
        self.clock, self.rate, self.seconds, self.room = clock, rate, seconds, capacity
        self.began = None
        self.waiting, self.produced, self.dropped, self.given = [], 0, 0, 0

    def begin(self):
        self.began = self.clock.now

    @property
    def capacity(self):
        return self.room

    def _arrive(self):
        if self.began is None:
            return
        total = int((self.clock.now - self.began) * self.rate)
        new = list(range(self.produced, total))
        fit = new[: self.room - len(self.waiting)]
        self.waiting += fit
        self.dropped += len(new) - len(fit)
        self.produced = max(total, self.produced)

    def drain(self, most):
        self._arrive()
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        if most < MOST_RECORDS:  # else it is thrown away, which is soon done
            self.clock.now += self.seconds * len(taken)
        self.given += len(taken)
        events = empty_records(len(taken))
        events["kind"] = EventKind.BREAK_COW
        events["seq"] = np.array(taken, dtype=np.int64) % 65536
        return Drained(events, [], len(taken), bool(self.waiting))

    def lost(self):
        self._arrive()
        return self.dropped


def timed(monkeypatch):
    """The time of all that is live, from now on."""
    clock = Clock()
    for module in (source, reader, quiet_reading, stream, identities):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(
        counter_samples.CounterReader, "read", lambda _: Counters({Gauge.FULL_SCANS: 1}, {})
    )
    monkeypatch.setattr(opening, "read_counters", lambda: {Gauge.PAGES_SHARED: 0})
    return clock


@pytest.fixture
def clock(monkeypatch):
    return timed(monkeypatch)


def live_source(tmp_path, world, **options):
    session = session_of(counters_only(tmp_path), KERNEL)
    asked = LiveOptions(probes="sysfs", **options)
    return LiveSource(asked, session, 41, world, MergedBefore(seen=False))


def run(live, world, consume=lambda _: None):
    """(time, batch) of each batch; events begin to arrive behind the first reading."""
    seen = []
    for batch in live.batches():
        if world.began is None:
            world.begin()
        seen.append((world.clock.now, batch))
        consume(batch)
    return seen


def events_of(seen):
    return np.concatenate([batch.events for _, batch in seen])


def accounts(seen, world):
    """(given, lost) events, which together are all that were produced until the last look."""
    events = events_of(seen)
    given = int((events["kind"] == EventKind.BREAK_COW).sum())
    lost = int(events["aux"][events["kind"] == EventKind.LOST].sum())
    assert given + lost == world.produced - len(world.waiting)
    return given, lost


def readings(seen):
    """Times of readings of the counters."""
    return [at for at, batch in seen if (batch.kind == EventKind.SAMPLE).any()]


@pytest.mark.parametrize(
    ("seconds", "downstream"),
    [(0.0002, 0.0), (0.00001, 0.0003), (0.0004, 0.0)],
    ids=["slow to expand", "slow plugins", "hopeless"],
)
@pytest.mark.parametrize("ended_by", ["duration", "signal"])
def test_behind_a_ring_that_never_empties(clock, tmp_path, seconds, downstream, ended_by):
    world = World(clock, rate=10_000, seconds=seconds)
    live = live_source(tmp_path, world, duration=30 if ended_by == "duration" else None)

    def consume(batch):
        clock.now += downstream * int((batch.kind == EventKind.BREAK_COW).sum())
        if ended_by == "signal" and clock.now > 30:
            live.stop()

    seen = run(live, world, consume)
    steps = np.diff([at for at, _ in seen])
    assert steps.max() <= 0.5
    assert np.diff(readings(seen)[:-1]).max() < 1 + 2 * 0.5
    assert 30 <= clock.now < 30 + reader.GIVE_UP_SECONDS + 3
    given, lost = accounts(seen, world)
    assert given
    assert lost
    (warning,) = (line for line in live.warnings if "not read at the end" in line)
    assert int(warning.split()[0].replace(",", "")) == lost - world.dropped > 0


@settings(max_examples=60, deadline=None)
@given(
    rate=st.integers(0, 20_000),
    seconds=st.floats(0, 4e-4),
    downstream=st.floats(0, 4e-5),
    capacity=st.integers(50, 60_000),
    pauses=st.lists(st.tuples(st.floats(0, 20), st.floats(0.1, 6)), max_size=3),
    stopped=st.one_of(st.none(), st.floats(0, 15)),
)
def test_whatever_comes_is_given_or_lost_once(rate, seconds, downstream, capacity, pauses, stopped):
    """Readers of any speed, that stand still now and then, and end by duration or signal."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        clock = timed(patch)
        world = World(clock, rate, seconds, capacity)
        live = live_source(Path(folder), world, duration=10)
        waiting, stood = sorted(pauses), 0.0

        def consume(batch):
            nonlocal stood
            clock.now += downstream * int((batch.kind == EventKind.BREAK_COW).sum())
            if waiting and clock.now > waiting[0][0]:
                stood += waiting[0][1]
                clock.now += waiting.pop(0)[1]
            if stopped is not None and clock.now > stopped:
                live.stop()

        seen = run(live, world, consume)
        _, lost = accounts(seen, world)
        assert clock.now < 10 + reader.GIVE_UP_SECONDS + stood + 1
        unread = [line for line in live.warnings if "not read at the end" in line]
        assert bool(unread) == (lost > world.dropped)
        flags = events_of(seen)["flags"][events_of(seen)["kind"] == EventKind.SAMPLE]
        assert not flags[-1] & Flag.BEHIND


def test_what_can_be_read_in_time_is_read_to_its_end(clock, tmp_path):
    """A burst before the end: four seconds of work, all of it done, nothing lost, no word."""
    world = World(clock, rate=0, seconds=0.0001)
    live = live_source(tmp_path, world, duration=5)

    def burst(_):
        if clock.now > 4.9 and not world.produced:
            world.waiting, world.produced = list(range(40_000)), 40_000

    seen = run(live, world, burst)
    assert accounts(seen, world) == (40_000, 0)
    assert not [line for line in live.warnings if "not read" in line]
    assert clock.now < 5 + 4 + 1


@pytest.mark.parametrize("paused", [5.0, 0.1])
def test_a_reader_that_was_stopped_for_a_while_knows_its_loss(clock, tmp_path, paused):
    """SIGSTOP, a hypervisor, or a disk."""
    world = World(clock, rate=20_000, seconds=0.0)
    live = live_source(tmp_path, world, duration=20)

    def consume(_):
        nonlocal paused
        if clock.now > 10:
            clock.now, paused = clock.now + paused, 0.0

    expected = paused * world.rate > CAPACITY
    _, lost = accounts(run(live, world, consume), world)
    assert (lost > 0) == expected
    assert lost == world.dropped
    assert not [line for line in live.warnings if "not read" in line]


def test_a_reading_with_older_events_behind_it_says_so(clock, tmp_path):
    world = World(clock, rate=10_000, seconds=0.0002)
    seen = run(live_source(tmp_path, world, duration=10), world)
    last = [batch.flags[-1] for _, batch in seen if (batch.kind == EventKind.SAMPLE).any()]
    assert [bool(flags & Flag.BEHIND) for flags in last] == [
        False,
        *[True] * (len(last) - 2),
        False,
    ]


def test_a_reader_that_keeps_up_is_never_behind(clock, tmp_path):
    world = World(clock, rate=10_000, seconds=0.00001)
    seen = run(live_source(tmp_path, world, duration=10), world)
    assert accounts(seen, world)[1] == 0
    samples = events_of(seen)[events_of(seen)["kind"] == EventKind.SAMPLE]
    assert not (samples["flags"] & Flag.BEHIND).any()


def test_thousands_of_processes_are_read_a_few_at_a_time(clock, tmp_path, monkeypatch):
    """Each takes a millisecond; a signal that comes meanwhile is heeded."""
    world = World(clock, rate=0, seconds=0)
    live = live_source(tmp_path, world, interval=1)
    monkeypatch.setattr(identities, "read_ksm_stat", lambda *_: clock.sleep(0.001) or {})
    for name in ("read_cgroup", "read_vm"):
        monkeypatch.setattr(identities, name, lambda *_: "")
    for pid in range(20_000):
        live._reader._identities._met[pid] = identities._Met(pid, None)

    def consume(_):
        if world.began is not None and clock.now > world.began + 5:
            live.stop()

    seen = run(live, world, consume)
    assert np.diff([at for at, _ in seen[1:]]).max() <= 0.5
    assert seen[0][0] < reader.GIVE_UP_SECONDS + 0.5
    assert clock.now < seen[0][0] + 5 + 0.5 + reader.GIVE_UP_SECONDS + 0.5


def a_batch(pages):
    """What ksmd's batch of so many new pages is in the ring, with its inventory before it."""
    for flags, count in ((ChunkFlag.INVENTORY, 0), (ChunkFlag.FROM_HEAD, pages)):
        writer = WordWriter()
        writer.mm(MM)
        for number in range(count):
            writer.item(Item(FIRST + number, Tag.PLAIN, rmap_item=64 * (number + 1)))
        writer.end()
        header = empty_records(1)
        header["kind"], header["flags"] = GATHERED, flags | ChunkFlag.FIRST | ChunkFlag.LAST
        header["oldchecksum"], header["ts"] = writer.items, 10**9
        yield Drained(header, [writer.finish()], 1, count == 0)


class Once(Attachment):
    """Gives what it has, one thing at a time."""

    def __init__(self, *drained):
        super().__init__(gathers=True)
        self.left = list(drained)

    def drain(self, most):
        return self.left.pop(0) if self.left else Drained(empty_records(), [], 0)


def test_a_batch_of_hundreds_of_thousands_of_pages_is_given_in_parts():
    pages = 233_000
    events = EventStream(Once(*a_batch(pages)))
    sizes, found = [], []
    events.take()
    while not (events.quiet and not events.behind):
        found.append(events.take())
        sizes.append(len(found[-1]))
    assert max(sizes) <= 1.5 * events.portion.most
    whole = np.concatenate(found)
    examined = whole[whole["kind"] == EventKind.CMP_AND_MERGE_PAGE]
    assert (examined["address"] >> 12).tolist() == list(range(FIRST, FIRST + pages))


RECORDS = st.lists(
    st.one_of(
        st.sampled_from([EventKind.BREAK_COW, EventKind.COW_FAULT, MERGED]),
        st.tuples(st.integers(0, 40), st.booleans()),
    ),
    max_size=150,
)


class Bytes(Attachment):
    """A ring of these raw records, some of which were lost before."""

    def __init__(self, records, lost):
        super().__init__()
        self.data, self.at, self.dropped, self.sent = bytearray(), 0, lost, lost
        for record in records:
            head = empty_records(1)
            head["seq"] = self.sent % 65536
            words = b""
            if isinstance(record, tuple):
                items, inventory = record
                head["kind"], head["oldchecksum"] = GATHERED, items
                head["flags"] = ChunkFlag.INVENTORY if inventory else 0
                words = bytes(8 * (items + 1))
                self.sent += 1
            else:
                head["kind"] = record
                self.sent += 1 + (record == MERGED)
            payload = head.tobytes() + words
            self.data += struct.pack("<II", len(payload), 0) + payload

    @property
    def capacity(self):
        return len(self.data) // 72 + 1

    def drain(self, most):
        drained, taken = parse_ring(self.data, self.at, len(self.data) - self.at, most)
        self.at += taken
        return drained

    def lost(self):
        return self.dropped


@given(RECORDS, st.integers(0, 9), st.integers(0, 5), st.integers(1, 30))
def test_what_is_given_up_is_counted_to_the_last(records, lost, takes, most):
    """Some is taken, the rest given up: each record of the ring is given or lost, once."""
    ring = Bytes(records, lost)
    events = EventStream(ring)
    events.portion.most = most
    given = [events.take() for _ in range(takes)]
    while events.expanded:
        given.append(events.take())
    read = np.concatenate([empty_records(), *given])
    missed = [events.give_up(), events.missed()]
    whole = sum(
        1 + (record == MERGED)
        if not isinstance(record, tuple)
        else 0
        if record[1]
        else max(1, record[0])
        for record in records
    )
    seen = read[(read["kind"] != EventKind.LOST) & (read["kind"] != GATHERED)]
    told = read[(read["kind"] == GATHERED) & (read["flags"] & ChunkFlag.INVENTORY == 0)]
    taken = len(seen) + int(np.maximum(told["oldchecksum"], 1).sum())
    announced = int(read["aux"][read["kind"] == EventKind.LOST].sum())
    announced += sum(int(one["aux"].sum()) for one in missed)
    assert taken + announced == whole + lost
    assert not events.behind
    assert ring.drain(1).slots == 0


def test_a_batch_is_no_longer_than_others_can_wait():
    assert Portion().most <= MOST_EVENTS
