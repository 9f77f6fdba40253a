"""The engine's records: what a reconstruction makes of them is the engine's own state."""

import errno

import numpy as np
import pytest
from hypothesis import given, settings
from unit.engine.machines import machine, region, since, unique
from unit.engine.strategies import step, workloads

from ksmtrace.engine.trace.emitter import Emitter
from ksmtrace.engine.variants import KERNELS, NEWEST
from ksmtrace.events import EventKind, Flag, Gauge
from ksmtrace.events.kinds import PAGE_GAUGES
from ksmtrace.events.readings import ReadingTracker
from ksmtrace.events.tunable import tunable_writes
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.pipeline.self_check import SelfCheck
from ksmtrace.session import Session
from ksmtrace.sources.engine import EngineSource
from ksmtrace.workload.content import Content
from ksmtrace.workload.file import Workload
from support import engine_streams
from support.runs import plugin, runner
from support.workload_steps import workload


def reading(batch):
    """The last reading of the counters in a batch, by gauge."""
    values = {}
    for record in batch.of(EventKind.SAMPLE):
        if values.get("whole"):
            values = {}
        values[Gauge(int(record["address"]))] = int(record["aux"].astype("<i8"))
        values["whole"] = bool(record["flags"] & Flag.LAST_OF_SAMPLE)
    assert values.pop("whole")
    return values


@settings(max_examples=200, deadline=None)
@given(workloads(variants=tuple(KERNELS)))
def test_reconstruction_equals_the_engine_after_every_batch(workload):
    source = EngineSource(workload)
    engine = source._simulation.engine
    reconstruction = Reconstruction(source.session)
    for index, batch in enumerate(source.batches()):
        if index == 0:
            reconstruction.start(reading(batch))
        reconstruction.apply(batch)
        counters = engine.counters()
        expected = {gauge: counters[gauge.name.lower()] for gauge in PAGE_GAUGES}
        assert reconstruction.gauges() == expected


@settings(max_examples=100, deadline=None)
@given(workloads(variants=since(6, 7)))
def test_counts_of_records_equal_the_counters(workload):
    source = EngineSource(workload)
    check, readings = SelfCheck(source.session), ReadingTracker()
    for batch in source.batches():
        check.apply(batch)
        for read in readings.apply(batch):
            check.read(read)
    rows = check.to_json()
    assert {"examined", "skipped", "cow_faults", "merged"} <= set(rows)
    assert all(row["difference"] == 0 for row in rows.values())


def recorded(engine, emitter):
    """The records since the last call, as (kind, flags) and the records themselves."""
    batch = emitter.take()
    kinds = [EventKind(kind) for kind in batch.kind.tolist()]
    return [
        (kind, int(flags))
        for kind, flags in zip(kinds, batch.events["flags"].tolist(), strict=True)
        if kind is not EventKind.SAMPLE
    ], batch.events


def traced(variant=NEWEST, **tunables):
    emitter = Emitter()
    engine = machine(variant, watcher=emitter, **tunables)
    emitter.take()
    return engine, emitter


E = EventKind


