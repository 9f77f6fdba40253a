"""Records of KSM's relatives: what a reconstruction makes of PKSM's is PKSM's own state."""

from collections import Counter

from hypothesis import given, settings
from unit.engine.machines import batches_with_entries, region, repeated
from unit.engine.strategies import step, workloads
from unit.engine.test_events import reading, recorded

from ksmtrace.engine.engine import Engine
from ksmtrace.engine.trace.emitter import Emitter
from ksmtrace.engine.trace.visibility import engine_session
from ksmtrace.events import EventKind, Flag, Gauge
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.session import Exactness, Session
from ksmtrace.sources.engine import EngineSource
from ksmtrace.workload.content import Content
from ksmtrace.workload.file import Workload
from support.runs import plugin, runner

E = EventKind
TREES = (Gauge.PAGES_SHARED, Gauge.PAGES_SHARING, Gauge.PAGES_UNSHARED)


def traced(variant, *contents):
    emitter = Emitter()
    engine = Engine(variant, {"pages_to_scan": 1000}, watcher=emitter)
    region(engine, "p", "r", contents, mergeable=False)
    emitter.take()
    return engine, emitter


@settings(max_examples=300, deadline=None)
@given(workloads(variants=("pksm",)))
def test_readings_and_reconstruction_equal_pksm_after_every_batch(workload):
    """The unstable tree can be followed; who shares a page can not, and is not claimed."""
    source = EngineSource(workload)
    engine = source._simulation.engine
    scanner = engine.scanner
    reconstruction = Reconstruction(source.session)
    passes, examined = 0, 0
    for index, batch in enumerate(source.batches()):
        if index == 0:
            reconstruction.start(reading(batch))
        reconstruction.apply(batch)
        assert reconstruction.gauges() == {
            Gauge.PAGES_SHARED: None,
            Gauge.PAGES_SHARING: None,
            Gauge.PAGES_UNSHARED: scanner.pages_unshared,
            Gauge.PAGES_VOLATILE: None,
        }
        if len(batch.of(E.SCAN_STOP)):
            mapped = Counter(
                frame.pfn
                for process in engine.processes.values()
                for frame in process.mm.ptes.values()
                if frame.ksm
            )
            read = reading_of(batch.events)
            assert read[Gauge.PAGES_SHARED] == len(mapped)
            assert read[Gauge.PAGES_SHARING] == mapped.total() - len(mapped)
        passes += len(batch.of(E.SCAN_STOP))
        examined += len(batch.of(E.CMP_AND_MERGE_PAGE))
    assert (passes, examined) == (scanner.full_scans, scanner.pages_scanned)


@settings(max_examples=100, deadline=None)
@given(workloads(variants=("pksm", "zero-page")))
def test_every_entry_that_changed_its_page_has_a_record(workload):
    """Between two looks at all page tables, entries changed as REPLACE_PAGE records say."""
    for batch, before, entries in batches_with_entries(workload):
        if len(batch.of(E.SCAN_START)) or len(batch.of(E.CMP_AND_MERGE_PAGE)):
            replaced = batch.of(E.REPLACE_PAGE)
            said = {
                (int(e["mm"]), int(e["address"])): (int(e["pfn"]), int(e["aux"])) for e in replaced
            }
            assert len(said) == len(replaced)
            changed = {at for at in entries if at in before and entries[at] != before[at]}
            assert said == {at: (before[at], entries[at]) for at in changed}
            assert entries.keys() == before.keys()


def test_records_of_a_merge_by_pksm():
    engine, emitter = traced("pksm", 7, 7, 7)
    engine.scan_passes(1)
    kinds, events = recorded(engine, emitter)
    gone = Flag.STABLE_BEFORE | Flag.FREED
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
        (E.TRY_TO_MERGE_ONE_PAGE, Flag.HAS_KPAGE),
        (E.REPLACE_PAGE, 0),
        (E.STABLE_APPEND, 0),
        (E.CMP_AND_MERGE_PAGE, Flag.STABLE_AFTER),
        # the delete list: the pages that gave way
        (E.REMOVE_RMAP_ITEM, gone),
        (E.REMOVE_RMAP_ITEM, gone),
        (E.SCAN_STOP, 0),
    ]
    by_kind = {kind: events[events["kind"] == kind] for kind in E}
    waiting, stays, gives_way = by_kind[E.CMP_AND_MERGE_PAGE]
    pages = [one["address"] for one in (gives_way, stays, waiting)]
    assert pages == sorted(pages)  # the newest is examined first
    assert set(by_kind[E.REPLACE_PAGE]["aux"].tolist()) == {int(stays["pfn"])}
    assert by_kind[E.REPLACE_PAGE]["pfn"].tolist() == [waiting["pfn"], gives_way["pfn"]]
    assert set(by_kind[E.STABLE_APPEND]["aux"].tolist()) == {int(stays["aux"])}
    items = by_kind[E.STABLE_APPEND]["rmap_item"].tolist()
    assert items == [stays["rmap_item"], waiting["rmap_item"], gives_way["rmap_item"]]
    freed = by_kind[E.REMOVE_RMAP_ITEM]["rmap_item"][1:].tolist()
    assert freed == [gives_way["rmap_item"], waiting["rmap_item"]]  # the last that came first
    assert waiting["checksum"] == stays["checksum"] != 0


