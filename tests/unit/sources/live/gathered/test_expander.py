"""What is expanded is what intercepting gives, event for event: the engine tells both."""

from contextlib import suppress

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.engine.strategies import workloads

from ksmtrace.engine.trace.emitter import Emitter
from ksmtrace.engine.variants import KERNELS
from ksmtrace.events import EventKind
from ksmtrace.sources.live.gathered.chunk import GATHERED, ChunkError
from ksmtrace.sources.live.gathered.expander import Expander
from ksmtrace.workload.content import Content
from ksmtrace.workload.file import Step, Workload
from ksmtrace.workload.on_engine import Simulation
from ksmtrace.workload.tunables import RefusedError
from support.gathered_engine import Both, Gatherer, comparable
from support.random_workloads import random_workloads

LATER = frozenset().union(*(kernel.absent_tunables for kernel in KERNELS.values()))
"""Tunables that some variants lack; 4.4 also lacks what every such workload sets."""


def told_twice(
    workload, *, variant=None, nodes=1, chunk_items=5, drains=None, misses=None, attach=0
):
    """(intercepted, expanded) events of a run, and how often a baseline was asked for.

    Args:
        workload: what runs.
        variant: instead of its own.
        nodes: of NUMA.
        chunk_items: in a chunk at most.
        drains: draws whether the ring is read after a step or batch.
        misses: draws whether the end of a batch is missed, so that two are gathered as one.
        attach: after so many steps and batches the trace begins.
    """
    emitter, gatherer = Emitter(), Gatherer(chunk_items, attached=not attach)
    asked = []
    expander = Expander(lambda: asked.append(1))
    simulation = Simulation(
        workload, variant=variant, nodes=nodes, watcher=Both(emitter, gatherer), mode="reference"
    )
    gatherer.watch(simulation.engine)
    expanded = []
    with suppress(RefusedError):
        for number, step in enumerate(simulation.run(), 1):
            if number == attach:
                emitter.take()
                gatherer.attach()
            following = [one.op for one in workload.steps[step : step + 2]]
            if (
                misses is None
                or {"run", "fork", "exit"} & {*following}
                or misses.draw(st.booleans())
            ):
                gatherer.gather()
            else:
                gatherer.miss()
            if drains is None or drains.draw(st.booleans()):
                expanded.append(expander.feed(*gatherer.take_raw()))
    if not gatherer.attached:
        emitter.take()
    gatherer.gather()
    expanded += [expander.feed(*gatherer.take_raw()), expander.flush()]
    return emitter.take().events, np.concatenate(expanded), len(asked)


def check(workload, **options):
    intercepted, expanded, asked = told_twice(workload, **options)
    assert comparable(expanded) == comparable(intercepted)
    assert not asked


OF_ITEMS = [
    EventKind.CMP_AND_MERGE_PAGE,
    EventKind.SKIPPED,
    EventKind.TRY_TO_MERGE_ONE_PAGE,
    EventKind.REPLACE_PAGE,
    EventKind.STABLE_APPEND,
    EventKind.BREAK_COW,
]


def by_mm(records):
    """What befell the items of each mm, in order."""
    records = records[np.isin(records["kind"], OF_ITEMS)]
    return {mm: comparable(records[records["mm"] == mm]) for mm in set(records["mm"].tolist())}


def without(records, kinds):
    return records[~np.isin(records["kind"], kinds)]


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
    """Where ksmd was as another task did something meanwhile is known by the time alone."""
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
    return (np.concatenate(kept) if kept else events), left, items


@settings(max_examples=100)
@given(workloads(variants=tuple(KERNELS)), st.integers(1, 30), st.data())
def test_after_damage_and_a_baseline_all_is_exact_again(workload, when, data):
    """What was lost is announced, a baseline asked for once, and nothing raises."""
    emitter, gatherer = Emitter(), Gatherer()
    asked = []
    expander = Expander(lambda: asked.append(1))
    simulation = Simulation(workload, watcher=Both(emitter, gatherer), mode="reference")
    gatherer.watch(simulation.engine)
    expanded, whole = [], False
    with suppress(RefusedError):
        for number, _ in enumerate(simulation.run()):
            gatherer.gather()
            raw = gatherer.take_raw()
            if number >= when and not asked:
                events, words, lost = damaged(*raw, data, data)
                raw = events, words
                known = expander.feed(*raw)
                announced = known["aux"][known["kind"] == EventKind.LOST].sum()
                assert announced >= lost or not len(known)
                assert not lost or asked
                continue
            expanded.append(expander.feed(*raw))
            if asked and not whole:
                gatherer.inventory()
                expander.feed(*gatherer.take_raw())
                emitter.take()
                expanded, whole = [], True
    gatherer.gather()
    expanded += [expander.feed(*gatherer.take_raw()), expander.flush()]
    if whole:
        names = [EventKind.PROCESS]
        intercepted = emitter.take().events
        assert comparable(without(np.concatenate(expanded), names)) == comparable(
            without(intercepted, names)
        )
