"""Both modes decide alike: equal counters after every batch, equal events one by one.

Comparisons are equal where the accelerated mode counts them; where it does not, all else is.
"""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.engine.machines import MODES, unique
from unit.engine.strategies import workloads
from unit.engine.test_random_workloads import check_state

from ksmtrace.engine.engine import Engine
from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.engine.ksm.watcher import Watcher
from ksmtrace.engine.trace.emitter import Emitter
from ksmtrace.engine.variants import KERNELS, NEWEST
from ksmtrace.errors import KsmtraceError
from ksmtrace.sources.engine import EngineSource
from ksmtrace.workload.file import Workload
from ksmtrace.workload.on_engine import Simulation, simulate
from ksmtrace.workload.tunables import RefusedError
from support.random_workloads import random_workloads

SETTINGS = {"deadline": None}


def run(workload, mode, looks=None):
    """After every batch and step: the counters, the bytes of the records, and the comparisons.

    With `looks`, the seed of chance, somebody looks at single pages in between, of which objects
    are made.
    """
    chance = random.Random(looks)
    emitter = Emitter()
    simulation = Simulation(workload, watcher=emitter, **MODES[mode])
    engine = simulation.engine
    try:
        for _ in simulation.run():
            yield engine.counters(), emitter.take().events.tobytes(), engine.scanner.comparisons
            if looks is not None:
                look(engine, chance)
    except RefusedError as error:
        yield str(error), b"", None


def look(engine, chance):
    """At one page of every region, or at none."""
    for process in engine.processes.values():
        for region in process.regions.values():
            if chance.random() < 0.3:
                process.mm.ptes.get(region.first_vpn + chance.randrange(region.pages))


def check_equal(workload, looks=None):
    runs = (run(workload, mode, None if mode == "reference" else looks) for mode in MODES)
    for number, (expected, counting, found) in enumerate(zip(*runs, strict=True)):
        assert counting == expected, number
        assert found == (*expected[:2], None), number


@settings(max_examples=300, **SETTINGS)
@given(workloads(variants=tuple(KERNELS)))
def test_modes_agree(workload):
    check_equal(workload)


@settings(max_examples=300, **SETTINGS)
@given(random_workloads())
def test_modes_agree_on_what_kernels_are_asked(workload):
    check_equal(workload)


@settings(max_examples=20, **SETTINGS)
@given(workloads(variants=tuple(KERNELS), most_steps=8, huge=True))
def test_modes_agree_on_huge_pages(workload):
    check_equal(workload)


WIDE = workloads(variants=tuple(KERNELS), most_steps=10, wide=True)


@settings(max_examples=30, **SETTINGS)
@given(WIDE)
def test_modes_agree_on_wide_regions(workload):
    check_equal(workload)


@settings(max_examples=30, **SETTINGS)
@given(WIDE, st.integers(0, 2**32))
def test_a_look_at_a_page_in_mid_pass_changes_nothing(workload, seed):
    check_equal(workload, seed)


@settings(max_examples=100, **SETTINGS)
@given(workloads(variants=tuple(KERNELS)), st.integers(0, 2**32))
def test_nor_does_it_in_small_regions(workload, seed):
    check_equal(workload, seed)


@settings(max_examples=50, **SETTINGS)
@given(random_workloads())
def test_groups_are_the_same(workload):
    try:
        expected = simulate(workload, mode="reference")["snapshots"]
    except RefusedError:
        return
    for mode in MODES.values():
        assert simulate(workload, **mode)["snapshots"] == expected


def settled(mode="accelerated without comparisons", pages=100):
    """An engine with `pages` pages unlike each other, in their fourth pass, and its emitter."""
    emitter = Emitter()
    engine = Engine(
        NEWEST, {"pages_to_scan": 1000, "smart_scan": 0}, watcher=emitter, **MODES[mode]
    )
    engine.spawn("p")
    engine.map("p", "r", pages)
    engine.fill("p", "r", 0, pages, unique(1))
    engine.mergeable("p", "r", 0, pages)
    engine.scan_passes(3)
    emitter.take()
    return engine, emitter


def test_no_objects_are_made_of_pages_that_nobody_looks_at():
    engine, _ = settled()
    (block,) = engine.processes["p"].mm.ptes.blocks.values()
    assert block.frozen
    assert not engine.ksm.unstable_roots[0].rb_node


CHANGES = {
    "write": lambda engine: engine.fill("p", "r", 50, 1, unique(2)),
    "discard": lambda engine: engine.discard("p", "r", 50, 3),
    "unmap": lambda engine: engine.unmap("p", "r", 50, 3),
    "unmergeable": lambda engine: engine.unmergeable("p", "r", 50, 3),
    "fork": lambda engine: engine.fork("p", "c"),
    "fork and write": lambda engine: (
        engine.fork("p", "c"),
        engine.fill("c", "r", 9, 9, unique(1)),
    ),
    "unmerge": lambda engine: engine.write_run(2),
    "zero pages": lambda engine: engine.write_tunable("use_zero_pages", 1),
    "smart scan": lambda engine: engine.write_tunable("smart_scan", 1),
    "exit": lambda engine: engine.exit("p"),
    "small batches": lambda engine: engine.write_tunable("pages_to_scan", 7),
}


