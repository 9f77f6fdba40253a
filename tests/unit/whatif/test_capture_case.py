"""Cases of captures: the run that is made of one against the run that it is of."""

from dataclasses import replace

import numpy as np
import pytest

from ksmtrace.errors import KsmtraceError
from ksmtrace.events import EventBatch, EventKind
from ksmtrace.events.tunable import TunableWrite, tunable_records
from ksmtrace.session import Exactness, Knowledge, Probe
from ksmtrace.sources.engine import EngineSource
from ksmtrace.whatif.capture_case import capture_case
from ksmtrace.whatif.case import Case
from ksmtrace.whatif.experiment import run_scenario
from ksmtrace.whatif.grid import baseline_of, build_grid
from ksmtrace.whatif.result import baseline_difference
from ksmtrace.workload.file import Step
from support.engine_streams import recorded, without_writes
from support.recordings import record, recorded_case, visible_workloads, write
from support.streams import ListSource
from support.workload_steps import workload

SWEEPS = ["max_page_sharing=2,256", "use_zero_pages=0,1", "smart_scan=0,1"]


def saved(case, scenario):
    return [point.saved_bytes for point in run_scenario(case, scenario).points]


def difference(case):
    return baseline_difference(case, run_scenario(case, baseline_of(case.workload)))


@pytest.mark.parametrize("index", range(25))
def test_without_changes_the_capture_answers_as_the_workload_does(tmp_path, index):
    truth = visible_workloads(25, writes=False)[index]
    case = recorded_case(truth, tmp_path / "c")
    variants = ["ksm-6.18", "ksm-6.1", "ksm-4.4", "pksm", "zero-page"]
    for scenario in build_grid(case.workload, variants, [], SWEEPS):
        assert saved(case, scenario) == saved(Case("workload", "w", truth), scenario), scenario
    found = difference(case)
    assert found["passes_equal"] == found["passes"] == case.passes
    assert found["pages_scanned"]["difference"] == 0


@pytest.mark.parametrize("index", range(25))
def test_with_writes_between_passes_too(tmp_path, index):
    """Every page is examined in every pass, so that the capture has each change that ksmd saw."""
    truth = visible_workloads(25, writes=True)[index]
    case = recorded_case(truth, tmp_path / "c")
    for scenario in build_grid(case.workload, ["ksm-6.18", "ksm-6.1", "ksm-4.4"], [], SWEEPS[:2]):
        ours, theirs = saved(case, scenario), saved(Case("workload", "w", truth), scenario)
        assert ours == theirs[: len(ours)], scenario
    found = difference(case)
    assert found["passes_equal"] == found["passes_compared"]


TUNED = (
    ("set", {"tunables": {"use_zero_pages": 1}}), ("scan", {"passes": 4}),
    ("set", {"tunables": {"use_zero_pages": 0, "smart_scan": 1}}), ("scan", {"passes": 6}),
    ("run", {"value": 2}),
    ("set", {"tunables": {"max_page_sharing": 2, "smart_scan": 0}}), ("scan", {"passes": 4}),
    ("set", {"tunables": {"stable_node_chains_prune_millisecs": 10**9}}), ("scan", {"passes": 2}),
)  # fmt: skip


@pytest.mark.parametrize("index", range(15))
def test_writes_to_tunables_are_followed(tmp_path, index):
    told = visible_workloads(15, writes=False)[index]
    truth = replace(told, steps=(*told.steps, *(Step(op, rest) for op, rest in TUNED)))
    case = recorded_case(truth, tmp_path / "c")
    found = difference(case)
    assert found["passes_equal"] == found["passes"] == case.passes > 15
    assert found["pages_scanned"]["difference"] == 0
    for scenario in build_grid(case.workload, ["ksm-6.18", "ksm-6.1"], [], SWEEPS):
        assert saved(case, scenario) == saved(Case("workload", "w", truth), scenario), scenario
    assert not any("tunables" in line for line in case.assumptions)


