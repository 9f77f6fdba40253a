"""`--totals`: counts made in the kernel, against the stream and the gauges.

Those of functions are held against the stream in test_full_tier.py.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.totals import counts_of_rare_kinds
from support.tracing import trace

pytestmark = pytest.mark.live

KSMTRACE = str(Path(sys.executable).parent / "ksmtrace")


def run(*arguments):
    ran = subprocess.run(
        [KSMTRACE, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_totals_equal_the_stream_and_the_gauges(ksm, processes):
    """A workload that only merges, by tracepoints: totals, events and the change of the gauges."""
    before = ksm.counter("pages_shared") + ksm.counter("pages_sharing")

    def merge():
        for index, name in enumerate(("one", "two")):
            processes.spawn(name)
            for region, pages, content in (
                ("equal", 300, "twin:1"),
                ("pairs", 200, "unique:7"),
                ("unique", 100, f"unique:{index + 10}"),
            ):
                processes.do(name, "map", region=region, pages=pages)
                processes.do(name, "fill", region=region, content=content)
                processes.do(name, "mergeable", region=region)
        for _ in range(4):
            ksm.scan()

    ksm.start_stepping()
    streamed = []
    totals = trace(
        lambda: streamed.append(trace(merge, probes="tracepoint")), totals=True, probes="tracepoint"
    )
    changed = ksm.counter("pages_shared") + ksm.counter("pages_sharing") - before
    assert counts_of_rare_kinds(totals) == counts_of_rare_kinds(streamed[0])
    assert counts_of_rare_kinds(totals)["STABLE_APPEND"] == changed == 2 * 300 + 2 * 200
    assert totals["tier"] == "totals"
    assert totals["analyzers"]["stable_tree"]["merged_pages"] == changed
    assert totals["analyzers"]["stable_tree"]["failed_pages"] == {}
    assert totals["analyzers"]["unstable_tree"]["inserted_pages"] is None
    assert totals["counters"]["pages_shared"] == ksm.counter("pages_shared")
    assert {row["reconstructed"] for row in totals["reconciliation"].values()} == {None}


def test_a_capture_of_totals_says_the_same(clean_ksm, tmp_path):
    capture = str(tmp_path / "totals.ksmtrace")
    arguments = ("--totals", "--record", capture, "--duration", "6", "--json", "--interval", "20")
    live = run("demo", *arguments, "--no-tui")
    again = run("replay", capture, "--json")
    assert live["events"]["by_kind"]["STABLE_APPEND"] > 0
    assert again | {"source": "live"} == live
