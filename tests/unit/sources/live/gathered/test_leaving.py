"""Processes that come and go while ksmd is at work, and what ksmd passes while it is listed."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ksmtrace.engine.variants import KERNELS
from ksmtrace.events import EventKind
from ksmtrace.events.kinds import Flag, LossCause
from ksmtrace.workload.content import Content
from ksmtrace.workload.file import Step, Workload
from support.gathered_engine import NOTICED, SEEN, UNSEEN, Gatherer, comparable
from support.told_twice import OF_ITEMS, Twice, by_mm, without

CONTENTS = ["zero", "byte:1", "twin:5", "unique:7"]
COUNTING = [name for name in KERNELS if "pages_scanned" not in KERNELS[name].absent_counters]
NAMES = [EventKind.PROCESS]
"""Not compared: where ksmd next comes to a process, it is named again."""


def start(process, contents):
    """A process with mergeable memory."""
    reach = {"process": process, "region": "r"}
    steps = [
        Step("spawn", {"process": process}),
        Step("map", {**reach, "pages": len(contents), "huge": False}),
    ]
    steps += [
        Step("fill", {**reach, "first": page, "pages": 1, "content": Content.parse(content)})
        for page, content in enumerate(contents)
    ]
    return [*steps, Step("mergeable", {**reach, "first": 0, "pages": len(contents)})]


@st.composite
def crowds(draw, most_steps=14):
    """Small processes, batches of a few pages, and many that come and go between them."""
    contents = st.lists(st.sampled_from(CONTENTS), min_size=1, max_size=4)
    living, steps, count = {}, [], draw(st.integers(2, 4))
    for number in range(count):
        living[f"p{number}"] = draw(contents)
        steps += start(f"p{number}", living[f"p{number}"])
    steps.append(Step("scan", {"passes": draw(st.integers(1, 3))}))
    for _ in range(draw(st.integers(3, most_steps))):
        match draw(st.integers(0, 5)):
            case 0 if living:
                process = draw(st.sampled_from(sorted(living)))
                del living[process]
                steps.append(Step("exit", {"process": process}))
            case 1 if len(living) < 5:
                count += 1
                living[f"p{count}"] = draw(contents)
                steps += start(f"p{count}", living[f"p{count}"])
            case 2 if living:
                process = draw(st.sampled_from(sorted(living)))
                page = draw(st.integers(0, len(living[process]) - 1))
                reach = {"process": process, "region": "r", "first": page, "pages": 1}
                content = Content.parse(draw(st.sampled_from(CONTENTS)))
                steps.append(
                    Step("fill", {**reach, "content": content})
                    if draw(st.booleans())
                    else Step("discard", reach)
                )
            case _:
                steps.append(Step("scan", {"batches": draw(st.integers(1, 3))}))
    steps.append(Step("scan", {"passes": 2}))
    tunables = {"pages_to_scan": draw(st.sampled_from([1, 2, 3, 5]))}
    return Workload("crowd", draw(st.sampled_from(list(KERNELS))), tunables, tuple(steps))


def run(twice, data=None):
    """All of it; with `data` batches are missed, no two in succession, and drains cut anywhere."""
    missed = False
    for _ in twice.run():
        missed = data is not None and not missed and data.draw(st.booleans())
        if missed:
            twice.gatherer.miss()
        else:
            twice.gatherer.gather()
        if data is None or data.draw(st.booleans()):
            twice.drain(data)
    return twice.end()


@settings(max_examples=100)
@given(crowds(), st.booleans(), st.data())
def test_within_a_batch(workload, reuse, data):
    """Also where the addresses of what has gone are given out again."""
    chunk_items = data.draw(st.sampled_from([1, 2, 5]))
    twice = Twice(workload, Gatherer(chunk_items), reuse=reuse)
    intercepted, expanded = run(twice, data)
    assert by_mm(expanded) == by_mm(intercepted)
    assert not twice.asked


@settings(max_examples=60)
@given(crowds(), st.integers(1, 2), st.booleans())
def test_between_batches(workload, nodes, across):
    """With addresses that are given out again, and NUMA nodes with trees of their own."""
    tunables = {**workload.tunables, "merge_across_nodes": int(across)}
    workload = replace(workload, tunables=tunables)
    twice = Twice(workload, Gatherer(), reuse=True, nodes=nodes)
    intercepted, expanded = run(twice)
    assert comparable(expanded) == comparable(intercepted)
    assert not twice.asked


@settings(max_examples=60)
@given(crowds(), st.integers(1, 12), st.integers(1, 4), st.booleans())
def test_a_baseline_in_slices_while_ksmd_goes_on(workload, when, slice_items, reuse):
    """Once it is complete, all is exact."""
    twice = Twice(workload, Gatherer(slice_items=slice_items), reuse=reuse)
    complete = False
    for number, _ in enumerate(twice.run()):
        twice.gatherer.gather()
        twice.drain()
        if number == when:
            twice.expander.lose()
            twice.gatherer.ask()
        elif number > when and not complete and not twice.gatherer.listing:
            complete = True
            twice.begin_anew()
    intercepted, expanded = twice.end()
    if complete:
        assert comparable(without(expanded, NAMES)) == comparable(without(intercepted, NAMES))
    assert twice.asked <= 1


def passes(records):
    """The pages that ksmd came to in each pass that was seen whole, by its number."""
    marks = [EventKind.SCAN_START, EventKind.SCAN_STOP, EventKind.LOST]
    rows = np.flatnonzero(np.isin(records["kind"], marks)).tolist()
    found = {}
    for begin, stop in pairwise(rows):
        if [records["kind"][row] for row in (begin, stop)] == marks[:2]:
            part = records[begin:stop]
            part = part[np.isin(part["kind"], OF_ITEMS[:2])]
            found[int(records["aux"][stop])] = list(
                zip(part["mm"].tolist(), part["address"].tolist(), strict=True)
            )
    return found


@settings(max_examples=60)
@given(crowds(), st.integers(1, 6))
def test_a_pass_that_lacks_something_is_not_seen_whole(workload, most_items):
    """Above the ceiling of a batch; what is not seen is not told to be gone."""
    workload = replace(workload, tunables={"pages_to_scan": 1000})
    twice = Twice(workload, Gatherer(most_items=most_items))
    for _ in twice.run():
        twice.gatherer.gather()
        twice.drain()
        if twice.asked:
            twice.asked = 0
            twice.gatherer.ask()
    intercepted, expanded = twice.end()
    whole = passes(expanded)
    assert whole == {seqnr: passes(intercepted)[seqnr] for seqnr in whole}
    gone = expanded["kind"] == EventKind.REMOVE_RMAP_ITEM
    gone &= expanded["flags"] & Flag.FREED != 0
    told = set(comparable(without(intercepted, NAMES)))
    places = {(one[5], one[6], one[8]) for one in told if one[0] == "REMOVE_RMAP_ITEM"}
    columns = (expanded[name][gone].tolist() for name in ("mm", "address", "rmap_item"))
    assert set(zip(*columns, strict=True)) <= places


def test_many_leave_a_crowd_of_thousands_in_one_batch():
    """However many ksmd has come to in it."""
    count = 2000
    steps = [one for number in range(count) for one in start(f"p{number}", CONTENTS[2:])]
    begun = len(steps)
    steps += [Step("scan", {"passes": 2}), Step("scan", {"batches": 1})]
    steps += [Step("exit", {"process": f"p{number}"}) for number in range(5, 1500, 50)]
    all_left = len(steps)
    steps += [Step("scan", {"batches": 1}), Step("scan", {"passes": 2})]
    workload = Workload("crowd", "ksm-6.1", {"pages_to_scan": 3000}, tuple(steps))
    twice = Twice(workload, Gatherer())
    for step in twice.run():
        if begun < step < all_left:
            twice.gatherer.miss()
            continue
        twice.gatherer.gather()
        twice.drain()
    intercepted, expanded = twice.end()
    assert by_mm(expanded) == by_mm(intercepted)
    assert not twice.asked


@settings(max_examples=100)
@given(crowds(), st.sampled_from([1, 2, 5]), st.data())
def test_ksmd_notices_that_a_process_leaves(workload, chunk_items, data):
    """Before __ksm_exit is called, or in its stead: all is told that was seen earlier."""
    ways = st.sampled_from([SEEN, NOTICED])
    twice = Twice(workload, Gatherer(chunk_items, leaves=lambda: data.draw(ways)))
    intercepted, expanded = run(twice, data)
    assert by_mm(expanded) == by_mm(intercepted)
    assert freed(expanded) == freed(intercepted)
    assert not twice.asked


def freed(records):
    """Which rmap_items were freed, by mm and in order, and out of which tree."""
    records = records[records["kind"] == EventKind.REMOVE_RMAP_ITEM]
    records = records[records["flags"] & Flag.FREED != 0]
    return {mm: comparable(records[records["mm"] == mm]) for mm in set(records["mm"].tolist())}


def freed_by_pass(records):
    """The same, of each pass."""
    ends = np.flatnonzero(records["kind"] == EventKind.SCAN_STOP) + 1
    return [freed(part) for part in np.split(records, ends)]


@settings(max_examples=100)
@given(st.integers(1, 4), st.lists(st.integers(1, 4), min_size=1, max_size=5), st.data())
def test_a_task_is_preempted_before_ksmd_s_list_is_changed(leaves, others, data):
    """Up to the end of the pass, and longer: what ksmd frees in the next one is not freed in it."""
    steps = start("leaves", ["twin:5"] * leaves)
    for number, pages in enumerate(others):
        steps += start(f"p{number}", ["twin:5"] * pages)
    begun = len(steps)
    steps += [Step("scan", {"batches": 1})] * 40
    tunables = {"pages_to_scan": data.draw(st.sampled_from([1, 2, 3, 5]))}
    variant = data.draw(st.sampled_from(list(KERNELS)))
    twice = Twice(Workload("crowd", variant, tunables, tuple(steps)), Gatherer())
    engine, sleeps, gone = twice.simulation.engine, False, False
    for step in twice.run():
        twice.gatherer.gather()
        if data.draw(st.booleans()):
            twice.drain()
        if step < begun or gone:
            continue
        if not sleeps:
            mm = engine.processes["leaves"].mm
            sleeps = data.draw(st.booleans()) and twice.gatherer.preempt(mm)
        elif engine.ksm.scan.slot is engine.ksm.mm_head or data.draw(st.booleans()):
            engine.exit("leaves")
            gone = True
    intercepted, expanded = twice.end()
    assert freed_by_pass(expanded) == freed_by_pass(intercepted)
    assert by_mm(expanded) == by_mm(intercepted)
    assert not twice.asked


@settings(max_examples=100)
@given(crowds(), st.data())
def test_what_is_not_seen_of_a_process_that_leaves_is_counted(workload, data):
    """One page by one, where the kernel counts those that ksmd examines."""
    workload = replace(workload, variant=data.draw(st.sampled_from(COUNTING)))
    ways = st.sampled_from([SEEN, NOTICED, UNSEEN])
    twice = Twice(workload, Gatherer(leaves=lambda: data.draw(ways)))
    for _ in twice.run():
        if data.draw(st.booleans()):
            twice.gatherer.miss()
            continue
        twice.gatherer.gather()
        twice.drain()
        if twice.asked:
            twice.asked = 0
            twice.gatherer.inventory()
    intercepted, expanded = twice.end()
    lost = expanded[expanded["kind"] == EventKind.LOST]
    examined = [
        int(np.isin(records["kind"], OF_ITEMS[:2]).sum()) for records in (intercepted, expanded)
    ]
    assert examined[0] - examined[1] == lost["aux"].sum()
    assert set(lost["address"].tolist()) <= {LossCause.GATHERING}
