"""UKSM under random workloads: memory is untouched, and records tell what its counters say."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from unit.engine.machines import batches_with_entries, region
from unit.engine.strategies import step, workloads
from unit.engine.test_events import reading, recorded
from unit.engine.test_random_workloads import Shadow, check_frames

from ksmtrace.engine.engine import Engine
from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.engine.trace.emitter import Emitter
from ksmtrace.engine.trace.visibility import engine_session
from ksmtrace.events import EventKind, Flag, Gauge
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.session import Exactness, Session
from ksmtrace.sources.engine import EngineSource
from ksmtrace.workload.content import Content
from ksmtrace.workload.file import Workload
from ksmtrace.workload.on_engine import Simulation
from support.runs import plugin, runner

E = EventKind
TREES = (Gauge.PAGES_SHARED, Gauge.PAGES_SHARING, Gauge.PAGES_UNSHARED)
PAGE_TIMES = [2000, 20_000, 100_000, 300_000]


@st.composite
def uksm_workloads(draw, *, huge=False):
    """Workloads without the files that UKSM does not have."""
    workload = draw(workloads(variants=("uksm",), huge=huge))
    tunables = {
        "page_time_ns": draw(st.sampled_from(PAGE_TIMES)),
        "seed": draw(st.integers(0, 5)),
        "thrash_threshold": draw(st.sampled_from([0, 50])),
    }
    steps = tuple(
        one for one in workload.steps if one.op != "set" and one.arguments.get("value") != 2
    )
    return replace(workload, tunables=tunables, steps=steps)


def items_of(uksm):
    slots = {slot for rung in uksm.rungs for slot in rung.slots()}.union(uksm.dead_slots)
    return [item for slot in slots for item in slot.items if item is not None]


def check_state(engine):
    """Counters and sums of sizes, counted again."""
    uksm = engine.scanner.uksm
    items = items_of(uksm)
    stable = [item for item in items if item.tree is Tree.STABLE]
    shared = [node for node in uksm.stable_nodes if node.vmas]
    assert uksm.items == len(items)
    assert uksm.pages_unshared == sum(item.tree is Tree.UNSTABLE for item in items)
    assert uksm.pages_shared == len(shared)
    assert uksm.pages_sharing == len(stable) - len(shared)
    assert uksm.node_vmas == sum(len(node.vmas) for node in uksm.stable_nodes)
    assert {id(item) for node in shared for vma in node.vmas for item in vma.items} == {
        id(item) for item in stable
    }
    for item in items:
        if item.tree is Tree.UNSTABLE and item.hash_round == uksm.hash_round:
            assert uksm.unstable_tree[item.tree_node.hash] is item.tree_node
    for rung in uksm.rungs:
        assert rung.count == len(rung.slots())
        assert rung.pages == sum(slot.pages for slot in rung.slots())
    assert uksm.memory.ksm_zero_pages == sum(
        frame is uksm.zero_page for mm in uksm.memory.mms for frame in mm.ptes.values()
    )
    for mm in uksm.memory.mms:
        assert mm.ksm_zero == {vpn for vpn, at in mm.ptes.items() if at is uksm.zero_page}


def after_every_batch(workload):
    simulation = Simulation(workload)
    shadow, done = Shadow(), -1
    for number in simulation.run():
        while done < number:
            done += 1
            shadow.apply(workload.steps[done])
        yield simulation.engine, shadow


@settings(max_examples=100, deadline=None)
@given(uksm_workloads())
def test_memory_is_untouched_and_counters_add_up_after_every_batch(workload):
    for engine, shadow in after_every_batch(workload):
        shadow.check(engine)
        check_frames(engine)
        check_state(engine)


@settings(max_examples=30, deadline=None)
@given(uksm_workloads(huge=True))
def test_the_same_with_huge_pages(workload):
    for engine, shadow in after_every_batch(workload):
        shadow.check_mapped(engine)
        check_frames(engine)
        check_state(engine)


@settings(max_examples=100, deadline=None)
@given(uksm_workloads())
def test_reconstruction_equals_uksm_after_every_batch(workload):
    source = EngineSource(workload)
    scanner = source._simulation.engine.scanner
    reconstruction = Reconstruction(source.session)
    passes, examined = 0, 0
    for index, batch in enumerate(source.batches()):
        if index == 0:
            reconstruction.start(reading(batch))
        reconstruction.apply(batch)
        uksm = scanner.uksm
        expected = (uksm.pages_shared, uksm.pages_sharing, uksm.pages_unshared)
        assert tuple(reconstruction.gauges()[gauge] for gauge in TREES) == expected
        assert reconstruction.rmap_items == uksm.items
        passes += len(batch.of(E.SCAN_STOP))
        examined += len(batch.of(E.CMP_AND_MERGE_PAGE))
    assert (passes, examined) == (scanner.full_scans, scanner.pages_scanned)


@settings(max_examples=100, deadline=None)
@given(uksm_workloads())
def test_every_entry_that_changed_its_page_has_a_record(workload):
    """Between two looks at all page tables, entries changed as REPLACE_PAGE records say."""
    for batch, before, entries in batches_with_entries(workload):
        if len(batch.of(E.CMP_AND_MERGE_PAGE)):
            said = {
                (int(e["mm"]), int(e["address"])): int(e["aux"]) for e in batch.of(E.REPLACE_PAGE)
            }
            changed = {at for at in entries if at in before and entries[at] != before[at]}
            assert said == {at: entries[at] for at in changed}


def traced(*contents):
    emitter = Emitter()
    engine = Engine("uksm", {"page_time_ns": 200_400 // len(contents)}, watcher=emitter)
    region(engine, "p", "r", contents, mergeable=False)
    engine.scan_batches(1)
    emitter.take()
    return engine, emitter


def test_records_of_a_merge():
    engine, emitter = traced(7, 7)
    engine.scan_batches(1)
    assert [kind for kind in recorded(engine, emitter)[0] if kind[0] is not E.TUNABLE] == [
        (E.PROCESS, 0),
        (E.CMP_AND_MERGE_PAGE, Flag.UNSTABLE_AFTER),
        (E.CMP_AND_MERGE_PAGE, Flag.UNSTABLE_AFTER),
        (E.SCAN_STOP, 0),
    ]
    engine.scan_batches(1)
    kinds, events = recorded(engine, emitter)
    merged = [
        (E.REMOVE_RMAP_ITEM, Flag.UNSTABLE_BEFORE),
        (E.TRY_TO_MERGE_ONE_PAGE, 0),
        (E.TRY_TO_MERGE_ONE_PAGE, Flag.HAS_KPAGE),
        (E.REPLACE_PAGE, 0),
        (E.REMOVE_RMAP_ITEM, Flag.UNSTABLE_BEFORE),
        (E.STABLE_APPEND, Flag.NEW_NODE),
        (E.STABLE_APPEND, 0),
        (E.CMP_AND_MERGE_PAGE, Flag.UNSTABLE_BEFORE | Flag.STABLE_AFTER),
    ]
    at = kinds.index(merged[1]) - 1
    assert kinds[at : at + len(merged)] == merged
    appended = events[events["kind"] == E.STABLE_APPEND]
    assert len(set(appended["aux"].tolist())) == 1
    (replaced,) = events[events["kind"] == E.REPLACE_PAGE]
    assert {replaced["aux"]} == set(appended["pfn"].tolist())


def test_a_zero_page_has_no_item():
    engine, emitter = traced(0, 7)
    engine.scan_batches(1)
    _, events = recorded(engine, emitter)
    examined = events[events["kind"] == E.CMP_AND_MERGE_PAGE]
    assert sorted(int(item) > 0 for item in examined["rmap_item"]) == [False, True]
    (placed,) = events[events["kind"] == E.REPLACE_PAGE]
    assert placed["flags"] == Flag.ZERO_PAGE


def test_the_pipeline_reconciles_a_run_and_is_silent_where_checksums_would_tell():
    reach = {"process": "p", "region": "r", "first": 0, "pages": 40}
    steps = (
        step("spawn", process="p"),
        step("map", process="p", region="r", pages=40, huge=False),
        step("fill", **reach, content=Content("byte", 1)),
        step("fill", **reach | {"pages": 9}, content=Content("unique", 1)),
        step("fill", **reach | {"first": 9, "pages": 4}, content=Content("zero")),
        step("scan", passes=20),
        step("fork", process="p", child="c"),
        step("poke", **reach | {"first": 30, "pages": 5}, offset=0, value=9),
        step("scan", passes=20),
    )
    source = EngineSource(Workload("w", "uksm", {"page_time_ns": 20_000}, steps))
    plugins = {
        name: plugin(name) for name in ("volatile", "stable_tree", "groups", "scan_cost", "balance")
    }
    run = runner(list(source.batches()), plugins, of=source.session, interval=3600).run()
    document, scanner = run.document, source._simulation.engine.scanner
    for gauge in ("pages_shared", "pages_sharing", "pages_unshared"):
        assert document["reconciliation"][gauge]["difference"] == 0
    # volatile, chains and profit are none of UKSM's
    assert {"pages_volatile", "stable_node_chains", "general_profit"}.isdisjoint(
        document["counters"]
    )
    volatile = document["analyzers"]["volatile"]
    assert volatile["examined_pages"] == scanner.pages_scanned
    assert scanner.uksm.strength.strength != 64  # every checksum has changed, and no page has
    for key in ("changed_pages", "first_look_pages", "unplaced_pages", "processes"):
        assert volatile[key] is None
    for cause in ("changed", "fork_shared", "chain_full", "first_look"):
        assert set(volatile["causes"][cause].values()) == {None}
    families = {one.name: one for one in plugins["volatile"].ksmtrace_metrics(source.session)}
    told = {one.labels["cause"] for one in families["ksmtrace_unplaced_pages"].samples}
    assert told == {"held", "huge_page", "other"}
    (section,) = plugins["volatile"].ksmtrace_sections(source.session)
    (chart,) = section.charts
    assert chart.series.keys() == {"locked or pinned", "huge page", "other"}
    other, balance = document["analyzers"]["groups"]["other"], document["analyzers"]["balance"]
    assert (other["wasted_pages"], other["metadata_bytes"]) == (None, None)
    for row in (balance["total"], *balance["processes"]):
        assert (row["metadata_bytes"], row["net_saved_bytes"]) == (None, None)
        assert row["rmap_items"] > 0
    assert document["analyzers"]["scan_cost"]["last_pass_zero_checksum_pages"] is None
    assert document["analyzers"]["stable_tree"]["zero_page_pages"] == 4


OF_THE_TRACE = {E.LOST, E.TOTAL, E.PROBE_TIME, E.STREAM_END}
"""Kinds by which a trace tells of itself: no probe shows them."""


def test_the_session_says_what_is_not_there_and_why():
    engine = Engine("uksm", {"seed": 7})
    session = engine_session(engine.variant, engine.scanner)
    assert session.kernel.release == "uksm"
    assert session.tunables["cpu_ratios"] == "20 40 MAX/4 MAX/1"
    assert session.tunables["seed"] == "7"
    assert "pages_to_scan" not in session.tunables
    absent = {k: p for k, p in session.probes.items() if p.exactness is Exactness.ABSENT}
    assert all(probe.note and not probe.via for probe in absent.values())
    assert {E.MM_ENTER, E.MM_EXIT, E.SKIPPED} <= absent.keys()
    assert session.probes.keys() == set(E) - OF_THE_TRACE
    assert Session.from_json(session.to_json(), "engine") == session