def test_a_write_during_a_pass_counts_from_the_next(tmp_path):
    steps = workload(
        "spawn p", "map p r 9", "fill p r content=zero", "mergeable p r", "scan batches=5",
        "set tunables={use_zero_pages=1}", "scan 4", pages_to_scan=4, smart_scan=0,
    )  # fmt: skip
    case = recorded_case(steps, tmp_path / "c")
    assert any("1 writes to tunables came during a pass" in line for line in case.assumptions)
    written = [step.op for step in case.workload.steps if step.op in ("set", "scan")]
    assert written[:3] == ["scan", "scan", "set"]


def test_a_capture_without_the_writes_says_so(tmp_path):
    steps = workload(
        "spawn p", "map p r 9", "fill p r content=zero", "mergeable p r",
        "set tunables={use_zero_pages=1}", "scan 4", smart_scan=0,
    )  # fmt: skip
    session, records = without_writes(*recorded(steps))
    path = write(tmp_path / "c", ListSource(session, []), [EventBatch(records)])
    case, _ = capture_case(path)
    said = "\n".join(case.assumptions)
    assert "later changes are not recorded" in said
    assert "use_zero_pages was switched on" in said
    assert not any(step.op == "set" for step in case.workload.steps)


def test_a_value_that_cannot_be_told_is_said(tmp_path):
    session, records = recorded(simple())
    odd = tunable_records(TunableWrite("pages_to_scan", "00000000000000000000000000100"))
    path = write(tmp_path / "c", ListSource(session, []), [EventBatch(records), EventBatch(odd)])
    case, _ = capture_case(path)
    assert any("pages_to_scan was written" in line for line in case.assumptions)


def test_with_forks_most_passes_are_equal(tmp_path):
    equal = compared = 0
    for truth in visible_workloads(40, writes=True, forks=True):
        try:
            found = difference(recorded_case(truth, tmp_path / "c"))
        except KsmtraceError:
            continue  # no whole pass
        equal += found["passes_equal"]
        compared += found["passes_compared"]
    assert compared > 500
    assert equal / compared > 0.9


def test_the_bundled_capture_is_followed_to_the_page(bundled_capture):
    """Its writes of run, max_page_sharing and use_zero_pages too.

    One page is in another dup of a chain for 3 passes.
    """
    case, warnings = capture_case(bundled_capture)
    assert warnings == []
    assert (case.workload.variant, case.passes) == ("ksm-6.1", 40)
    found = difference(case)
    assert found["passes_compared"] == 40
    assert found["passes_equal"] == 37
    assert found["gauges"]["pages_sharing"]["largest"] == -1
    assert found["gauges"]["pages_sharing"]["at_end"] == 0
    assert found["pages_scanned"]["difference"] == 0
    assert found["cow_breaks"]["difference"] == 0
    steps = [step for step in case.workload.steps if step.op in ("run", "set")]
    assert [(step.op, step.arguments) for step in steps] == [
        ("run", {"value": 2}),
        ("set", {"tunables": {"max_page_sharing": 8, "use_zero_pages": 1}}),
        ("set", {"tunables": {"use_zero_pages": 0}}),
    ]
    said = "\n".join(case.assumptions)
    assert "tunables" not in said
    for words in ("checksum", "two scans", "never examined", "of time"):
        assert words in said


def test_a_trace_that_joined_late_begins_with_what_was_merged(tmp_path):
    steps = workload(
        "spawn p", "map p r 30", "fill p r pages=20 content=byte:7",
        "fill p r first=20 content=unique:3", "mergeable p r", "scan 5",
        "poke p r first=0 pages=3 offset=0 value=1", "scan 3", smart_scan=0,
    )  # fmt: skip
    batches = len(list(EngineSource(steps).batches()))
    case = recorded_case(steps, tmp_path / "c", skip=batches - 8)
    assert case.passes < 8
    assert case.warm_up_steps > 0
    found = difference(case)
    assert found["passes_equal"] == found["passes_compared"] == case.passes
    assert any("before the trace" in line for line in case.assumptions)


def test_pages_that_could_not_be_merged_are_held(bundled_capture):
    case, _ = capture_case(bundled_capture)
    pinned, total = set(), 0
    for step in case.workload.steps:
        if step.op == "pin":
            total += step.arguments["pages"]
            pinned.add(step.arguments["process"])
        elif step.op == "unpin":
            pinned.remove(step.arguments["process"])
        else:
            assert not pinned or step.op == "scan"
    assert (total, pinned) == (344, set())


