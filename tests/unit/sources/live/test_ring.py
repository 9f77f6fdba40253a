"""Records of both lengths come out of a ring in order, whole, and as far as they are written."""

import ctypes
import struct
from itertools import cycle

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.events import RECORD, EventKind, empty_records
from ksmtrace.sources.live.gathered.chunk import GATHERED, ChunkFlag
from ksmtrace.sources.live.gathered.merged import MERGED
from ksmtrace.sources.live.ring import CallbackRing, parse_callbacks, parse_ring

BUSY, DISCARDED = 1 << 31, 1 << 30
ITEMS = slice(RECORD.fields["oldchecksum"][1], RECORD.fields["oldchecksum"][1] + 4)

TWO = -1

RECORDS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.just(TWO), st.integers(0, 3), st.just(9), st.integers(0, 40)),
        st.sampled_from([0, 0, 0, 0, DISCARDED]),
    ),
    max_size=200,
)


def written(record, number):
    """The bytes of an event (None), of two, or of a chunk with so many words."""
    event = empty_records(1)
    event["kind"] = EventKind.BREAK_COW if record in (None, TWO) else GATHERED
    event["ts"] = number
    if record == TWO:
        return event.tobytes() + struct.pack("<II", event.nbytes, 0) + event.tobytes()
    words = np.arange(record or 0, dtype="<u8") + number
    return event.tobytes() + words.tobytes()


@given(RECORDS, st.integers(0, 200), st.integers(0, 8))
def test_what_was_written_is_read(records, busy, before):
    data, expected, words, whole = bytearray(before * 8), [], [], before * 8
    for number, (record, mark) in enumerate(records):
        payload = written(record, number)
        flags = mark | (BUSY if number == busy else 0)
        data += struct.pack("<II", len(payload) | flags, 0) + payload
        if number < busy:
            whole = len(data)
            if not mark:
                expected += [number] * (2 if record == TWO else 1)
                if record not in (None, TWO):
                    words.append([number + at for at in range(record)])
    drained, taken = parse_ring(data, before * 8, len(data) - before * 8)
    assert drained.events["ts"].tolist() == expected
    assert [found.tolist() for found in drained.words] == words
    assert taken == whole - before * 8
    assert drained.slots == taken // 72
    assert np.count_nonzero(drained.events["kind"] == GATHERED) == len(words)


def ring_of(records):
    """The bytes of whole records; a chunk's header tells as many items as it has words."""
    data = bytearray()
    for number, (record, mark) in enumerate(records):
        payload = bytearray(written(record, number))
        payload[ITEMS] = struct.pack("<I", max(record or 0, 0))
        data += struct.pack("<II", len(payload) | mark, 0) + payload
    return data


@given(RECORDS, st.lists(st.integers(1, 60), min_size=1))
def test_a_bounded_part_at_a_time_is_the_same_in_all(records, sizes):
    """Whatever is asked for: the same records in order, each part as large as asked for, except by
    the items of its last chunk, or the second of its last two."""
    data = ring_of(records)
    whole, _ = parse_ring(data, 0, len(data), 1 << 30)
    assert not whole.more
    parts, at = [], 0
    for most in cycle(sizes):
        drained, taken = parse_ring(data, at, len(data) - at, most)
        at += taken
        assert drained.more == (at < len(data))
        weights = (drained.events["oldchecksum"] + 1).tolist()
        before_last = drained.events["ts"] != drained.events["ts"][-1:]
        assert sum(np.array(weights)[before_last]) < most
        assert not drained.more or taken
        parts.append(drained)
        if not drained.more:
            break
    assert np.concatenate([part.events for part in parts]).tobytes() == whole.events.tobytes()
    words = [one.tolist() for part in parts for one in part.words]
    assert words == [one.tolist() for one in whole.words]
    assert sum(part.records for part in parts) == whole.records


class Libbpf:
    """Hands records to a callback one by one until it returns less than 0, as ring_buffer__consume
    does; the record at which it does so has been consumed."""

    def __init__(self, payloads):
        self.payloads, self.ring, self.bpf = payloads, self, self

    def open_ring_buffer(self, take):
        self.take = take

    def ring_buffer_consume(self):
        while self.payloads:
            payload = self.payloads.pop(0)
            buffer = ctypes.create_string_buffer(payload, len(payload))
            if self.take(None, ctypes.addressof(buffer), len(payload)) < 0:
                break


@given(RECORDS, st.integers(1, 60))
def test_bccs_reader_is_bounded_alike(records, most):
    records = [(record, 0) for record, _ in records]
    data = ring_of(records)
    program = Libbpf([bytes(one) for one in split(data)])
    ring, at = CallbackRing(program, 4096), 0
    while at < len(data):
        mapped, taken = parse_ring(data, at, len(data) - at, most)
        drained = ring.drain(most)
        at += taken
        assert drained.events.tobytes() == mapped.events.tobytes()
        assert [one.tolist() for one in drained.words] == [one.tolist() for one in mapped.words]
        assert drained.more or not mapped.more
    assert ring.drain(most).slots == 0


def split(data):
    """The payloads of a ring's records."""
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        yield data[at + 8 : at + 8 + length]
        at += 8 + (length + 7 & ~7)


def test_what_is_lost_of_a_ring_is_what_bpf_would_have_counted():
    """A chunk is its items, at least one; an inventory is nothing that happened; a joined record is
    two."""
    events = empty_records(5)
    events["kind"] = [EventKind.BREAK_COW, GATHERED, GATHERED, GATHERED, MERGED]
    events["oldchecksum"][1:4] = [1000, 0, 70]
    events["flags"][3] = ChunkFlag.INVENTORY
    payloads = [event.tobytes() + bytes(8 * int(event["kind"] == GATHERED)) for event in events]
    assert parse_callbacks(payloads).records == 1 + 1000 + 1 + 0 + 2


@given(RECORDS)
def test_one_by_one_they_are_the_same(records):
    payloads = [written(record, number) for number, (record, _) in enumerate(records)]
    drained = parse_callbacks(payloads)
    data = b"".join(struct.pack("<II", len(payload), 0) + payload for payload in payloads)
    mapped, _ = parse_ring(data, 0, len(data))
    assert drained.events.tobytes() == mapped.events.tobytes()
    assert [one.tolist() for one in drained.words] == [one.tolist() for one in mapped.words]
    assert drained.slots == mapped.slots
