"""What is gathered once a batch: any headers, words and records, through the expander."""

import numpy as np

from ksmtrace.events import RECORD
from ksmtrace.sources.live.gathered.chunk import GATHERED, count_items
from ksmtrace.sources.live.gathered.expander import Expander
from ksmtrace.workload.file import parse_workload
from support.gathered_engine import Gatherer
from support.told_twice import Twice
from support.workload_steps import workload_toml

_MOST = 100
_MOST_ITEMS = 1 << 18
_CLOCK = np.uint64((1 << 62) - 1)
_STEPS = (
    "spawn a", "map a r 9", "fill a r pages=5 content=byte:97", "mergeable a r", "scan 3",
    "fork a child=b", "poke a r pages=2 offset=0 value=1", "scan 2", "exit a", "scan 1",
)  # fmt: skip


def target(data):
    """Words follow the record whose they are; `cpu` of a chunk's header tells how many.

    BPF gives up a walk that is too long (GATHER_CEILING).
    Times are those of a clock, and counts those of the kernel, which BPF reads.
    """
    expander, at, size = Expander(), 0, RECORD.itemsize
    data, room = data[: _MOST * size], _MOST_ITEMS
    while at + size <= len(data):
        record = np.frombuffer(data, RECORD, 1, at).copy()
        record["ts"] &= _CLOCK
        at += size
        words = []
        if record["kind"][0] == GATHERED:
            for name in ("pfn", "rmap_item", "aux"):
                record[name] &= _CLOCK
            count = min(int(record["cpu"][0]) & 0xFF, (len(data) - at) // 8)
            words = [np.frombuffer(data, "<u8", count, at).copy()]
            at += 8 * count
            room -= count_items(words[0])
            if room < 0:
                return
        expander.feed(record, words)
    expander.release(1 << 62)
    expander.flush()


def seeds():
    workload = parse_workload(workload_toml(*_STEPS).encode(), "seed")
    twice = Twice(workload, Gatherer(3), variant="ksm-6.18")
    told = []
    for _ in twice.run():
        twice.gatherer.gather()
        told.append(twice.gatherer.take_raw())
    written = b""
    for events, chunks in told:
        left = iter(chunks)
        for row in range(len(events)):
            record = events[row : row + 1].copy()
            words = next(left) if record["kind"][0] == GATHERED else ()
            record["cpu"] = len(words)
            written += record.tobytes() + np.array(words, dtype="<u8").tobytes()
    yield "a-run", written
    yield "its-beginning", written[:600]