def test_records_of_a_first_merge():
    engine, emitter = traced()
    region(engine, "p", "r", [1, 1])
    engine.scan_passes(1)
    kinds, _ = recorded(engine, emitter)
    assert kinds == [
        (E.MM_ENTER, 0),
        (E.PROCESS, 0),
        (E.SCAN_START, 0),
        (E.PROCESS, 0),
        (E.CMP_AND_MERGE_PAGE, 0),
        (E.CMP_AND_MERGE_PAGE, 0),
        (E.SCAN_STOP, 0),
    ]
    engine.scan_passes(1)
    kinds, events = recorded(engine, emitter)
    assert kinds == [
        (E.SCAN_START, 0),
        (E.PROCESS, 0),
        (E.CMP_AND_MERGE_PAGE, Flag.UNSTABLE_AFTER),
        (E.TRY_TO_MERGE_ONE_PAGE, 0),
        (E.TRY_TO_MERGE_ONE_PAGE, Flag.HAS_KPAGE),
        (E.REPLACE_PAGE, 0),
        (E.REMOVE_RMAP_ITEM, Flag.UNSTABLE_BEFORE),
        (E.STABLE_APPEND, Flag.NEW_NODE),
        (E.STABLE_APPEND, 0),
        (E.CMP_AND_MERGE_PAGE, Flag.STABLE_AFTER),
        (E.SCAN_STOP, 0),
    ]
    of = {kind: [e for e in events if e["kind"] == kind] for kind in E}
    first, second = of[E.CMP_AND_MERGE_PAGE]
    (half, other_half), (replaced,) = of[E.TRY_TO_MERGE_ONE_PAGE], of[E.REPLACE_PAGE]
    assert (half["rmap_item"], half["pfn"]) == (second["rmap_item"], second["pfn"])
    assert other_half["rmap_item"] == replaced["rmap_item"] == first["rmap_item"]
    assert other_half["aux"] == replaced["aux"] == second["pfn"]
    assert replaced["pfn"] == first["pfn"]
    # The tree's item is appended first.
    appended = of[E.STABLE_APPEND]
    assert [e["rmap_item"] for e in appended] == [first["rmap_item"], second["rmap_item"]]
    assert {int(e["aux"]) for e in appended} == {int(second["aux"])}
    assert first["oldchecksum"] == first["checksum"] == second["checksum"] != 0
    assert second["address"] - first["address"] == 4096
    assert second["ts"] < half["ts"] < replaced["ts"]


def test_records_of_a_write_and_an_unmap():
    engine, emitter = traced()
    region(engine, "p", "r", [1, 1])
    engine.scan_passes(2)
    emitter.take()
    engine.poke("p", "r", 0, 1, 0, 2)
    engine.unmap("p", "r", 1, 1)
    engine.scan_passes(1)
    kinds, _ = recorded(engine, emitter)
    freed = Flag.STABLE_BEFORE | Flag.FREED
    assert kinds == [
        (E.COW_FAULT, 0),
        (E.SCAN_START, 0),
        (E.PROCESS, 0),
        # the node's page is gone, which shows when its first rmap_item is to leave it
        (E.REMOVE_RMAP_ITEM, Flag.STABLE_BEFORE),
        (E.REMOVE_STABLE_NODE, 0),
        (E.CMP_AND_MERGE_PAGE, Flag.STABLE_BEFORE),
        (E.REMOVE_RMAP_ITEM, Flag.FREED),
        (E.SCAN_STOP, 0),
    ]
    assert freed not in [flags for _, flags in kinds]


def test_records_of_run_2_and_an_exit():
    engine, emitter = traced()
    region(engine, "p", "r", [1, 1])
    engine.scan_passes(2)
    emitter.take()
    engine.write_run(2)
    engine.exit("p")
    kinds, _ = recorded(engine, emitter)
    freed = Flag.STABLE_BEFORE | Flag.FREED
    assert kinds == [
        (E.COW_FAULT, Flag.BY_KERNEL),
        (E.COW_FAULT, Flag.BY_KERNEL),
        (E.REMOVE_RMAP_ITEM, freed),
        (E.REMOVE_STABLE_NODE, 0),
        (E.REMOVE_RMAP_ITEM, Flag.FREED),
        (E.TUNABLE, 0),
        (E.MM_EXIT, 0),
    ]


def test_records_of_the_zero_page_and_of_a_fork():
    engine, emitter = traced(use_zero_pages=1)
    region(engine, "p", "r", [0, 1, 1])
    engine.scan_passes(2)
    kinds, _ = recorded(engine, emitter)
    attempt = Flag.HAS_KPAGE | Flag.ZERO_PAGE
    at = kinds.index((E.TRY_TO_MERGE_ONE_PAGE, attempt))
    assert kinds[at + 1 : at + 3] == [(E.REPLACE_PAGE, Flag.ZERO_PAGE), (E.CMP_AND_MERGE_PAGE, 0)]
    engine.fork("p", "child")
    engine.scan_passes(1)
    kinds, _ = recorded(engine, emitter)
    adopted = (E.TRY_TO_MERGE_ONE_PAGE, Flag.HAS_KPAGE | Flag.SAME_PAGE)
    assert kinds[kinds.index(adopted) + 1] == (E.STABLE_APPEND, 0)
    assert E.REPLACE_PAGE not in [kind for kind, _ in kinds]


