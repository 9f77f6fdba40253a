"""The ring that BPF programs write to: any bytes, through both of its readers."""

import struct

from ksmtrace.sources.live.ring import parse_callbacks, parse_ring
from support.runs import EMPTY
from support.streams import events

_EVENT = 64


def target(data):
    drained, taken = parse_ring(bytearray(data[: len(data) // 8 * 8]), 0, len(data) // 8 * 8)
    assert taken >= 0
    assert len(drained.words) == int((drained.events["kind"] == 255).sum())
    if len(data) >= _EVENT:
        parse_callbacks([data[: len(data) // 8 * 8]])


def seeds():
    records = events(*EMPTY, {"kind": 255}, {"kind": 1, "mm": 8}).events
    written = b"".join(
        struct.pack("<II", _EVENT + 8 * words, 0) + one.tobytes() + b"\7" * (8 * words)
        for one, words in zip(records, (0, 0, 0, 0, 3, 0), strict=True)
    )
    yield "events-and-a-chunk", written
    yield "being-written", written + struct.pack("<II", 1 << 31 | _EVENT, 0)
