"""What must hold after every batch of every workload."""

from collections import Counter

import pytest
from hypothesis import given, settings
from unit.engine.machines import MODES
from unit.engine.strategies import workloads

from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.engine.ksm.stable_node import Place
from ksmtrace.engine.variants import KERNELS, NEWEST
from ksmtrace.workload.content import Content
from ksmtrace.workload.on_engine import Simulation, simulate


class Shadow:
    """What each page must contain, by (region, number): the same steps without KSM."""

    def __init__(self):
        self.pages = {}

    def apply(self, step):
        arguments = step.arguments
        if step.op == "spawn":
            self.pages[arguments["process"]] = {}
        elif step.op == "fork":
            self.pages[arguments["child"]] = dict(self.pages[arguments["process"]])
        elif step.op == "exit":
            del self.pages[arguments["process"]]
        elif step.op in ("fill", "poke", "read", "discard", "unmap"):
            first = arguments["first"]
            for index in range(first, first + arguments["pages"]):
                self._touch(step.op, arguments, index)

    def _touch(self, op, arguments, index):
        pages, key = self.pages[arguments["process"]], (arguments["region"], index)
        if op == "fill":
            pages[key] = arguments["content"](index)
        elif op == "poke":
            page = bytearray(pages.get(key, bytes(4096)))
            page[arguments["offset"]] = arguments["value"]
            pages[key] = bytes(page)
        elif op == "read":
            pages.setdefault(key, bytes(4096))
        else:
            pages.pop(key, None)

    def check_mapped(self, engine):
        """As `check`, but an untouched page may be there, as an empty part of a huge page."""
        for name, process in engine.processes.items():
            for region_name, region in process.regions.items():
                for index in range(region.pages):
                    frame = process.mm.ptes.get(region.first_vpn + index)
                    expected = self.pages[name].get((region_name, index))
                    assert (frame is not None) >= (expected is not None)
                    if frame is not None:
                        assert bytes(frame.data) == (expected or bytes(4096))

    def check(self, engine):
        for name, process in engine.processes.items():
            present = {
                (region_name, index): bytes(frame.data)
                for region_name, region in process.regions.items()
                for index in range(region.pages)
                if (frame := process.mm.ptes.get(region.first_vpn + index)) is not None
            }
            assert present == self.pages[name]


def rmap_items(ksm):
    slot = ksm.mm_head.next
    while slot is not ksm.mm_head:
        ptes = slot.mm.ptes
        for block in tuple(ptes.blocks.values()):
            if block.frozen:
                ptes.thaw(block)
            for vpn, item in enumerate(block.items, block.first):
                if item is not None:
                    assert (item.mm, item.vpn) == (slot.mm, vpn)
                    yield item
        slot = slot.next


def walk(node, depth=0):
    """The nodes of a tree in order."""
    if node is not None:
        yield from walk(node.rb_left)
        yield node
        yield from walk(node.rb_right)


def in_unstable_tree(ksm):
    """The rmap_items in the unstable tree; between two passes none are looked at."""
    index = ksm.accelerator and ksm.accelerator.index
    if index is None or index.built:
        return [item for root in ksm.unstable_roots for item in walk(root.rb_node)]
    if ksm.scan.slot is ksm.mm_head:
        return []
    return [index.columns.item(slot) for slot in index.unstable.tolist() if slot >= 0]


def check_state(engine):
    ksm = engine.ksm
    counters = ksm.counters
    items = list(rmap_items(ksm))
    by_tree = Counter(item.tree for item in items)
    assert len(items) == counters.rmap_items
    assert by_tree[Tree.UNSTABLE] == counters.pages_unshared
    assert by_tree[Tree.STABLE] == counters.pages_shared + counters.pages_sharing
    nodes = [node for root in ksm.stable_roots for node in walk(root.rb_node)]
    chains = [node for node in nodes if node.place is Place.CHAIN]
    dups = [dup for chain in chains for dup in chain.dups]
    assert (len(chains), len(dups)) == (counters.stable_node_chains, counters.stable_node_dups)
    pages = [node for node in nodes if node.place is Place.TREE] + dups
    assert counters.pages_shared == sum(1 for node in pages if node.items)
    assert {item for node in pages for item in node.items} == {
        item for item in items if item.tree is Tree.STABLE
    }
    assert all(item.head is node for node in pages for item in node.items)
    in_unstable = set(in_unstable_tree(ksm))
    assert {
        item for item in items if item.tree is Tree.UNSTABLE and item.seqnr == ksm.scan.seqnr & 0xFF
    } <= in_unstable
    per_mm = Counter(item.mm for item in items)
    for process in engine.processes.values():
        assert process.mm.ksm_rmap_items == per_mm[process.mm]