def test_records_of_a_failed_second_half():
    engine, emitter = traced("ksm-6.1")
    region(engine, "p", "r", [1, 1])
    engine.pin("p", "r", 0)
    engine.scan_passes(1)
    emitter.take()
    engine.scan_passes(1)
    kinds, events = recorded(engine, emitter)
    at = kinds.index((E.BREAK_COW, 0))
    assert kinds[at - 2 : at + 3] == [
        (E.TRY_TO_MERGE_ONE_PAGE, 0),
        (E.TRY_TO_MERGE_ONE_PAGE, Flag.HAS_KPAGE | Flag.PAGE_STATE),
        (E.BREAK_COW, 0),
        (E.COW_FAULT, Flag.BY_KERNEL),
        (E.CMP_AND_MERGE_PAGE, 0),
    ]
    attempts = [e for e in events if e["kind"] == E.TRY_TO_MERGE_ONE_PAGE]
    assert [int(e["err"]) for e in attempts] == [0, -14]
    # references and mappings of the one that failed: ksmd's reference, the entry's, and the pin
    assert [(e["oldchecksum"], e["checksum"]) for e in attempts] == [(0, 0), (3, 1)]
    assert [int(e["err"]) for e in events if e["kind"] == E.COW_FAULT] == [8]


@pytest.mark.parametrize("pinned", [False, True])
def test_records_of_a_huge_page(pinned):
    engine, emitter = traced()
    engine.spawn("p")
    engine.map("p", "huge", 512, huge=True)
    engine.fill("p", "huge", 0, 512, unique(1))
    engine.mergeable("p", "huge", 0, 512)
    engine.spawn("q")
    engine.map("q", "r", 1)
    engine.fill("q", "r", 0, 1, lambda _index: unique(1)(9))
    engine.mergeable("q", "r", 0, 1)
    if pinned:
        engine.pin("p", "huge", 3)
    engine.scan_passes(2)
    _, events = recorded(engine, emitter)
    own, partners = (e for e in events if e["kind"] == E.TRY_TO_MERGE_ONE_PAGE)
    assert own["flags"] == 0
    split = Flag.HAS_KPAGE | Flag.WAS_COMPOUND
    assert partners["flags"] == (split | Flag.PAGE_STATE | Flag.COMPOUND if pinned else split)
    assert (partners["err"] != 0) == pinned


def test_records_of_smart_scan():
    engine, emitter = traced(smart_scan=1)
    region(engine, "p", "r", [1])
    engine.scan_passes(4)
    emitter.take()
    engine.scan_passes(1)
    kinds, _ = recorded(engine, emitter)
    assert kinds == [
        (E.SCAN_START, 0),
        (E.SKIPPED, 0),
        (E.REMOVE_RMAP_ITEM, Flag.UNSTABLE_BEFORE),
        (E.SCAN_STOP, 0),
    ]


def test_writes_of_tunables_stand_where_they_took_effect():
    rows = (
        *("spawn p", "map p r 2", "fill p r content=byte:1", "mergeable p r", "scan 2"),
        *(
            "set tunables={use_zero_pages=1}",
            "run 2",
            "set tunables={max_page_sharing=3}",
            "scan 1",
        ),
    )
    session, records = engine_streams.recorded(workload(*rows, smart_scan=0))
    assert session.tunables["use_zero_pages"] == "0"
    kinds = records["kind"]
    writes = tunable_writes(records)
    assert [(one.name, one.text, one.err) for one in writes] == [
        ("use_zero_pages", "1", 0),
        ("run", "2", 0),
        ("max_page_sharing", "3", 0),
    ]
    on, unmerge, limit = np.flatnonzero(kinds == E.TUNABLE).tolist()
    done = {E.COW_FAULT, E.REMOVE_RMAP_ITEM, E.REMOVE_STABLE_NODE}
    assert set(kinds[on + 1 : unmerge].tolist()) == done
    assert limit == unmerge + 1
    assert kinds[on - 1] == E.SAMPLE
    assert kinds[limit + 1] == E.SCAN_START


