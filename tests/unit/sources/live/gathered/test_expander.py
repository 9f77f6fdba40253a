"""What is expanded is what intercepting gives, event for event: the engine tells both."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from unit.engine.strategies import workloads

from ksmtrace.engine.variants import KERNELS
from ksmtrace.events import EventKind
from ksmtrace.sources.live.gathered.chunk import GATHERED, ChunkError
from ksmtrace.workload.content import Content
from ksmtrace.workload.file import Step, Workload
from support.gathered_engine import Gatherer, comparable
from support.random_workloads import random_workloads
from support.told_twice import Twice, by_mm, without
from support.workload_steps import workload

LATER = frozenset().union(*(kernel.absent_tunables for kernel in KERNELS.values()))
"""Tunables that some variants lack; 4.4 also lacks what every such workload sets."""


def told_twice(workload, *, chunk_items=5, drains=None, misses=None, attach=0, **options):
    """(intercepted, expanded) events of a run, and how often a baseline was asked for.

    Args:
        workload: what runs.
        chunk_items: in a chunk at most.
        drains: draws whether the ring is read after a step or batch, and where that is cut.
        misses: draws whether the end of a batch is missed, so that two are gathered as one.
        attach: after so many steps and batches the trace begins.
        options: of the simulation.
    """
    twice = Twice(workload, Gatherer(chunk_items, attached=not attach), **options)
    missed = False
    for number, step in enumerate(twice.run(), 1):
        if number == attach:
            twice.begin_anew()
            twice.gatherer.attach()
        resets = "run" in [one.op for one in workload.steps[step : step + 2]]
        missed = misses is not None and not (missed or resets) and misses.draw(st.booleans())
        if missed:
            twice.gatherer.miss()
        else:
            twice.gatherer.gather()
        if drains is None or drains.draw(st.booleans()):
            twice.drain(drains)
    if not twice.gatherer.attached:
        twice.emitter.take()
    return *twice.end(), twice.asked


def check(workload, **options):
    intercepted, expanded, asked = told_twice(workload, **options)
    assert comparable(expanded) == comparable(intercepted)
    assert not asked


@settings(max_examples=100)
@given(workloads(variants=tuple(KERNELS)), st.integers(1, 9), st.data())
def test_expanded_is_intercepted(workload, chunk_items, data):
    check(workload, chunk_items=chunk_items, drains=data)


@settings(max_examples=60)
@given(random_workloads(without=LATER), st.sampled_from(list(KERNELS)[1:]))
def test_on_workloads_that_kernels_are_asked(workload, variant):
    check(workload, variant=variant)


@settings(max_examples=60)
@given(workloads(variants=tuple(KERNELS)), st.data())
def test_two_batches_gathered_as_one_have_the_same_items(workload, data):
    """Where ksmd was as other memory changed meanwhile is known by the time alone."""
    intercepted, expanded, asked = told_twice(workload, misses=data)
    assert by_mm(expanded) == by_mm(intercepted)
    assert not asked


@st.composite
def toggled(draw):
    """Smart scan is switched on and off between batches, pages being old enough to be passed
    over."""
    pages = draw(st.integers(4, 12))
    steps = [
        Step("spawn", {"process": "p"}),
        Step("map", {"process": "p", "region": "r", "pages": pages, "huge": False}),
    ]
    reach = {"process": "p", "region": "r", "first": 0, "pages": pages}
    steps += [
        Step("fill", {**reach, "content": Content.parse("unique:1")}),
        Step("mergeable", reach),
        Step("scan", {"passes": draw(st.integers(4, 9))}),
    ]
    for value in range(1, draw(st.integers(5, 60))):
        match draw(st.integers(0, 3)):
            case 0:
                on = draw(st.integers(0, 1))
                steps.append(Step("set", {"tunables": {"smart_scan": on}}))
            case 1:
                first = draw(st.integers(0, pages - 1))
                poked = {**reach, "first": first, "pages": 1, "offset": 0, "value": value}
                steps.append(Step("poke", poked))
            case _:
                steps.append(Step("scan", {"batches": 1}))
    tunables = {"smart_scan": 1, "pages_to_scan": draw(st.integers(1, 5))}
    return Workload("toggled", "ksm-6.12", tunables, tuple(steps))


@settings(max_examples=100)
@given(toggled(), st.data())
def test_smart_scan_switched_amid_a_batch(workload, data):
    """Which pages it passed over, though two batches are gathered as one."""
    intercepted, expanded, asked = told_twice(workload, misses=data)
    assert by_mm(expanded) == by_mm(intercepted)
    assert not asked


@settings(max_examples=60)
@given(workloads(variants=tuple(KERNELS)), st.integers(1, 40))
def test_a_trace_may_begin_at_any_time(workload, attach):
    """A process is named where ksmd next comes to it, though it was named before."""
    intercepted, expanded, asked = told_twice(workload, attach=attach)
    names = [EventKind.PROCESS]
    assert comparable(without(expanded, names)) == comparable(without(intercepted, names))
    assert not asked


_NODE_GOES = (
    *("spawn a", "map a r 3", "fill a r pages=1 content=zero", "fill a r first=1 pages=1 "
      "content=byte:1", "fill a r first=2 pages=1 content=zero", "mergeable a r"),
    *("spawn b", "map b r 3", "fill b r pages=2 content=zero", "fill b r first=2 pages=1 "
      "content=byte:1", "mergeable b r", "scan 2"),
    *("fill a r pages=2 content=zero", "fill b r pages=3 content=zero"),
    *["scan batches=1"] * 14,
)  # fmt: skip
"""Both processes write to the pages that share a node: it goes when ksmd comes to the first."""


@pytest.mark.parametrize("when", range(10, 40))
def test_a_node_that_goes_right_behind_an_inventory(when):
    """Whoever named it is in no tree when ksmd comes to it, though the inventory says otherwise."""
    twice = Twice(workload(*_NODE_GOES, pages_to_scan=1), Gatherer())
    for number, _ in enumerate(twice.run()):
        twice.gatherer.gather()
        twice.drain()
        if number == when:
            twice.expander.lose()
            twice.gatherer.inventory()
            twice.drain()
            twice.begin_anew()
    intercepted, expanded = twice.end()
    names = [EventKind.PROCESS]
    assert comparable(without(expanded, names)) == comparable(without(intercepted, names))


_NEIGHBOURS = (
    *("spawn a", "map a r 3", "fill a r pages=3 content=zero", "mergeable a r"),
    *("spawn b", "map b r 3", "fill b r pages=3 content=zero", "mergeable b r"),
    *("spawn c", "map c r 3", "fill c r pages=3 content=zero", "mergeable c r"),
    *["scan batches=1"] * 6,
)  # fmt: skip


@pytest.mark.parametrize("gone", ["a", "b", "c"])
@pytest.mark.parametrize("lost", range(1, 7))
@pytest.mark.parametrize("after", [("run 2", "scan 1"), ("scan 2",)])
@pytest.mark.parametrize("variant", ["ksm-4.4", "ksm-7.2"])
def test_a_process_leaves_before_ksmd_moves_on_from_an_inventory(variant, after, lost, gone):
    """It is put behind the place of ksmd, which the batch that was lost would have told."""
    batches = 12 + lost
    rows = (*_NEIGHBOURS[:batches], f"exit {gone}", *after)
    twice = Twice(workload(*rows, pages_to_scan=2), Gatherer(), variant=variant)
    listed = False
    for step in twice.run():
        twice.gatherer.gather()
        if step == batches - 1 and not listed:
            listed = True
            twice.gatherer.take_raw()
            twice.expander.lose()
            twice.gatherer.inventory()
            twice.drain()
            twice.begin_anew()
        twice.drain()
    intercepted, expanded = twice.end()
    names = [EventKind.PROCESS]
    assert listed
    assert comparable(without(expanded, names)) == comparable(without(intercepted, names))


def damaged(events, words, lost, torn):
    """A drain with some chunks lost, as the ring's sequence numbers would show, or torn."""
    kept, left, items = [], [], 0
    chunks = iter(words)
    for number, event in enumerate(events):
        event = events[number : number + 1].copy()
        if event["kind"][0] == GATHERED:
            chunk = next(chunks)
            if lost.draw(st.booleans()):
                items += max(1, int(event["oldchecksum"][0]))
                event["kind"], event["aux"] = EventKind.LOST, max(1, event["oldchecksum"][0])
            else:
                if torn.draw(st.integers(0, 3)) == 0:
                    event["err"] = ChunkError.TORN
                left.append(chunk)
        kept.append(event)
    return ((np.concatenate(kept) if kept else events), left), items