def test_records_of_writes_to_pksms_pages():
    engine, emitter = traced("pksm", 7, 7)
    engine.scan_passes(1)
    emitter.take()
    for page in range(2):
        engine.fill("p", "r", page, 1, repeated(8))
        assert recorded(engine, emitter)[0] == [(E.COW_FAULT, 0)]
    region(engine, "p", "s", [9, 10], mergeable=False)
    engine.scan_passes(1)
    after = E.CMP_AND_MERGE_PAGE, Flag.UNSTABLE_AFTER
    kinds, _ = recorded(engine, emitter)
    assert kinds == [
        (E.SCAN_START, 0),
        (E.PROCESS, 0),
        (E.REMOVE_STABLE_NODE, 0),  # the first search meets it
        after,
        after,
        (E.REMOVE_RMAP_ITEM, Flag.FREED),
        (E.SCAN_STOP, 0),
    ]
    engine.fill("p", "s", 0, 1, repeated(10))
    engine.scan_batches(1)  # the sweep at its end finds the change
    kinds, _ = recorded(engine, emitter)
    assert kinds[1:-1] == [(E.REMOVE_RMAP_ITEM, Flag.UNSTABLE_BEFORE)]


def test_records_of_failures_of_pksm():
    engine, emitter = traced("pksm", 7)
    engine.scan_passes(1)
    region(engine, "q", "r", [7], mergeable=False)
    engine.fork("q", "child")
    emitter.take()
    engine.scan_passes(1)
    kinds, events = recorded(engine, emitter)
    # a page that is mapped twice becomes a KSM page at its first mapping, and is none of the second
    assert [kind for kind, _ in kinds] == [
        *(E.SCAN_START, E.PROCESS, E.TRY_TO_MERGE_ONE_PAGE),
        *(E.CMP_AND_MERGE_PAGE, E.REMOVE_RMAP_ITEM, E.SCAN_STOP),
    ]
    attempts = events[events["kind"] == E.TRY_TO_MERGE_ONE_PAGE]
    assert attempts["err"].tolist() == [1]  # PKSM_FAULT_DROP


def test_records_of_zero_pages():
    for variant, freed in (("pksm", [(E.REMOVE_RMAP_ITEM, Flag.FREED)]), ("zero-page", [])):
        engine, emitter = traced(variant, 0)
        engine.scan_passes(1)
        kinds, events = recorded(engine, emitter)
        assert kinds == [
            (E.SCAN_START, 0),
            (E.PROCESS, 0),
            (E.TRY_TO_MERGE_ONE_PAGE, Flag.HAS_KPAGE | Flag.ZERO_PAGE),
            (E.REPLACE_PAGE, Flag.ZERO_PAGE),
            (E.CMP_AND_MERGE_PAGE, 0),
            *freed,
            (E.SCAN_STOP, 0),
        ]
        assert reading_of(events)[Gauge.KSM_ZERO_PAGES] == 1


def test_records_of_the_zero_page_scanner():
    engine, emitter = traced("zero-page", 7, 0, 0)
    engine.pin("p", "r", 1)
    engine.scan_passes(1)
    kinds, events = recorded(engine, emitter)
    assert Counter(kind for kind, _ in kinds) == {
        E.SCAN_START: 1,
        E.PROCESS: 1,
        E.CMP_AND_MERGE_PAGE: 3,
        E.TRY_TO_MERGE_ONE_PAGE: 2,
        E.REPLACE_PAGE: 1,
        E.SCAN_STOP: 1,
    }
    attempts = events[events["kind"] == E.TRY_TO_MERGE_ONE_PAGE]
    assert attempts["err"].tolist() == [-14, 0]
    assert not events["rmap_item"][events["kind"] != E.PROCESS].any()


OF_THE_TRACE = {E.LOST, E.TOTAL, E.PROBE_TIME, E.STREAM_END}
"""Kinds by which a trace tells of itself: no probe shows them."""


def reading_of(events):
    samples = events[events["kind"] == E.SAMPLE]
    return {Gauge(int(e["address"])): int(e["aux"]) for e in samples}