def test_a_refused_write_says_why():
    engine, emitter = traced()
    region(engine, "p", "r", [1, 1])
    engine.scan_passes(2)
    emitter.take()
    with pytest.raises(OSError, match="EBUSY"):
        engine.write_tunable("max_page_sharing", 3)
    (found,) = tunable_writes(emitter.take().events)
    assert (found.name, found.text, found.err) == ("max_page_sharing", "3", -errno.EBUSY)


def test_a_file_that_is_not_there_is_not_written():
    engine, emitter = traced("ksm-6.1")
    with pytest.raises(OSError, match="ENOENT"):
        engine.write_tunable("smart_scan", 1)
    assert len(emitter) == 0


def test_the_session_says_what_the_run_is():
    workload = Workload("w", "ksm-6.1", {"pages_to_scan": 7}, (step("spawn", process="p"),))
    source = EngineSource(workload)
    session = source.session
    assert (session.source, session.kernel.release) == ("engine", "ksm-6.1")
    assert session.tunables["pages_to_scan"] == "7"
    assert "smart_scan" not in session.tunables
    assert not session.sees(EventKind.SKIPPED)
    assert session.sees(EventKind.BREAK_COW)
    assert Session.from_json(session.to_json(), "engine") == session


def test_stop_ends_the_stream_with_a_reading():
    steps = (
        step("spawn", process="p"),
        step("map", process="p", region="r", pages=4, huge=False),
        step("fill", process="p", region="r", first=0, pages=4, content=Content("byte", 1)),
        step("mergeable", process="p", region="r", first=0, pages=4),
        step("scan", passes=1000),
    )
    source = EngineSource(Workload("w", NEWEST, {"pages_to_scan": 1}, steps))
    batches = []
    for batch in source.batches():
        batches.append(batch)
        if len(batch.of(EventKind.SCAN_STOP)):
            source.stop()
    source.close()
    assert reading(batches[-1])[Gauge.FULL_SCANS] < 10
    assert batches[-1].kind[-1] == EventKind.SAMPLE


def test_seq_has_no_gaps_and_keys_are_addresses():
    engine, emitter = traced()
    region(engine, "p", "r", [1] * 200)
    engine.scan_passes(400)
    events = emitter.take().events
    assert len(events) > 65536
    assert (events["seq"][1:] - events["seq"][:-1] == 1).all()
    assert events["mm"].max() >= 0xFFFF800000000000
    assert (events["cpu"] == 0).all()


@pytest.mark.parametrize("variant", KERNELS)
def test_the_pipeline_reconciles_an_engines_run(variant):
    reach = {"process": "p", "region": "r", "first": 0, "pages": 40}
    steps = (
        step("spawn", process="p"),
        step("map", process="p", region="r", pages=40, huge=False),
        step("fill", **reach, content=Content("byte", 1)),
        step("fill", **reach | {"pages": 9}, content=Content("unique", 1)),
        step("mergeable", **reach),
        step("scan", passes=3),
        step("poke", **reach | {"pages": 12}, offset=0, value=9),
        step("fork", process="p", child="c"),
        step("scan", batches=9),
        step("exit", process="c"),
        step("scan", passes=2),
    )
    source = EngineSource(Workload("w", variant, {"pages_to_scan": 7}, steps))
    names = ("volatile", "stable_tree", "unstable_tree")
    plugins = {name: plugin(name) for name in names}
    run = runner(list(source.batches()), plugins, of=source.session, interval=3600)
    document = run.run().document
    rows = document["reconciliation"]
    assert len(rows) == len(PAGE_GAUGES)
    assert all(row["difference"] == 0 for row in rows.values())
    assert run.state.self_check.rows
    assert all(row.events == row.other for row in run.state.self_check.rows)
    assert document["source"] == "engine"
    assert document["events"]["by_kind"]["COW_FAULT"] > 0
    last = source.document()["snapshots"][-1]["counters"]
    shown = {name: value for name, value in last.items() if value is not None}
    assert shown.items() <= document["counters"].items()
