"""What the engine does, told by intercepting and by gathering."""

from contextlib import suppress

import numpy as np
from hypothesis import strategies as st

from ksmtrace.engine.trace.emitter import Emitter
from ksmtrace.events import EventKind
from ksmtrace.sources.live.gathered.chunk import GATHERED
from ksmtrace.sources.live.gathered.expander import Expander
from ksmtrace.workload.on_engine import Simulation
from ksmtrace.workload.tunables import RefusedError
from support.gathered_engine import Both, comparable
from support.reused_addresses import Freed, reuse_addresses

OF_ITEMS = [
    EventKind.CMP_AND_MERGE_PAGE,
    EventKind.SKIPPED,
    EventKind.TRY_TO_MERGE_ONE_PAGE,
    EventKind.REPLACE_PAGE,
    EventKind.STABLE_APPEND,
    EventKind.BREAK_COW,
]


class Twice:
    """An engine's run, and both streams of it.

    Args:
        workload: what runs.
        gatherer: writes what is gathered.
        reuse: whether addresses of what is gone are given out again.
        options: of the simulation.

    Attributes:
        asked: how often a baseline was asked for.
        expanded: pieces of the one stream; `emitter` has the other.
    """

    def __init__(self, workload, gatherer, *, reuse=False, **options):
        self.emitter, self.gatherer, freed = Emitter(), gatherer, Freed()
        self.asked = 0
        self.expander = Expander(self._ask, self._pages_to_scan)
        watchers = (self.emitter, gatherer, *((freed,) if reuse else ()))
        self.simulation = Simulation(workload, watcher=Both(*watchers), mode="reference", **options)
        if reuse:
            reuse_addresses(self.simulation.engine, freed)
        gatherer.watch(self.simulation.engine)
        self.expanded = []

    def _ask(self):
        self.asked += 1

    def _pages_to_scan(self):
        return self.simulation.engine.ksm.tunables["pages_to_scan"]

    def run(self):
        """The steps under way, one by one; after each ksmd goes to sleep, unless `miss` is called
        first."""
        with suppress(RefusedError):
            yield from self.simulation.run()

    def drain(self, cut=None):
        """Read the ring, at once or as `cut`, a strategy's draws, divides it."""
        events, words = self.gatherer.take_raw()
        while cut is not None and len(events) and cut.draw(st.booleans()):
            part = cut.draw(st.integers(0, len(events)))
            chunks = int((events["kind"][:part] == GATHERED).sum())
            self.expanded.append(self.expander.feed(events[:part], words[:chunks]))
            events, words = events[part:], words[chunks:]
        self.expanded.append(self.expander.feed(events, words))

    def end(self):
        """(intercepted, expanded) events since `begin_anew`, or since the beginning."""
        self.gatherer.gather()
        self.drain()
        self.expanded.append(self.expander.flush())
        return self.emitter.take().events, np.concatenate(self.expanded)

    def begin_anew(self):
        """Forget what both have told, and what the expander holds until ksmd's batch ends."""
        self.emitter.take()
        self.expander.flush()
        self.expanded = []


def by_mm(records):
    """What befell the items of each mm, in order."""
    records = records[np.isin(records["kind"], OF_ITEMS)]
    return {mm: comparable(records[records["mm"] == mm]) for mm in set(records["mm"].tolist())}


def without(records, kinds):
    """The records of other kinds."""
    return records[~np.isin(records["kind"], kinds)]
