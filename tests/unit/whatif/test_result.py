"""The document: its keys are those of its schema, its differences those of the gauges."""

import pytest

from ksmtrace.engine.variants import NEWEST
from ksmtrace.whatif.case import Case, KernelPoint
from ksmtrace.whatif.experiment import run_scenario
from ksmtrace.whatif.grid import build_grid
from ksmtrace.whatif.result import MOST_POINTS, baseline_difference, document
from ksmtrace.whatif.scenario import POINT_FIELDS, Outcome, Point, Points
from ksmtrace.whatif.text import table
from support.documents import assert_valid
from support.recordings import recorded_case
from support.workload_steps import workload

STEPS = workload(
    "spawn p", "map p r 12", "fill p r pages=10 content=byte:97", "mergeable p r", "scan 4"
)


def answers(case, variants=("ksm-6.1", "pksm")):
    scenarios = build_grid(case.workload, variants, [], ["pages_to_scan=5,100"])
    return document(case, scenarios, [run_scenario(case, one) for one in scenarios])


@pytest.fixture
def case(tmp_path):
    return recorded_case(STEPS, tmp_path / "c.ksmtrace")


def test_it_follows_its_schema(case):
    found = answers(case)
    assert_valid("whatif", found)
    assert list(found["scenarios"][0]["over_time"][0]) == list(POINT_FIELDS)


def test_a_batch_of_a_relative_sleeps_as_long_as_its_own_default_says():
    found = answers(Case("workload", "w", STEPS), ("ksm-6.1", "uksm"))["scenarios"]
    (uksm,) = (one for one in found if one["variant"] == "uksm")
    batches = uksm["settled_after_batches"]
    assert batches > 0
    assert uksm["settled_after_sleep_seconds"] == batches * 0.1


def test_a_workload_is_the_truth_itself():
    found = answers(Case("workload", "w", STEPS))
    assert (found["passes"], found["baseline_difference"], found["assumptions"]) == (None, None, [])
    baseline = found["scenarios"][0]
    assert baseline["baseline"]
    assert baseline["saved_bytes"] == 9 * 4096
    assert baseline["net_saved_bytes"] == 9 * 4096 - baseline["metadata_bytes"]
    # two passes of one batch and 20 ms of sleep each
    assert baseline["settled_after_passes"] == baseline["settled_after_batches"] == 2
    assert baseline["settled_after_sleep_seconds"] == 0.04
    assert not any(scenario["baseline"] for scenario in found["scenarios"][1:])


def test_the_difference_is_measured():
    points = Points()
    for number, sharing in enumerate((0, 5, 9), start=1):
        points.append(Point(number, number, 0, 1, sharing, 0, 0, 0, 30, 0, 4, 0))
    case = Case(
        "capture", "c", STEPS, passes=4, totals=(31, 4),
        kernel_points={
            0: KernelPoint(1, 0, 0, 0), 1: KernelPoint(1, 8, 0, 0), 2: KernelPoint(1, 7, 0, 0),
        },
    )  # fmt: skip
    found = baseline_difference(case, Outcome(points, points[-1]))
    assert (found["passes"], found["passes_compared"], found["passes_equal"]) == (4, 3, 1)
    assert found["gauges"]["pages_sharing"] == {
        "largest": -3, "mean": 1.667, "at_end": 2, "kernel_at_end": 7,
    }  # fmt: skip
    assert found["pages_scanned"] == {"baseline": 30, "capture": 31, "difference": -1}


def test_without_gauges_nothing_is_compared():
    case = Case("capture", "c", STEPS, passes=4, totals=(31, 4))
    nothing = Point(*(0,) * len(POINT_FIELDS))
    found = baseline_difference(case, Outcome(Points(), nothing))
    assert found["passes_compared"] == 0
    assert set(found["gauges"]["pages_shared"].values()) == {None}


def test_of_many_passes_some_are_printed():
    steps = workload(
        "spawn p", "map p r 2", "fill p r content=byte:9", "mergeable p r", "scan 2500"
    )
    found = answers(Case("workload", "w", steps), [NEWEST])["scenarios"][0]
    assert len(found["over_time"]) == MOST_POINTS
    assert found["over_time"][-1]["passes"] == found["passes"] == 2500


def test_eighty_columns_are_enough(case):
    long = answers(case) | {"name": "long name " * 20}
    long["scenarios"][1] |= {"ended_early": "a reason " * 30, "notes": ["a note " * 30]}
    long["scenarios"][2] |= dict.fromkeys(("saved_bytes", "pages_scanned"), 4 << 40)
    shown = table(long)
    assert max(map(len, shown)) <= 80
    text = "\n".join(shown)
    for words in (
        f"baseline: {NEWEST}",
        "ksm-6.1",
        "pages_to_scan=5",
        "36.0 KiB",
        "4.0 TiB",
        "4.4T",
    ):
        assert words in text, words
    assert "The baseline against the capture: equal at the ends of 4 of 4 passes" in text
    assert "Assumed, because the file does not tell:" in text
