"""The outcome of one scenario, for every variant."""

import pickle
from dataclasses import replace

import pytest

from ksmtrace.engine.variants import KERNELS, VARIANTS
from ksmtrace.whatif.case import Case
from ksmtrace.whatif.experiment import run_scenario
from ksmtrace.whatif.grid import baseline_of, build_grid
from ksmtrace.whatif.result import Settled, settled
from ksmtrace.whatif.scenario import Point, Points, Scenario
from ksmtrace.workload.file import Step
from ksmtrace.workload.on_engine import simulate
from support.workload_steps import workload

PAGE = 4096


def run(steps, variant="ksm-6.18", **tunables):
    case = Case("workload", "w", steps)
    return run_scenario(case, Scenario(variant, tuple(sorted(tunables.items()))))


EQUAL = workload(
    "spawn p", "map p r 12", "fill p r pages=10 content=byte:97",
    "fill p r first=10 content=unique:1", "mergeable p r", "scan 4", smart_scan=0,
)  # fmt: skip


def test_ten_equal_pages():
    outcome = run(EQUAL, smart_scan=0)
    assert [point.saved_bytes for point in outcome.points] == [0, 9 * PAGE, 9 * PAGE, 9 * PAGE]
    assert [point.pages_scanned for point in outcome.points] == [12, 24, 36, 48]
    end = outcome.at_end
    assert (end.passes, end.batches, end.cow_breaks, end.zero_pages) == (4, 4, 0, 0)
    # 12 rmap_items and one stable node
    assert end.metadata_bytes == 13 * 64
    assert end.comparisons > 9
    assert (outcome.ended_early, outcome.notes) == ("", ())


def test_batches_are_counted_within_passes():
    points = run(EQUAL, smart_scan=0, pages_to_scan=5).points
    # two whole batches of 5, and one of 2 that the end of the pass ends
    assert [point.batches for point in points] == [3, 6, 9, 12]


@pytest.mark.parametrize("variant", VARIANTS)
def test_saved_bytes_are_those_of_the_counters(variant):
    steps = workload(
        "spawn p", "map p r 12", "fill p r pages=6 content=zero",
        "fill p r first=6 pages=4 content=byte:9", "fill p r first=10 content=unique:1",
        "mergeable p r", "scan 3",
    )  # fmt: skip
    end = run(steps, variant).at_end
    counters = simulate(steps, variant=variant)["snapshots"][-1]["counters"]
    saved = {"zero-page": 6, "pksm": 6 + 3, "uksm": 6 + 3}.get(variant, 5 + 3)
    assert end.saved_bytes == saved * PAGE
    assert end.pages_sharing == counters["pages_sharing"]
    assert end.pages_scanned > 0
    assert end.comparisons > 0
    if variant in KERNELS:
        assert end.metadata_bytes == (12 + 2) * 64


@pytest.mark.parametrize("variant", ["ksm-5.10", "ksm-6.1", "ksm-6.12"])
def test_zero_pages_count_whether_or_not_the_kernel_counts_them(variant):
    steps = workload(
        "spawn p", "map p r 6", "fill p r content=zero", "mergeable p r", "scan 3",
        "poke p r first=0 pages=2 offset=0 value=1", "snapshot later", use_zero_pages=1,
    )  # fmt: skip
    outcome = run(steps, variant, use_zero_pages=1)
    assert outcome.points[-1].zero_pages == 6
    assert (outcome.at_end.zero_pages, outcome.at_end.saved_bytes) == (4, 4 * PAGE)


def test_writes_to_merged_pages_are_counted_and_unmerging_is_not():
    steps = workload(
        "spawn p", "map p r 6", "fill p r content=byte:1", "mergeable p r", "scan 3",
        "poke p r first=0 pages=2 offset=0 value=2", "run 2", "scan 1",
    )  # fmt: skip
    outcome = run(steps)
    assert outcome.at_end.cow_breaks == 2
    assert outcome.at_end.passes == 4
    assert outcome.at_end.saved_bytes == 0


def test_a_refused_tunable_ends_the_scenario_and_not_the_rest():
    busy = replace(EQUAL, steps=(*EQUAL.steps, Step("set", {"tunables": {"max_page_sharing": 3}})))
    outcome = run(busy)
    assert "EBUSY" in outcome.ended_early
    assert outcome.at_end.saved_bytes == 9 * PAGE
    # a kernel without the tunable passes over the step
    assert run(busy, "ksm-4.4").ended_early == ""


def test_what_a_traced_kernel_took_and_this_one_refuses_stays_as_it_is():
    """More pages are merged here: the run goes on, and says so."""
    busy = (Step("set", {"tunables": {"max_page_sharing": 3, "use_zero_pages": 1}}),)
    steps = replace(EQUAL, steps=(*EQUAL.steps, *busy, Step("scan", {"passes": 2})))
    outcome = run_scenario(Case("capture", "c", steps), Scenario("ksm-6.18", (("smart_scan", 0),)))
    assert outcome.ended_early == ""
    assert outcome.at_end.passes == 6
    (note,) = outcome.notes
    assert "max_page_sharing = 3: EBUSY" in note
    assert "stays as it is" in note


def test_what_a_scenario_asks_for_holds_against_the_files_own_writes():
    steps = replace(EQUAL, steps=(Step("set", {"tunables": {"max_page_sharing": 2}}), *EQUAL.steps))
    base, held = build_grid(steps, [], ["max_page_sharing=256"], [])
    assert dict(base.tunables).get("max_page_sharing", 256) == 256
    assert held.held == ("max_page_sharing",)
    case = Case("workload", "w", steps)
    shared = [run_scenario(case, one).at_end.pages_shared for one in (base, held)]
    assert shared == [5, 1]


def test_story_scenario_and_outcome_are_plain_data():
    case = Case("workload", "w", EQUAL)
    scenario = baseline_of(EQUAL)
    outcome = run_scenario(pickle.loads(pickle.dumps(case)), pickle.loads(pickle.dumps(scenario)))
    again = pickle.loads(pickle.dumps(outcome))
    assert list(again.points) == list(outcome.points)
    assert again.at_end == outcome.at_end


def points(*saved):
    made = Points()
    for number, value in enumerate(saved, start=1):
        made.append(Point(number, 2 * number, value, 1, 1, None, 1, 0, 0, 0, 0, 0))
    return made


@pytest.mark.parametrize(
    ("saved", "expected"),
    [
        ([], None),
        ([0, 0], Settled(0, 0)),
        ([0, 5, 5], Settled(2, 4)),
        ([5, 5], Settled(1, 2)),
        ([0, 5], None),
        ([5, 6, 5, 5], Settled(3, 6)),
    ],
)
def test_settled(saved, expected):
    assert settled(points(*saved)) == expected


def test_points_keep_what_is_unknown():
    made = points(1, 2)
    assert made[0].pages_unshared is None
    assert made[-1].saved_bytes == 2
    with pytest.raises(IndexError):
        made[2]


@pytest.mark.parametrize(("counted", "comparisons"), [(True, 0), (False, None)])
def test_a_scenario_that_cannot_begin_says_why(counted, comparisons):
    refused = Scenario("ksm-6.18", (("max_page_sharing", 1),), count_comparisons=counted)
    outcome = run_scenario(Case("workload", "w", EQUAL), refused)
    assert "max_page_sharing" in outcome.ended_early
    assert len(outcome.points) == 0
    assert outcome.at_end.comparisons == comparisons
