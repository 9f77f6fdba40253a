"""The probes are measured; above their budget the stream ends, and counting goes on."""

import json
import subprocess
import threading

import pytest

from ksmtrace.events import EventKind
from ksmtrace.sources.live import budget, probe_watch
from support.command import KSMTRACE
from support.exposition import samples
from support.totals import counts_of_rare_kinds
from support.tracing import trace

MOST_TURNS = 20_000


@pytest.fixture
def in_a_hurry(monkeypatch):
    """Samples follow each other at once."""
    monkeypatch.setattr(probe_watch, "FIRST_SECONDS", 0.1)
    monkeypatch.setattr(budget, "_AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(budget, "_EACH_SECONDS", 0.1)


def step_down(ksm, processes, tmp_path, **live):
    """The documents of a run whose stream ends, and of one that counts from begin to end."""
    over = threading.Event()
    before_and_after = [0, 0]
    streamed = []

    def merge_again_and_again():
        for name in ("one", "two"):
            processes.spawn(name)
            processes.do(name, "map", region="equal", pages=64)
            processes.do(name, "fill", region="equal", content="twin:0")
            processes.do(name, "mergeable", region="equal")
        while before_and_after[1] < 3 and sum(before_and_after) < MOST_TURNS:
            before_and_after[over.is_set()] += 1
            content = f"twin:{sum(before_and_after) % 7}"
            for name in ("one", "two"):
                processes.do(name, "fill", region="equal", content=content)
            ksm.scan(3)

    def look(batch):
        if len(batch.of(EventKind.STREAM_END)):
            over.set()

    def stream():
        streamed.append(
            trace(
                merge_again_and_again,
                seen=look,
                record=str(tmp_path / "ends.ksmtrace"),
                textfile=str(tmp_path),
                budget=1e-6,
                **live,
            )
        )

    ksm.start_stepping()
    counted = trace(stream, totals=True)
    assert over.is_set()
    assert min(before_and_after) > 0
    return streamed[0], counted


def check(document, counted, tmp_path):
    """Nothing rare is missed, what needs events says that it is over, and a replay says the
    same."""
    assert counts_of_rare_kinds(document) == counts_of_rare_kinds(counted)
    assert counts_of_rare_kinds(document)["STABLE_APPEND"] > 64 * 2
    assert document["stream"]["ended_seconds"] > 0
    assert "0.0001% are allowed" in document["stream"]["reason"]
    assert document["reconstruction"] == {
        "complete": False,
        "reason": "the stream of events has ended",
    }
    assert {row["reconstructed"] for row in document["reconciliation"].values()} == {None}
    measured = document["probe_time"]
    assert measured["samples"] >= 3
    assert 0 < measured["ksmd_ratio"] <= 1
    assert measured["in_ksmd_seconds"] <= measured["ksmd_seconds"]
    found = samples((tmp_path / "ksmtrace.prom").read_text())
    assert found["ksmtrace_stream_ended",] == 1
    assert ("ksmtrace_unstable_inserted_pages_total",) not in found
    appends = found["ksmtrace_events_total", ("kind", "stable_append")]
    assert appends == found["ksmtrace_merged_pages_total",]
    assert appends == counts_of_rare_kinds(counted)["STABLE_APPEND"]
    ran = subprocess.run(
        [KSMTRACE, "replay", str(tmp_path / "ends.ksmtrace"), "--json"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) | {"source": "live"} == document


@pytest.mark.live
def test_above_the_budget_counting_goes_on(ksm, processes, tmp_path, in_a_hurry):
    check(*step_down(ksm, processes, tmp_path, probes="tracepoint"), tmp_path)


@pytest.mark.guest
@pytest.mark.slow
def test_above_the_budget_counting_by_functions_goes_on(ksm, processes, tmp_path, in_a_hurry):
    document, counted = step_down(ksm, processes, tmp_path)
    check(document, counted, tmp_path)
    assert document["events"]["by_kind"]["CMP_AND_MERGE_PAGE"] > 0
