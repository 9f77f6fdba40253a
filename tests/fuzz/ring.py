"""The ring that BPF programs write to: records of any content and length, through its readers.

Where a record begins and how long it is, the kernel says (bpf_ringbuf_reserve): it lies in the
ring.
"""

import struct

from ksmtrace.events import RECORD
from ksmtrace.sources.live.ring import parse_callbacks, parse_ring
from support.runs import EMPTY
from support.streams import events

_EVENT = RECORD.itemsize
_KIND = RECORD.fields["kind"][1]
_MOST_WORDS = 1016
_FLAGS = (0, 0, 0, 0, 0, 0, 1 << 30, 1 << 31)


def target(data):
    """The first two bytes of each record are its mark, and its words beyond those of an event."""
    ring, whole, at = bytearray(), [], 0
    most = 1 + len(data) % 99
    while at + 2 < len(data):
        flag, count = _FLAGS[data[at] % len(_FLAGS)], min(4 * data[at + 1], _MOST_WORDS)
        payload = data[at + 2 : at + 2 + _EVENT + 8 * count]
        payload += bytes(-len(payload) % 8 if len(payload) >= _EVENT else _EVENT - len(payload))
        at += 2 + _EVENT + 8 * count
        if len(payload) > _EVENT:  # chunks alone have words
            payload = payload[:_KIND] + b"\xff" + payload[_KIND + 1 :]
        ring += struct.pack("<II", len(payload) | flag, 0) + payload
        whole += [payload] if flag == 0 else []
    drained, taken = parse_ring(ring, 0, len(ring), most)
    assert 0 <= taken <= len(ring)
    assert len(drained.words) == int((drained.events["kind"] == 255).sum())
    parse_callbacks(whole)


def seeds():
    records = events(*EMPTY, {"kind": 255}, {"kind": 1, "mm": 8}).events
    written = b"".join(
        bytes((0, words)) + one.tobytes() + b"\7" * (32 * words)
        for one, words in zip(records, (0, 0, 0, 0, 3, 0), strict=True)
    )
    yield "events-and-a-chunk", written
    yield "being-written", written + b"\7\0" + bytes(_EVENT) + written