def check_order(ksm):
    """The stable tree is sorted by content; a chain stands for the content of its dups."""
    for root in ksm.stable_roots:
        contents = [
            (node.dups[0] if node.dups else node).kpage
            for node in walk(root.rb_node)
            if node.place is not Place.CHAIN or node.dups
        ]
        texts = [bytes(kpage.data) for kpage in contents]
        assert texts == sorted(set(texts))


def check_frames(engine):
    memory = engine.memory
    mapped = Counter(frame for mm in memory.mms for frame in mm.ptes.values())
    assert all(frame.mapcount == count for frame, count in mapped.items())
    assert memory.ksm_zero_pages == sum(len(mm.ksm_zero) for mm in memory.mms)
    assert all(frame.references == 0 for frame in mapped)


def after_every_batch(workload, mode="accelerated"):
    """The engine and what memory must contain, after each step and each batch of ksmd."""
    simulation = Simulation(workload, **MODES[mode])
    shadow, done = Shadow(), -1
    for number in simulation.run():
        while done < number:
            done += 1
            shadow.apply(workload.steps[done])
        yield simulation.engine, shadow


EVERY_MODE = pytest.mark.parametrize("mode", MODES)


@EVERY_MODE
@settings(max_examples=200, deadline=None)
@given(workload=workloads(variants=tuple(KERNELS)))
def test_state_is_consistent_and_memory_is_untouched_after_every_batch(workload, mode):
    for engine, shadow in after_every_batch(workload, mode):
        check_state(engine)
        check_order(engine.ksm)
        check_frames(engine)
        shadow.check(engine)


@EVERY_MODE
@settings(max_examples=25, deadline=None)
@given(workload=workloads(variants=tuple(KERNELS), most_steps=8, huge=True))
def test_the_same_with_huge_pages(workload, mode):
    for engine, shadow in after_every_batch(workload, mode):
        check_state(engine)
        check_frames(engine)
        shadow.check_mapped(engine)
        for mm in engine.memory.mms:
            for vpn, frame in mm.ptes.items():
                compound = frame.compound
                assert compound is None or compound.frames[vpn - compound.vpn] is frame


@settings(max_examples=100, deadline=None)
@given(workloads(variants=tuple(KERNELS)))
def test_unmerging_leaves_all_gauges_zero(workload):
    simulation = Simulation(workload)
    for _ in simulation.run():
        pass
    engine = simulation.engine
    engine.write_run(0)
    engine.write_run(2)
    counters = engine.counters()
    gauges = ("shared", "sharing", "unshared", "volatile")
    assert [counters[f"pages_{name}"] for name in gauges] == [0, 0, 0, 0]
    assert not list(rmap_items(engine.ksm))
    assert counters["full_scans"] == 0


@settings(max_examples=100, deadline=None)
@given(workloads(variants=tuple(KERNELS)))
def test_when_all_have_exited_nothing_is_left(workload):
    simulation = Simulation(workload)
    for _ in simulation.run():
        pass
    engine = simulation.engine
    for name in tuple(engine.processes):
        engine.exit(name)
    engine.write_tunable("pages_to_scan", 1000)
    engine.scan_passes(2)
    assert engine.ksm.mm_head.next is engine.ksm.mm_head
    assert engine.ksm.counters.rmap_items == 0
    assert engine.ksm.memory.ksm_zero_pages == 0
    engine.write_run(0)
    engine.write_run(2)
    assert engine.ksm.stable_roots[0].rb_node is None
    assert engine.ksm.counters.stable_node_chains == engine.ksm.counters.stable_node_dups == 0


@settings(max_examples=50, deadline=None)
@given(workloads(variants=tuple(KERNELS)))
def test_a_run_repeats_itself(workload):
    assert simulate(workload) == simulate(workload)


def test_a_shadow_page_that_differs_is_noticed():
    shadow = Shadow()
    shadow.pages["p"] = {("r", 0): Content("byte", 1)(0)}
    engine = Simulation(_nothing()).engine
    engine.spawn("p")
    engine.map("p", "r", 1)
    engine.fill("p", "r", 0, 1, Content("byte", 2))
    try:
        shadow.check(engine)
    except AssertionError:
        return
    raise AssertionError("a page of 2 passed for a page of 1")


def _nothing():
    from ksmtrace.workload.file import Workload

    return Workload("nothing", NEWEST, {}, ())