def test_run_2_is_found(tmp_path):
    steps = workload(
        "spawn p", "map p r 8", "fill p r content=byte:7", "mergeable p r", "scan 3",
        "run 2", "unmap p r first=6 pages=2", "scan 3",
    )  # fmt: skip
    case = recorded_case(steps, tmp_path / "c")
    assert [step.op for step in case.workload.steps].count("run") == 1
    found = difference(case)
    assert found["passes_equal"] == found["passes"] == 6
    assert found["gauges"]["pages_sharing"]["kernel_at_end"] == 5


def test_a_write_that_no_pass_saw_still_breaks_a_merge(tmp_path):
    steps = workload(
        "spawn p", "map p r 8", "fill p r content=byte:7", "mergeable p r", "scan 3",
        "poke p r first=0 pages=2 offset=0 value=1",
    )  # fmt: skip
    case = recorded_case(steps, tmp_path / "c")
    assert case.totals == (24, 2)
    assert difference(case)["cow_breaks"] == {"baseline": 2, "capture": 2, "difference": 0}


def test_writes_that_ksmd_found_are_breaks_where_faults_are_not_all_seen(tmp_path):
    """The same number as by the faults, of which a few are in the stream all the same."""
    steps = workload(
        "spawn p", "map p r 8", "fill p r content=byte:7", "mergeable p r", "scan 3",
        "poke p r first=0 pages=2 offset=0 value=1", "scan 2",
        "unmap p r first=6 pages=1", "scan 1",
    )  # fmt: skip
    exact = recorded_case(steps, tmp_path / "exact")
    source = EngineSource(steps)
    batches = list(source.batches())
    source.session.probes[EventKind.COW_FAULT] = Probe("test", Exactness.SAMPLED, share=0.02)
    case, _ = capture_case(write(tmp_path / "windows", source, batches))
    assert exact.totals == case.totals == (8 * 3 + 8 * 2 + 7, 2)
    assert any("when it next came to them" in line for line in case.assumptions)


def test_lost_events_are_said(tmp_path):
    source = EngineSource(simple())
    batches = list(source.batches())
    lost = batches[-1].events[:1].copy()
    lost["kind"], lost["aux"] = EventKind.LOST, 7
    batches[-1] = type(batches[-1])(np.concatenate([batches[-1].events, lost]))
    case, _ = capture_case(write(tmp_path / "c", source, batches))
    assert any("7 events were lost" in line for line in case.assumptions)


@pytest.mark.parametrize("known", [True, False])
def test_breaks_that_look_like_writes_are_an_assumption(tmp_path, known):
    source = EngineSource(simple())
    lacks = frozenset() if known else frozenset({Knowledge.WHO_BROKE})
    source.session.probes[EventKind.COW_FAULT] = Probe("test", Exactness.EXACT, lacks=lacks)
    case, _ = capture_case(write(tmp_path / "c", source, source.batches()))
    assert any("breaks" in line and "count as writes" in line for line in case.assumptions) != known


def simple():
    return workload("spawn p", "map p r 4", "fill p r content=byte:7", "mergeable p r", "scan 2")


def session_without(kind):
    session = EngineSource(simple()).session
    session.probes[kind] = Probe("", Exactness.ABSENT, "test")
    return session


def test_a_capture_without_candidates_is_refused(tmp_path):
    source = ListSource(session_without(EventKind.CMP_AND_MERGE_PAGE), [])
    path = write(tmp_path / "c", source, [])
    with pytest.raises(KsmtraceError, match="holds no candidates"):
        capture_case(path)


def test_a_capture_without_a_whole_pass_is_refused(tmp_path):
    steps = workload("spawn p", "map p r 4", "fill p r content=byte:7", "mergeable p r",
                     "scan batches=1", pages_to_scan=2)  # fmt: skip
    with pytest.raises(KsmtraceError, match="no pass"):
        capture_case(record(steps, tmp_path / "c"))