def again(engine):
    """Mergeable once more, after pages were left out of a pass."""
    if "p" in engine.processes:
        engine.scan_passes(1)
        engine.mergeable("p", "r", 0, 50)
        engine.mergeable("p", "r", 53, 40)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("batches", [0, 3])
def test_a_change_to_settled_pages_is_seen(change, batches):
    seen = []
    for mode in MODES:
        engine, emitter = settled(mode)
        if batches:  # the change comes in the middle of a pass
            engine.write_tunable("pages_to_scan", 20)
            engine.scan_batches(batches)
        change(engine)
        again(engine)
        engine.scan_passes(4)
        seen.append((engine.counters(), emitter.take().events.tobytes()))
    assert seen[0] == seen[1] == seen[2]


def test_the_trees_of_a_pass_may_be_parted_and_joined_again():
    seen = []
    for mode in MODES:
        engine, emitter = settled(mode)
        engine.write_tunable("pages_to_scan", 20)
        for across in (1, 0, 1, 1):
            engine.write_tunable("merge_across_nodes", across)
            engine.scan_batches(1)
            engine.fill("p", "r", 95, 2, unique(3))  # not examined yet: no page of the tree
        engine.scan_passes(3)
        seen.append((engine.counters(), emitter.take().events.tobytes()))
    assert seen[0] == seen[1] == seen[2]


def test_writes_between_two_passes_make_no_objects():
    engine, _ = settled()
    engine.fill("p", "r", 10, 20, unique(2))
    engine.poke("p", "r", 40, 1, 0, 7)
    (block,) = engine.processes["p"].mm.ptes.blocks.values()
    assert block.frozen
    contents = [bytes(engine.processes["p"].mm.ptes[block.first + at].data) for at in (9, 10, 40)]
    assert contents == [unique(1)(9), unique(2)(10), b"\x07" + unique(1)(40)[1:]]
    assert not block.frozen


def test_numbers_of_contents_that_no_page_has_are_given_again():
    engine, _ = settled(pages=600)
    for seed in range(2, 12):
        engine.fill("p", "r", 0, 600, unique(seed))
        engine.scan_passes(1)
    assert len(engine.memory.pool.contents) < 4000
    assert engine.counters()["pages_volatile"] == 600
    engine.scan_passes(1)
    assert engine.counters()["pages_unshared"] == 600


def test_memory_of_processes_that_have_gone_is_used_again():
    engine = Engine(NEWEST, {"pages_to_scan": 5000}, count_comparisons=False)
    for number in range(20):
        name = f"p{number}"
        engine.spawn(name)
        engine.map(name, "r", 1024)
        engine.fill(name, "r", 0, 1024, unique(number % 3))
        engine.mergeable(name, "r", 0, 1024)
        engine.scan_passes(2)
        if number:
            engine.exit(f"p{number - 1}")
    assert len(engine.memory.store.blocks) <= 6
    check_state(engine)


def test_a_change_in_mid_pass_makes_the_tree():
    engine, _ = settled()
    engine.write_tunable("pages_to_scan", 50)
    engine.scan_batches(1)
    engine.fill("p", "r", 10, 1, unique(2))
    engine.scan_batches(1)
    assert engine.ksm.accelerator.index.built
    assert engine.ksm.unstable_roots[0].rb_node is not None
    check_state(engine)


class Noting(Watcher):
    """Notes calls, and takes no more than one page at a time."""

    def __init__(self):
        self.calls = []

    def candidate(self, item, page):
        self.calls.append(("candidate", item.key, page.pfn))

    def rmap_item_removed(self, item, *, freed):
        if item.tree is not Tree.NEITHER:
            self.calls.append(("removed", item.key))

    def candidate_done(self):
        self.calls.append("done")


def test_a_watcher_that_takes_one_page_at_a_time_is_told_of_every_page():
    calls = []
    for mode in MODES:
        engine, _ = settled(mode)
        watcher = engine.ksm.watcher = Noting()
        engine.scan_passes(1)
        calls.append(watcher.calls)
    assert calls[0] == calls[1] == calls[2]
    assert len(calls[0]) == 300


def test_comparisons_that_were_not_counted_are_unknown():
    assert Engine(count_comparisons=False).scanner.comparisons is None
    assert Engine(count_comparisons=True).scanner.comparisons == 0
    assert Engine(mode="reference", count_comparisons=False).scanner.comparisons == 0


def test_a_mode_that_there_is_not():
    with pytest.raises(KsmtraceError, match="no mode"):
        Engine(NEWEST, mode="quick")


def test_a_relative_of_ksm_has_one_mode_and_no_ksmd():
    engine = Engine("pksm", mode="accelerated", count_comparisons=False)
    assert engine.mode == "reference"
    assert engine.scanner.comparisons == 0
    with pytest.raises(KsmtraceError, match="no ksmd"):
        _ = engine.ksm


@pytest.mark.parametrize("mode", ["reference", "accelerated"])
def test_the_document_names_the_mode(mode):
    assert simulate(workload_of_nothing(), mode=mode)["mode"] == mode
    assert EngineSource(workload_of_nothing(), mode=mode).document()["mode"] == mode


def workload_of_nothing():
    return Workload("nothing", NEWEST, {}, ())
