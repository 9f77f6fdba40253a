"""Zero-page merging of every process, of zeroes only; then all variants side by side."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from unit.engine.machines import region, repeated
from unit.engine.strategies import step, workloads
from unit.engine.test_random_workloads import after_every_batch, check_frames

from ksmtrace.engine.engine import Engine
from ksmtrace.engine.variants import VARIANTS
from ksmtrace.errors import KsmtraceError
from ksmtrace.workload import file
from ksmtrace.workload.content import Content
from ksmtrace.workload.file import Workload
from ksmtrace.workload.on_engine import Simulation


def zero_page(**tunables):
    engine = Engine("zero-page", {"pages_to_scan": 1000, **tunables})
    region(engine, "p", "r", [0, 7, 7, 0], mergeable=False)
    region(engine, "q", "r", [0, None], mergeable=False)
    return engine


def test_one_pass_merges_the_empty_pages_of_all_processes_and_no_others():
    engine = zero_page()
    engine.scan_passes(1)
    counters = engine.counters()
    assert counters["ksm_zero_pages"] == 3
    assert counters["general_profit"] == 3 * 4096
    assert counters["pages_scanned"] == 5
    assert counters["pages_shared"] is None
    assert engine.groups() == []


def test_placed_zero_pages_are_no_candidates_and_come_back_when_emptied_again():
    engine = zero_page()
    engine.scan_passes(2)
    assert engine.counters()["pages_scanned"] == 5 + 2
    engine.poke("p", "r", 0, 1, 5, 1)
    assert engine.counters()["ksm_zero_pages"] == 2
    engine.poke("p", "r", 0, 1, 5, 0)
    engine.scan_passes(1)
    assert engine.counters()["ksm_zero_pages"] == 3


def test_batches_stop_in_the_middle_of_a_pass():
    engine = zero_page(pages_to_scan=2)
    seen = []
    for _ in range(3):
        engine.scan_batches(1)
        seen.append((engine.counters()["ksm_zero_pages"], engine.counters()["full_scans"]))
    assert seen == [(1, 0), (2, 0), (3, 1)]


def test_pinned_pages_are_left_alone_and_run_2_takes_all_back():
    engine = zero_page()
    engine.pin("p", "r", 0)
    engine.scan_passes(1)
    assert engine.counters()["ksm_zero_pages"] == 2
    engine.fork("p", "child")
    assert engine.counters()["ksm_zero_pages"] == 3
    engine.write_run(2)
    assert engine.counters()["ksm_zero_pages"] == 0
    assert all(frame.anon for frame in engine.processes["p"].mm.ptes.values())
    engine.exit("child")
    assert engine.counters()["ksm_zero_pages"] == 0


def test_an_empty_part_of_a_huge_page_is_merged_alone():
    engine = Engine("zero-page", {"pages_to_scan": 1000})
    engine.spawn("p")
    engine.map("p", "r", 512, huge=True)
    engine.fill("p", "r", 0, 510, repeated(7))  # the other two parts come with it
    engine.scan_passes(1)
    assert engine.counters()["ksm_zero_pages"] == 2
    assert all(frame.compound is None for frame in engine.processes["p"].mm.ptes.values())


@settings(max_examples=30, deadline=None)
@given(workloads(variants=("zero-page", "pksm"), huge=True))
def test_memory_with_huge_pages_is_untouched(workload):
    for engine, shadow in after_every_batch(workload):
        shadow.check_mapped(engine)
        if engine.variant.name == "pksm":
            assert all(item.page.compound is None for item in engine.scanner._items.values())


@settings(max_examples=100, deadline=None)
@given(workloads(variants=("zero-page",)))
def test_memory_is_untouched_after_every_batch(workload):
    for engine, shadow in after_every_batch(workload):
        shadow.check(engine)
        check_frames(engine)


def everything():
    """8 equal, 4 unique and 4 empty pages in each of two processes; one process forgets to ask."""
    steps = []
    for process in ("asks", "does not"):
        reach = {"process": process, "region": "r"}
        steps += [
            step("spawn", process=process),
            step("map", **reach, pages=16, huge=False),
            step("fill", **reach, first=0, pages=8, content=Content("byte", 7)),
            step("fill", **reach, first=8, pages=4, content=Content("unique", len(process))),
            step("fill", **reach, first=12, pages=4, content=Content("zero")),
        ]
    ask = step("mergeable", process="asks", region="r", first=0, pages=16)
    return Workload("w", "pksm", {"pages_to_scan": 1000}, (*steps, ask))


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_variants_on_one_workload(variant):
    """Pages saved, and passes until no more are."""
    saved = []
    workload = everything()
    if variant == "uksm":
        workload = replace(workload, tunables={})  # its quotas follow from CPU time
    simulation = Simulation(workload, variant=variant)
    for _ in simulation.run():
        pass
    engine = simulation.engine
    frames = {id(f) for p in engine.processes.values() for f in p.mm.ptes.values() if f.anon}
    before = len(frames)
    for _ in range(4):
        engine.scan_passes(1)
        frames = {id(f) for p in engine.processes.values() for f in p.mm.ptes.values() if f.anon}
        saved.append(before - len(frames))
    expected = {
        "pksm": [15 + 8] * 4,  # all 16 equal pages share one, all 8 empty ones are gone, at once
        "zero-page": [8] * 4,  # only the empty ones, at once
        "uksm": [15 + 8] * 4,  # as pksm; a round goes over so few pages many times
    }
    # KSM: the asking process's 8 equal pages share one, and its 4 empty ones too (use_zero_pages is
    # off)
    assert saved == expected.get(variant, [0, 7 + 3, 7 + 3, 7 + 3])


@pytest.mark.parametrize("variant", VARIANTS)
def test_workload_files_may_name_every_variant(variant):
    assert file.check_variant(variant) == variant


def test_relatives_have_no_ksmd():
    with pytest.raises(KsmtraceError, match="pksm has no ksmd"):
        _ = Engine("pksm").ksm


@pytest.mark.parametrize("variant", ["pksm", "zero-page"])
def test_relatives_know_few_tunables(variant):
    engine = Engine(variant)
    engine.write_tunable("pages_to_scan", 5)
    for name in ("max_page_sharing", "smart_scan"):
        with pytest.raises(OSError, match="ENOENT"):
            engine.write_tunable(name, 2)
    with pytest.raises(OSError, match="EINVAL"):
        engine.write_run(3)
