"""Causes against the engine, which knows every page, and against rows of which each has one."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from unit.engine.machines import machine, region, repeated, unique
from unit.engine.strategies import workloads

from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.engine.trace.emitter import Emitter
from ksmtrace.events import EventKind, Flag
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.plugins.volatile.cause import Cause
from ksmtrace.plugins.volatile.examinations import Examinations
from ksmtrace.sources.engine import EngineSource
from support.runs import EMPTY, IN_STABLE, TO_STABLE, TO_UNSTABLE, attempt, examined, lost, removed
from support.streams import events, session

BOTH_SIDES_OF_6_11 = pytest.mark.parametrize("variant", ["ksm-6.1", "ksm-6.12"])


class Followed:
    """An engine, and what its records say of causes."""

    def __init__(self, variant, **tunables):
        self._emitter = Emitter()
        self.engine = machine(variant, watcher=self._emitter, **tunables)
        self._reconstruction = Reconstruction(session())
        self.causes = Examinations(sees_attempts=True)
        self.follow()

    def follow(self):
        self._emitter.sample(self.engine.scanner.readings())
        batch = self._emitter.take()
        self._reconstruction.apply(batch)
        self.causes.apply(batch, self._reconstruction)

    def scan(self, passes=1):
        for _ in range(passes):
            self.engine.scan_passes(1)
            self.follow()
            self.causes.end_of_pass(self._reconstruction)

    def now(self):
        """(process, page number) of all rmap_items kept from their place, by cause."""
        items, owners = self._reconstruction.items, self.engine.processes
        name = {process.mm.key: name for name, process in owners.items()}
        found = {}
        for rows, cause in (
            (self.causes.unplaced(self._reconstruction), None),
            (self.causes.chain_full(self._reconstruction), Cause.CHAIN_FULL),
        ):
            for row in rows.tolist():
                why = Cause(int(self.causes.of[row])) if cause is None else cause
                page = int(items.address[row]) >> 12
                found.setdefault(why, []).append((name[int(items.mm[row])], page))
        return {cause: sorted(pages) for cause, pages in found.items()}

    def pages(self, process, region_name, numbers):
        """The same of pages of a region."""
        start = self.engine.processes[process].regions[region_name].first_vpn
        return [(process, start + number) for number in numbers]


@BOTH_SIDES_OF_6_11
def test_pages_that_change(variant):
    run = Followed(variant)
    region(run.engine, "p", "r", [1, 2, 3, 4])
    for beat in range(5):
        run.engine.poke("p", "r", 1, 2, 100, beat + 9)
        run.scan()
    assert run.now() == {Cause.CHANGED: run.pages("p", "r", [1, 2])}
    assert run.causes.counts[Cause.CHANGED] == 4 * 2
    assert run.causes.in_pass[Cause.CHANGED] == 2


@BOTH_SIDES_OF_6_11
def test_pages_that_a_fork_shares(variant):
    run = Followed(variant)
    region(run.engine, "p", "r", [1, 2, 3])
    run.engine.fork("p", "child")
    run.scan(4)
    assert run.now() == {Cause.FORK_SHARED: run.pages("child", "r", [0, 1, 2])}
    assert run.causes.counts[Cause.FORK_SHARED] == 3 * 3


@BOTH_SIDES_OF_6_11
def test_a_pinned_page_and_its_twin(variant):
    run = Followed(variant)
    region(run.engine, "p", "r", [1, 1, 2, 2])
    run.engine.pin("p", "r", 1)
    run.scan(3)
    assert run.now() == {Cause.HELD: run.pages("p", "r", [1])}
    assert run.causes.counts[Cause.HELD] == 2
    assert run.causes.counts[Cause.OTHER] == 0


@BOTH_SIDES_OF_6_11
def test_a_huge_page_that_is_held(variant):
    run = Followed(variant)
    run.engine.spawn("p")
    run.engine.map("p", "huge", 512, huge=True)
    run.engine.fill("p", "huge", 0, 512, unique(5))
    run.engine.mergeable("p", "huge", 0, 512)
    run.engine.pin("p", "huge", 7)
    region(run.engine, "q", "r", [None, None])
    run.engine.fill("q", "r", 0, 1, lambda _: unique(5)(40))
    run.engine.fill("q", "r", 1, 1, lambda _: unique(5)(41))
    run.scan(3)
    assert run.now() == {Cause.HUGE_PAGE: run.pages("q", "r", [0, 1])}
    assert run.causes.splits == 0
    run.engine.unpin("p")
    run.scan(2)
    assert run.now() == {}
    assert run.causes.splits == 1


def test_pages_that_smart_scan_passes_over():
    run = Followed("ksm-6.12", smart_scan=1)
    region(run.engine, "p", "r", [1, 2, 3])
    run.scan(5)
    assert run.now() == {Cause.SKIPPED: run.pages("p", "r", [0, 1, 2])}
    assert run.causes.counts[Cause.SKIPPED] == 3
    run.scan()
    assert run.now() == {}


@BOTH_SIDES_OF_6_11
def test_pages_whose_chain_is_full(variant):
    run = Followed(variant, max_page_sharing=2)
    region(run.engine, "p", "r", [1, 1, 1, 1, 1, 1, 1, 2])
    run.scan(3)
    (waiting,) = run.now()[Cause.CHAIN_FULL]
    assert waiting in run.pages("p", "r", range(7))
    assert set(run.now()) == {Cause.CHAIN_FULL}
    assert run.causes.counts[Cause.CHAIN_FULL] == 2
    region(run.engine, "q", "r", [1, 9])
    run.scan(3)
    assert run.now() == {}


def test_a_page_that_went_to_another_ksm_page_is_no_longer_equal_to_its_first():
    """Before 6.11 no checksum is taken on the way: what a page was known to be says nothing of
    where it is now."""
    run = Followed("ksm-6.1")
    region(run.engine, "p", "r", [1, 1, 2])
    region(run.engine, "q", "r", [2])
    run.scan(2)
    run.engine.fill("q", "r", 0, 1, repeated(1))
    run.scan()
    assert run.engine.counters()["pages_sharing"] == 2  # three of content 1, and p's with its own
    run.engine.fill("p", "r", 2, 1, repeated(2))
    run.scan()
    assert run.engine.counters()["pages_unshared"] == 1
    assert run.now() == {}


@BOTH_SIDES_OF_6_11
def test_pages_whose_address_goes(variant):
    run = Followed(variant)
    region(run.engine, "p", "r", [1, 2, 3, 4, 5, 5])
    region(run.engine, "q", "r", [6, 7, 8])
    run.scan(2)
    run.engine.unmap("p", "r", 2, 4)
    run.engine.exit("q")
    run.scan()
    assert run.causes.counts[Cause.GONE] == 2 + 3  # and two that were merged
    by_mm = {tally.process.mm: tally for tally in run.causes.tallies.values()}
    assert [int(tally.counts[Cause.GONE]) for tally in by_mm.values()] == [2]
    assert run.causes.exited[Cause.GONE] == 3


@BOTH_SIDES_OF_6_11
def test_a_page_replaced_by_the_zero_page_wants_nothing(variant):
    run = Followed(variant, use_zero_pages=1)
    region(run.engine, "p", "r", [0, 0, 1])
    run.scan(2)
    assert run.now() == {Cause.ZERO_PAGE: run.pages("p", "r", [0, 1])}


BEFORE_THE_SEARCH = (Cause.FIRST_LOOK, Cause.CHANGED, Cause.SKIPPED)
"""A page that a fork shares is put down to these first: ksmd did not come to search the unstable
tree."""


def pages(items, rows):
    """(mm, page number) of rmap_items."""
    return set(zip(items.mm[rows].tolist(), (items.address[rows] >> 12).tolist(), strict=True))


def met_again(batch):
    """Pages whose frame ksmd had put into the unstable tree already, under another address
    space."""
    found, in_tree = set(), set()
    for event in batch.of(EventKind.CMP_AND_MERGE_PAGE):
        if event["pfn"] in in_tree:
            found.add((int(event["mm"]), int(event["address"]) >> 12))
        if event["flags"] & Flag.UNSTABLE_AFTER:
            in_tree.add(event["pfn"])
    return found


@settings(max_examples=150, deadline=None)
@given(workloads(variants=("ksm-5.10", "ksm-6.1", "ksm-6.12", "ksm-6.18")))
def test_what_it_says_of_forks_and_chains_is_so(workload):
    """After each pass in one batch: nobody named wrongly, no shared page forgotten."""
    steps = tuple(
        s for s in workload.steps if "pages_to_scan" not in s.arguments.get("tunables", ())
    )
    tunables = {**workload.tunables, "pages_to_scan": 1000}
    workload = replace(workload, tunables=tunables, steps=steps)
    source = EngineSource(workload, mode="reference")  # `_truth` looks at every rmap_item
    ksm = source._simulation.engine.ksm
    reconstruction, causes = Reconstruction(source.session), Examinations(sees_attempts=True)
    named = set()
    for batch in source.batches():
        reconstruction.apply(batch)
        causes.apply(batch, reconstruction)
        scanned = batch.kind[batch.kind != EventKind.SAMPLE]
        if not len(scanned) or scanned[-1] != EventKind.SCAN_STOP:
            continue
        items = reconstruction.items
        unplaced = causes.unplaced(reconstruction)
        assert len(unplaced) == source._simulation.engine.counters()["pages_volatile"]
        forked = unplaced[causes.of[unplaced] == Cause.FORK_SHARED]
        full = causes.chain_full(reconstruction)
        shared, waiting = _truth(ksm)
        assert pages(items, forked) <= met_again(batch) | named
        named = pages(items, forked)
        unnamed = unplaced[~np.isin(causes.of[unplaced], [Cause.FORK_SHARED, *BEFORE_THE_SEARCH])]
        assert not pages(items, unnamed) & shared
        assert pages(items, full) <= waiting


def _truth(ksm):
    """Pages in neither tree that are mapped by an rmap_item of the unstable tree too; pages of that
    tree equal to a KSM page."""
    by_tree = {tree: [] for tree in Tree}
    slot = ksm.mm_head.next
    while slot is not ksm.mm_head:
        items = (item for block in slot.mm.ptes.blocks.values() for item in block.items)
        for item in filter(None, items):
            by_tree[item.tree].append((item, item.mm.ptes.get(item.vpn)))
        slot = slot.next
    there = {page for _, page in by_tree[Tree.UNSTABLE]}
    merged = {page.data for _, page in by_tree[Tree.STABLE] if page is not None and page.ksm}
    shared = {(item.mm.key, item.vpn) for item, page in by_tree[Tree.NEITHER] if page in there}
    waiting = {
        (item.mm.key, item.vpn) for item, page in by_tree[Tree.UNSTABLE] if page.data in merged
    }
    return shared, waiting


STATE = Flag.PAGE_STATE
FAILED = -14


def causes_of(*rows, sees_attempts=True):
    """Pages by cause after these rows."""
    reconstruction, causes = Reconstruction(session()), Examinations(sees_attempts=sees_attempts)
    for batch in (events(*EMPTY), *(events(row) for row in rows)):
        reconstruction.apply(batch)
        causes.apply(batch, reconstruction)
    return Counter(Cause(c) for c in causes.of[causes.unplaced(reconstruction)].tolist())


def tried(item=1, *, err=FAILED, flags=STATE, references=2, mappings=1):
    return {**attempt(item, err=err, flags=flags), "oldchecksum": references, "checksum": mappings}


UNCHANGED = examined(1, old=5, new=5)


@pytest.mark.parametrize(
    ("attempts", "cause"),
    [
        ([], Cause.FORK_SHARED),
        ([tried()], Cause.OTHER),
        ([tried(references=3)], Cause.HELD),
        ([tried(flags=STATE | Flag.LOCKED)], Cause.HELD),
        ([tried(flags=STATE | Flag.LOCKED | Flag.COMPOUND)], Cause.HELD),
        ([tried(flags=STATE | Flag.COMPOUND, references=9)], Cause.HUGE_PAGE),
        ([tried(flags=STATE | Flag.WAS_COMPOUND)], Cause.OTHER),
        ([tried(flags=0, references=9)], Cause.OTHER),
        ([tried(err=0, flags=STATE), tried(2, references=4)], Cause.HELD),
        ([tried(references=4), tried(2, flags=STATE | Flag.COMPOUND)], Cause.HUGE_PAGE),
        ([tried(err=0, flags=STATE)], Cause.OTHER),
        ([tried(err=0, flags=STATE | Flag.ZERO_PAGE)], Cause.ZERO_PAGE),
        ([tried(references=3), lost()], Cause.OTHER),
    ],
)
def test_what_an_attempt_says(attempts, cause):
    assert causes_of(*attempts, UNCHANGED) == {cause: 1}


def test_without_attempts_the_reason_is_not_known():
    assert causes_of(UNCHANGED, sees_attempts=False) == {Cause.OTHER: 1}


@pytest.mark.parametrize(
    ("rows", "cause"),
    [
        ([examined(1, old=0, new=5)], Cause.FIRST_LOOK),
        ([examined(1, old=4, new=5)], Cause.CHANGED),
        ([examined(1, old=4, new=5), {"kind": EventKind.SKIPPED, "rmap_item": 1}], Cause.SKIPPED),
        ([{"kind": EventKind.SKIPPED, "rmap_item": 1}, UNCHANGED], Cause.FORK_SHARED),
        (
            [examined(1, TO_STABLE, old=4, new=4, node=7), removed(1, IN_STABLE)],
            Cause.NONE,
        ),
        (
            [examined(1, old=4, new=5), examined(1, TO_UNSTABLE, old=5, new=5), removed(1, 0)],
            Cause.NONE,
        ),
    ],
)
def test_the_last_look_counts(rows, cause):
    assert causes_of(*rows) == {cause: 1}