class Drawn:
    """Draws what it is given."""

    def __init__(self, *values):
        self._values = list(values)

    def draw(self, _):
        return self._values.pop(0)


_LEFT_BETWEEN_PASSES = workload(
    *_NEIGHBOURS[:8], "scan 1", "exit a", "run 2", "scan 2", pages_to_scan=5
)


@settings(max_examples=100)
@example(replace(_LEFT_BETWEEN_PASSES, variant="ksm-4.4"), 1, Drawn(False, 1, True))
@given(workloads(variants=tuple(KERNELS)), st.integers(1, 30), st.data())
def test_after_damage_and_a_baseline_all_is_exact_again(workload, when, data):
    """What was lost is announced, a baseline asked for once, and nothing raises."""
    twice = Twice(workload, Gatherer())
    names, whole = [EventKind.PROCESS], False
    for number, _ in enumerate(twice.run()):
        twice.gatherer.gather()
        if number >= when and not twice.asked:
            raw, lost = damaged(*twice.gatherer.take_raw(), data, data)
            known = twice.expander.feed(*raw)
            announced = known["aux"][known["kind"] == EventKind.LOST].sum()
            assert announced >= lost or not len(known)
            assert not lost or twice.asked
            continue
        twice.drain()
        if twice.asked and not whole:
            twice.gatherer.inventory()
            twice.drain()
            twice.begin_anew()
            whole = True
    intercepted, expanded = twice.end()
    if whole:
        assert comparable(without(expanded, names)) == comparable(without(intercepted, names))