def test_sessions_say_what_is_not_there_and_why():
    for variant in ("pksm", "zero-page"):
        engine = Engine(variant, {"pages_to_scan": 7})
        session = engine_session(engine.variant, engine.scanner)
        assert session.kernel.release == variant
        more = {"period_seconds": "10"} if variant == "pksm" else {}
        assert session.tunables == {"pages_to_scan": "7", "sleep_millisecs": "20", **more}
        absent = {k: p for k, p in session.probes.items() if p.exactness is Exactness.ABSENT}
        assert all(probe.note and not probe.via for probe in absent.values())
        assert {E.MM_ENTER, E.BREAK_COW, E.SKIPPED} <= absent.keys()
        assert session.probes.keys() == set(E) - OF_THE_TRACE
        assert Session.from_json(session.to_json(), "engine") == session


ANALYZERS = ("volatile", "stable_tree", "unstable_tree", "groups", "scan_cost", "balance")


def document(variant):
    reach = {"process": "p", "region": "r", "first": 0, "pages": 40}
    steps = (
        step("spawn", process="p"),
        step("map", process="p", region="r", pages=40, huge=False),
        step("fill", **reach, content=Content("byte", 1)),
        step("fill", **reach | {"pages": 9}, content=Content("unique", 1)),
        step("fill", **reach | {"first": 9, "pages": 4}, content=Content("zero")),
        step("scan", passes=2),
        step("fork", process="p", child="c"),
        step("poke", **reach | {"first": 30, "pages": 5}, offset=0, value=9),
        step("scan", passes=3),
    )
    source = EngineSource(Workload("w", variant, {"pages_to_scan": 7}, steps))
    plugins = {name: plugin(name) for name in ANALYZERS}
    run = runner(list(source.batches()), plugins, of=source.session, interval=3600).run()
    return run.document, source.document()["snapshots"][-1]["counters"]


def test_the_pipeline_shows_a_run_of_pksm_and_claims_nothing_of_sharers():
    shown, last = document("pksm")
    rows = shown["reconciliation"]
    assert rows["pages_unshared"]["difference"] == 0
    for name in ("pages_shared", "pages_sharing", "pages_volatile"):
        assert rows[name]["reconstructed"] is None
    assert shown["self_check"]["at_scan_stop"] == shown["passes"] > 2
    assert shown["self_check"]["at_scan_stop_differing"] == 0
    # 27 equal pages; the fork of all of them and 5 writes of the parent
    counters = shown["counters"]
    assert (counters["pages_shared"], counters["pages_sharing"]) == (1, 2 * 27 - 5 - 1)
    assert counters["ksm_zero_pages"] == last["ksm_zero_pages"] == 2 * 4
    assert shown["events"]["by_kind"]["COW_FAULT"] == 5
    found = shown["analyzers"]
    assert found["volatile"]["placed_stable_pages"] == 26
    assert found["volatile"]["wasted_pages"] == 0
    assert found["volatile"]["gone_pages"] is None
    assert found["groups"]["other"]["wasted_pages"] is None
    assert found["stable_tree"]["sharing_pages"] == counters["pages_sharing"]
    for name in ("left_pages", "node_sharers_pages"):
        assert found["stable_tree"][name] is None


def test_records_of_zero_pages_taken_back():
    engine, emitter = traced("zero-page", 0, 0)
    engine.scan_passes(1)
    emitter.take()
    engine.poke("p", "r", 0, 1, 0, 1)
    engine.discard("p", "r", 0, 1)  # takes nothing back
    engine.write_run(2)
    kinds, events = recorded(engine, emitter)
    assert kinds == [
        (E.COW_FAULT, Flag.ZERO_PAGE),
        (E.COW_FAULT, Flag.ZERO_PAGE | Flag.BY_KERNEL),
        (E.TUNABLE, 0),
    ]
    assert events["address"][:2].tolist() == [0x100000000 << 12, 0x100000001 << 12]
    assert set(events["pfn"][:2].tolist()) == {engine.memory.zero_page.pfn}


def test_the_pipeline_shows_a_run_of_the_zero_page_scanner():
    shown, last = document("zero-page")
    # what is not empty is neither shared by forks nor anything else, and what is empty is placed
    volatile = shown["analyzers"]["volatile"]
    assert volatile["examined_pages"] == last["pages_scanned"]
    assert volatile["unplaced_pages"] is volatile["causes"] is volatile["wasted_pages"] is None
    assert shown["analyzers"]["groups"]["other"]["wasted_pages"] is None
    assert shown["analyzers"]["scan_cost"]["coverage_ratio"] is None
    total = shown["analyzers"]["balance"]["total"]
    assert (total["saved_bytes"], total["zero_pages"]) == (None, 8)
    assert (total["net_saved_bytes"], total["metadata_bytes"]) == (8 * 4096, 0)
    assert all(row["reconstructed"] is None for row in shown["reconciliation"].values())
    assert shown["passes"] == last["full_scans"]
    assert shown["counters"]["ksm_zero_pages"] == last["ksm_zero_pages"] == 8
    assert shown["events"]["by_kind"]["REPLACE_PAGE"] == 4
    assert shown["events"]["by_kind"]["CMP_AND_MERGE_PAGE"] == last["pages_scanned"]
