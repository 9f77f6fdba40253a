"""What reading costs where ksmd never sleeps: from the ring through every analyzer, a page.

PYTHONPATH=tests:. python tests/bench/reader.py [--profile] [--portion EVENTS]

12,000 pages as `busy.py` has them, on the engine: 4,000 equal ones of which 100 are rewritten
before each pass, 4,000 without an equal, 4,000 that change. What BPF would write of it is in a ring
of bytes, and is read from there.
"""

import argparse
import cProfile
import pstats
import time

import numpy as np

from ksmtrace.events import EventBatch, empty_records
from ksmtrace.pipeline.manager import build_manager
from ksmtrace.pipeline.options import RunOptions
from ksmtrace.pipeline.runner import Runner
from ksmtrace.sources.engine import engine_session
from ksmtrace.sources.live.attachment import Attachment
from ksmtrace.sources.live.gathered.chunk import GATHERED
from ksmtrace.sources.live.ring import parse_ring
from ksmtrace.sources.live.stream import EventStream
from ksmtrace.workload.content import Content
from ksmtrace.workload.file import Step, Workload
from ksmtrace.workload.on_engine import Simulation
from support.gathered_engine import Gatherer

PAGES = 4000
PAGES_TO_SCAN = 1000
CHUNK_ITEMS = 500
PORTIONS = (1 << 16, 12_000, 1000)
SINKS = ("tui", "jsonl", "recorder", "prometheus")


def steps(passes):
    """Three processes, and full passes with writes before each."""
    made = []
    for name, content in (("twins", "twin:1"), ("unique", "unique:1"), ("volatile", "unique:2")):
        region = {"process": name, "region": "r"}
        made += [
            Step("spawn", {"process": name}),
            Step("map", {**region, "pages": PAGES, "huge": False}),
            Step("fill", {**region, "first": 0, "pages": PAGES, "content": Content.parse(content)}),
            Step("mergeable", {**region, "first": 0, "pages": PAGES}),
        ]
    for beat in range(passes):
        every = {"process": "volatile", "region": "r", "first": 0, "pages": PAGES}
        some = {"process": "twins", "region": "r", "first": 100 * (beat % 40), "pages": 100}
        made += [
            Step("poke", {**every, "offset": 0, "value": beat % 251}),
            Step("poke", {**some, "offset": 0, "value": 1}),
            Step("fill", {**some, "content": Content.parse("twin:1")}),
            Step("scan", {"passes": 1}),
        ]
    return made


class Ring(Attachment):
    """A ring that has been filled."""

    def __init__(self, data):
        super().__init__(gathers=True)
        self._data, self._at = data, 0

    def drain(self, most):
        drained, taken = parse_ring(self._data, self._at, len(self._data) - self._at, most)
        self._at += taken
        return drained

    def fill(self, data):
        """What has arrived since."""
        self._data, self._at = data, 0

    @property
    def capacity(self):
        return 1 << 17


class Filled:
    """A source of what is in two rings: the first is read in peace, the second is timed."""

    def __init__(self, session, first, second, portion):
        self.session = session
        self._rings = first, second
        self._portion = portion
        self.seconds = 0.0

    def batches(self):
        ring = Ring(b"")
        stream = EventStream(ring)
        for number, data in enumerate(self._rings):
            ring.fill(data)
            began = time.process_time()
            if number and PROFILE is not None:
                PROFILE.enable()
            while True:
                stream.portion.most = self._portion if number else PORTIONS[0]
                stream._given = None  # the portion stays as it is
                yield EventBatch(stream.take())
                if not stream.behind:
                    break
            if number and PROFILE is not None:
                PROFILE.disable()
            self.seconds = time.process_time() - began

    def stop(self):
        pass

    def close(self):
        pass


PROFILE = None


def as_ring(events, words):
    """The bytes that BPF would have put into the ring."""
    parts, chunks = [], iter(words)
    for event in events:
        payload = event.tobytes()
        if event["kind"] == GATHERED:
            payload += next(chunks).tobytes()
        parts.append(len(payload).to_bytes(8, "little") + payload)
    return b"".join(parts)


def recorded(passes, variant="ksm-6.1", warm=4):
    """(session, ring of the first passes, ring of the others, pages of those)."""
    made = steps(warm + passes)
    tunables = {"pages_to_scan": PAGES_TO_SCAN}
    gatherer = Gatherer(CHUNK_ITEMS)
    workload = Workload("reader bench", variant, tunables, made)
    simulation = Simulation(workload, watcher=gatherer, mode="reference")
    session = engine_session(simulation.engine.variant, simulation.engine.scanner)
    gatherer.watch(simulation.engine)
    gatherer.sample(simulation.engine.scanner.readings())
    first = gatherer.take_raw()
    session_rings = []
    begins = len(made) - 4 * passes
    pieces = [first]
    for step in simulation.run():
        gatherer.gather()
        if step >= begins and not session_rings:
            session_rings.append(whole(pieces))
            pieces = []
        pieces.append(gatherer.take_raw())
    session_rings.append(whole(pieces))
    (one, _), (two, words) = session_rings[0], session_rings[1]
    pages = int(two["oldchecksum"][two["kind"] == GATHERED].sum())
    return session, as_ring(*session_rings[0]), as_ring(two, words), pages


def whole(pieces):
    records = np.concatenate([events for events, _ in pieces] or [empty_records()])
    return records, [one for _, words in pieces for one in words]


def run(session, first, second, portion):
    manager = build_manager([f"no:{name}" for name in SINKS])
    source = Filled(session, first, second, portion)
    runner = Runner(source, manager, RunOptions(interval=1e9), fail_fast=True)
    runner.run()
    return source, runner


def main():
    global PROFILE
    parser = argparse.ArgumentParser()
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--passes", type=int, default=40)
    parser.add_argument("--portion", type=int)
    parser.add_argument("--kept")
    options = parser.parse_args()
    import os
    import pickle

    if options.kept and os.path.exists(options.kept):
        session, first, second, pages = pickle.load(open(options.kept, "rb"))
    else:
        session, first, second, pages = recorded(options.passes)
        if options.kept:
            pickle.dump((session, first, second, pages), open(options.kept, "wb"))
    for portion in [options.portion] if options.portion else PORTIONS:
        if options.profile:
            PROFILE = cProfile.Profile()
        source, runner = run(session, first, second, portion)
        check = runner.state.reconciliation
        events = int(runner.state.by_kind.sum())
        print(
            f"portions of {portion:6}: {source.seconds / pages * 1e6:6.3f} us a page, "
            f"{pages / source.seconds / 1e6:5.2f} M pages/s; {pages:,} pages, {events:,} events, "
            f"lost {runner.state.lost}, passes {runner.state.passes}, "
            f"differing {check.at_scan_stop_differing} of {check.at_scan_stop}"
        )
        print(
            "   ",
            {
                n: round(s * 1e6 / pages, 3)
                for n, s in sorted(runner.calls.seconds.items(), key=lambda x: -x[1])
                if s * 1e6 / pages > 0.001
            },
        )
        if options.profile:
            stats = pstats.Stats(PROFILE)
            stats.sort_stats(os.environ.get("SORT", "tottime")).print_stats(
                "ksmtrace|plugins", 75
            ) if os.environ.get("SORT") else stats.sort_stats("tottime").print_stats(60)


if __name__ == "__main__":
    main()
