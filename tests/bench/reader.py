"""What it costs to read where ksmd never sleeps: from the ring through every analyzer, by page.

PYTHONPATH=tests:. python tests/bench/reader.py [FILE]

12,000 pages as `busy.py` has them, but on the engine: 4,000 equal ones of which 100 are rewritten
before each pass, 4,000 without an equal, and 4,000 that change. What BPF would write of it is read
out of a ring of bytes. It is kept in FILE, or taken from there, so that what is compared, in a
guest or under another kind of emulation too, is what is read alone.
"""

import pickle
import sys
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

from ksmtrace.events import EventBatch, EventKind
from ksmtrace.pipeline.manager import build_manager
from ksmtrace.pipeline.options import RunOptions
from ksmtrace.pipeline.runner import Runner
from ksmtrace.session import Exactness, Probe
from ksmtrace.sources.engine import engine_session
from ksmtrace.sources.live.attachment import Attachment
from ksmtrace.sources.live.gathered.chunk import GATHERED
from ksmtrace.sources.live.ring import MOST_RECORDS, parse_ring
from ksmtrace.sources.live.stream import EventStream
from ksmtrace.workload.content import Content
from ksmtrace.workload.file import Step, Workload
from ksmtrace.workload.on_engine import Simulation
from support.gathered_engine import Gatherer

PAGES = 4000
REWRITTEN = 100
PAGES_TO_SCAN = 1000
CHUNK_ITEMS = 500
FIRST_PASSES, PASSES = 4, 40
PORTIONS = (MOST_RECORDS, 12_000, 1000)
SINKS = ("tui", "jsonl", "recorder", "prometheus")


class Ring(Attachment):
    """A ring that is filled by hand."""

    def __init__(self):
        super().__init__(gathers=True)
        self._data, self._at = b"", 0

    def fill(self, data):
        """This is what has arrived."""
        self._data, self._at = data, 0

    def drain(self, most):
        drained, taken = parse_ring(self._data, self._at, len(self._data) - self._at, most)
        self._at += taken
        return drained


class Filled:
    """What is in two rings: the first is read in peace, the second is timed.

    Attributes:
        seconds: CPU time of the second.
    """

    def __init__(self, session, first, second, portion):
        self.session = session
        self.seconds = 0.0
        self._rings = (first, MOST_RECORDS), (second, portion)

    def batches(self):
        ring = Ring()
        stream = EventStream(ring)
        for data, portion in self._rings:
            ring.fill(data)
            began = time.process_time()
            while True:
                stream.portion.most = portion  # however long it took
                yield EventBatch(stream.take())
                if not stream.behind:
                    break
            self.seconds = time.process_time() - began

    def stop(self):
        """It ends by itself."""

    def close(self):
        """Nothing is held."""


def steps():
    """Three processes, and passes with writes before each."""
    made = []
    for name, content in (("twins", "twin:1"), ("unique", "unique:1"), ("volatile", "unique:2")):
        region = {"process": name, "region": "r"}
        reach = {**region, "first": 0, "pages": PAGES}
        made += [
            Step("spawn", {"process": name}),
            Step("map", {**region, "pages": PAGES, "huge": False}),
            Step("fill", {**reach, "content": Content.parse(content)}),
            Step("mergeable", reach),
        ]
    for beat in range(FIRST_PASSES + PASSES):
        every = {"process": "volatile", "region": "r", "first": 0, "pages": PAGES}
        first = REWRITTEN * (beat % (PAGES // REWRITTEN))
        some = {"process": "twins", "region": "r", "first": first, "pages": REWRITTEN}
        made += [
            Step("poke", {**every, "offset": 0, "value": beat % 251}),
            Step("poke", {**some, "offset": 0, "value": 1}),
            Step("fill", {**some, "content": Content.parse("twin:1")}),
            Step("scan", {"passes": 1}),
        ]
    return made


def as_ring(pieces, numbers):
    """The bytes that BPF would have put into the ring, without faults, which are seen in windows
    alone."""
    parts = []
    for events, words in pieces:
        chunks = iter(words)
        for event in events[events["kind"] != EventKind.COW_FAULT]:
            event["seq"] = next(numbers) & 0xFFFF
            payload = event.tobytes()
            if event["kind"] == GATHERED:
                payload += next(chunks).tobytes()
            parts.append(len(payload).to_bytes(8, "little") + payload)
    return b"".join(parts)


def recorded():
    """(session, ring of the first passes, ring of the others, pages of those)."""
    made = steps()
    gatherer = Gatherer(CHUNK_ITEMS)
    workload = Workload("reader bench", "ksm-6.1", {"pages_to_scan": PAGES_TO_SCAN}, made)
    simulation = Simulation(workload, watcher=gatherer, mode="reference")
    scanner = simulation.engine.scanner
    gatherer.watch(simulation.engine)
    gatherer.sample(scanner.readings())
    first, second = [gatherer.take_raw()], []
    for step in simulation.run():
        gatherer.gather()
        (first if step < len(made) - 4 * PASSES else second).append(gatherer.take_raw())
    pages = sum(
        int(events["oldchecksum"][events["kind"] == GATHERED].sum()) for events, _ in second
    )
    session = engine_session(simulation.engine.variant, scanner)
    faults = Probe("", Exactness.SAMPLED, share=0.05)
    session = replace(session, probes={**session.probes, EventKind.COW_FAULT: faults})
    numbers = count()
    return session, as_ring(first, numbers), as_ring(second, numbers), pages


def kept(path):
    """What `recorded` gives, from a file if it is there."""
    if path.exists():
        return pickle.loads(path.read_bytes())
    found = recorded()
    path.write_bytes(pickle.dumps(found))
    return found


def main(path=None):
    """Print a line for each size of portions."""
    session, first, second, pages = kept(Path(path)) if path else recorded()
    for portion in PORTIONS:
        source = Filled(session, first, second, portion)
        manager = build_manager([f"no:{name}" for name in SINKS])
        runner = Runner(source, manager, RunOptions(interval=1e9), fail_fast=True)
        runner.run()
        found = runner.state
        print(
            f"portions of {portion:6}: {source.seconds / pages * 1e6:6.3f} us a page, "
            f"{pages / source.seconds / 1e6:5.3f} M pages/s; lost {found.lost}, passes "
            f"{found.passes}, differing {found.reconciliation.at_scan_stop_differing}"
        )


if __name__ == "__main__":
    main(*sys.argv[1:2])
