"""Records of both lengths come out of a ring in order, whole, and as far as they are written."""

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.events import EventKind, empty_records
from ksmtrace.sources.live.gathered.chunk import GATHERED
from ksmtrace.sources.live.ring import parse_callbacks, parse_ring

BUSY, DISCARDED = 1 << 31, 1 << 30

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


@given(RECORDS)
def test_one_by_one_they_are_the_same(records):
    payloads = [written(record, number) for number, (record, _) in enumerate(records)]
    drained = parse_callbacks(payloads)
    data = b"".join(struct.pack("<II", len(payload), 0) + payload for payload in payloads)
    mapped, _ = parse_ring(data, 0, len(data))
    assert drained.events.tobytes() == mapped.events.tobytes()
    assert [one.tolist() for one in drained.words] == [one.tolist() for one in mapped.words]
    assert drained.slots == mapped.slots
