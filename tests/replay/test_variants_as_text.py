"""What is printed of a run of each variant: shares of a whole, by its own functions and results."""

import json
import re

import pytest

from ksmtrace.engine.variants import VARIANTS
from support.command import ksmtrace

# zeroes, equal pages of which some are pinned, unique ones, a huge page, shared with a child;
# written to, discarded, unmapped
WORKLOAD = """
name = "some of everything"
step = [
  { op = "spawn", process = "a" },
  { op = "map", process = "a", region = "z", pages = 40 },
  { op = "fill", process = "a", region = "z", content = "zero" },
  { op = "map", process = "a", region = "e", pages = 60 },
  { op = "fill", process = "a", region = "e", content = "twin:1" },
  { op = "map", process = "a", region = "u", pages = 60 },
  { op = "fill", process = "a", region = "u", content = "unique:5" },
  { op = "map", process = "a", region = "h", pages = 512, huge = true },
  { op = "fill", process = "a", region = "h", content = "byte:0" },
  { op = "mergeable", process = "a", region = "z" },
  { op = "mergeable", process = "a", region = "e" },
  { op = "mergeable", process = "a", region = "u" },
  { op = "mergeable", process = "a", region = "h" },
  { op = "fork", process = "a", child = "c" },
  { op = "pin", process = "a", region = "e", first = 3, pages = 4 },
  { op = "scan", passes = 4 },
  { op = "poke", process = "a", region = "z", pages = 10, offset = 7, value = 1 },
  { op = "poke", process = "a", region = "e", pages = 10, offset = 7, value = 1 },
  { op = "scan", passes = 3 },
  { op = "discard", process = "a", region = "z", first = 5, pages = 15 },
  { op = "unmap", process = "a", region = "e", first = 10, pages = 10 },
  { op = "exit", process = "c" },
  { op = "scan", passes = 3 },
  { op = "snapshot", name = "end" },
]
"""


@pytest.fixture(scope="module")
def captures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("variants")
    (folder / "w.toml").write_text(WORKLOAD)
    for variant in VARIANTS:
        ran = ksmtrace(
            *("simulate", folder / "w.toml", "--variant", variant, "-o", folder / variant)
        )
        assert ran.returncode == 0, ran.stderr
    return folder


@pytest.mark.parametrize("variant", VARIANTS)
def test_outcomes_of_examinations_are_shares_of_all(captures, variant):
    text = " ".join(ksmtrace("replay", captures / variant).stdout.split())
    examined = re.search(r"Of [0-9,]+ pages examined: (.*?)\.(?= [A-Z]| shared)", text)
    assert examined, text
    shares = [float(share) for share in re.findall(r"(-?[0-9.]+)% ", examined[1])]
    assert min(shares) > 0
    # of pages that are not empty zero-page says nothing more
    whole = 34.9 if variant == "zero-page" else 100.0
    assert sum(shares) == pytest.approx(whole, abs=0.06 * len(shares))


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_share_is_above_the_whole(captures, variant):
    document = json.loads(ksmtrace("replay", captures / variant, "--json").stdout)
    ratios = {
        (name, key): value
        for name, figures in document["analyzers"].items()
        for key, value in figures.items()
        if key.endswith("_ratio") and value is not None
    }
    assert ratios
    assert {place: value for place, value in ratios.items() if not 0 <= value <= 1} == {}
    coverage = document["analyzers"]["scan_cost"]["coverage_ratio"]
    assert (coverage is None) == (variant in ("pksm", "zero-page", "uksm"))


@pytest.mark.parametrize("variant", ["pksm", "zero-page", "uksm"])
def test_relatives_are_not_described_by_functions_of_ksm(captures, variant):
    assert "ksm_next_page_pmd_entry" not in ksmtrace("report", captures / variant).stdout


def test_zero_pages_are_not_called_ksm_pages(captures):
    report = ksmtrace("report", captures / "zero-page").stdout
    assert "Writes broke 10 zero pages; most of a 1000." in report
    assert "10 KSM pages" not in report


def test_results_of_pksm_have_their_names(captures):
    capture = captures / "pksm"
    assert "(PKSM_FAULT_DROP 55)" in " ".join(ksmtrace("replay", capture).stdout.split())
    attempts = ksmtrace("replay", capture, "--events", "--kind", "try_to_merge_one_page").stdout
    assert attempts.count(" err=PKSM_FAULT_DROP ") == 55


@pytest.mark.parametrize("variant", ["ksm-7.2", "uksm"])
def test_nothing_is_told_in_seconds_of_a_clock_that_is_made_up(captures, variant):
    analyzers = json.loads(ksmtrace("replay", captures / variant, "--json").stdout)["analyzers"]
    seconds = {
        (name, key): value
        for name, figures in analyzers.items()
        for key, value in figures.items()
        if "seconds" in key or "per_second" in key or key in ("regret_pages", "regret_ratio")
        if value is not None
    }
    assert seconds == {}
    assert sum(analyzers["merge_life"]["merge_latency_passes"].values()) > 0
    assert all(node["age_seconds"] is None for node in analyzers["stable_tree"]["most_shared"])
    report = ksmtrace("report", captures / variant).stdout
    assert "were under 60 s old" not in report
    assert "how long that took is not known" in " ".join(report.split())
