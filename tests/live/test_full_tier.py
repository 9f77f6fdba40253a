"""The full tier against an independent count by a second BPF program, and against the gauges."""

import json
import platform
from pathlib import Path

import numpy as np
import pytest

from ksmtrace.capture.reader import open_capture
from ksmtrace.events import EventKind, Flag
from ksmtrace.kernel.host import read_build_id
from ksmtrace.probemap.format import ProbeMap
from ksmtrace.sources.live.opening import LiveOptions
from ksmtrace.sources.live.source import LiveSource
from support.totals import check_totals
from support.tracing import trace
from support.truth import GAUGES, Truth, differences, figures
from support.workloads import PINNED, everything

pytestmark = pytest.mark.guest


def test_every_number_equals_the_kernels_own(ksm, processes, request):
    """Candidates, replaced ptes, appends and gauges over a workload that does everything: no
    difference."""
    out = request.config.getoption("--capture-to")
    ksm.start_stepping()
    with Truth() as truth:
        passes = []
        document = trace(
            lambda: passes.append(everything(ksm, processes)),
            record=out,
            textfile=str(Path(out).parent) if out is not None else None,
        )
        counted = truth.read()
    found = figures(document, counted, ksm)
    found["passes"] = (document["passes"], passes[0])
    print(document["kernel"]["release"], document["tier"], json.dumps(found))
    if out is not None:
        Path(out + ".json").write_text(json.dumps(document, indent=2))
    assert differences(found) == {}
    assert {"found", "attempts", "replaced", "appends", "break_cow", *GAUGES} <= found.keys()
    assert document["events"]["lost"] == 0
    assert document["self_check"]["at_scan_stop"] == document["passes"] > 30
    assert document["self_check"]["at_scan_stop_differing"] == 0
    checked = document["self_check"]["counts"]
    assert {name: row["difference"] for name, row in checked.items()} == dict.fromkeys(checked, 0)
    gathered = "kthread_should_stop" in document["probes"]["cmp_and_merge_page"]["via"]
    assert {"merged", *(() if gathered else ("candidates",))} <= set(checked)
    assert counted["replaced"] > 500
    assert document["analyzers"]["stable_tree"]["zero_page_pages"] == 2 * 23
    assert counted["found"] > 10_000
    assert counted["break_cow"] >= PINNED


def test_with_a_probe_map_the_numbers_are_the_same(ksm, processes, repository):
    """Kprobes at the inlined functions themselves: every figure equals the kernel's, and none is
    derived; so do the totals of a run without a stream."""
    maps = [ProbeMap.load(path) for path in (repository / "tests/data/probemaps").glob("*.json")]
    chosen = [found for found in maps if found.build_id == read_build_id()]
    if not chosen and platform.release().startswith(("6.1.", "6.12.")):
        pytest.fail("no map of this build in tests/data/probemaps: make one with ksmtrace probemap")
    if not chosen:
        return  # shown on the kernels whose debug information was at hand
    ksm.start_stepping()
    with Truth() as truth:
        documents = []

        def stream():
            documents.append(
                trace(lambda: everything(ksm, processes), probes="kprobe", probe_map=chosen[0])
            )

        totals = trace(stream, totals=True)
        counted = truth.read()
    document = documents[0]
    check_totals(totals, document, counted)
    assert document["tier"] == "full"
    assert document["probes"]["cmp_and_merge_page"]["via"].startswith("kprobe ksm_scan_thread+")
    assert document["probes"]["cmp_and_merge_page"]["exactness"] == "exact"
    assert document["probes"]["replace_page"]["exactness"] == "exact"
    by_kind = document["events"]["by_kind"]
    assert by_kind["CMP_AND_MERGE_PAGE"] + by_kind["SKIPPED"] == counted["found"]
    assert by_kind["REPLACE_PAGE"] == counted["replaced"]
    assert by_kind["STABLE_APPEND"] == counted["appends"]
    assert document["events"]["lost"] == 0
    assert document["self_check"]["at_scan_stop_differing"] == 0
    assert {row["difference"] for row in document["self_check"]["counts"].values()} == {0}
    assert {row["difference"] for row in document["reconciliation"].values()} == {0}


@pytest.mark.parametrize("meanwhile", ["nothing", "writes, a fork and an exit"])
def test_joining_late(ksm, processes, meanwhile):
    """Attached after everything has happened and ten more passes: one pass later nothing
    differs."""
    ksm.start_stepping()
    everything(ksm, processes)
    ksm.scan(10)

    def one_pass():
        if meanwhile != "nothing":
            processes.do("alpha", "poke", region="equal", first=0, pages=60, offset=3, value=7)
            processes.do("beta", "fork", child="late")
            processes.do("late", "poke", region="pairs", first=0, pages=20, offset=3, value=8)
            processes.do("beta", "discard", region="unique", first=0, pages=30)
        ksm.scan(1)

    document = trace(one_pass, probes="kprobe")
    assert document["passes"] == 1
    assert document["reconstruction"] == {"complete": True, "reason": ""}
    assert {row["difference"] for row in document["reconciliation"].values()} == {0}
    assert document["counters"]["pages_shared"] > 100
    before = document["analyzers"]["snapshot"]
    print("before the trace:", before, document["reconciliation"])
    assert before["mapped_pages"] > 100
    if meanwhile == "nothing":
        assert document["events"]["by_kind"]["STABLE_APPEND"] == 0


def test_kernel_breaks_are_told_from_users_writes(ksm, processes):
    """17 pages written to, 40 unmerged by madvise: all in cow_ksm, told apart by who broke them."""
    ksm.start_stepping()
    processes.spawn("writer")
    processes.do("writer", "map", region="r", pages=100)
    processes.do("writer", "fill", region="r", content="twin:3")
    processes.do("writer", "mergeable", region="r")
    ksm.scan(3)
    out = Path("/dev/shm/breaks.ksmtrace")

    def workload():
        processes.do("writer", "poke", region="r", first=0, pages=17, offset=0, value=1)
        processes.do("writer", "unmergeable", region="r", first=30, pages=40)

    trace(workload, record=str(out), probes="kprobe")
    with open_capture(str(out)) as capture:
        faults = np.concatenate([batch.of(EventKind.COW_FAULT) for batch in capture.batches()])
    out.unlink()
    by_kernel = faults["flags"] & Flag.BY_KERNEL != 0
    assert np.count_nonzero(~by_kernel) == 17
    assert np.count_nonzero(by_kernel) == 40
    assert (faults["aux"] > 0).all()
    first = int(faults["address"].min())
    assert sorted((faults["address"][~by_kernel] - first) // 4096) == list(range(17))
    assert sorted((faults["address"][by_kernel] - first) // 4096) == list(range(30, 70))


@pytest.mark.usefixtures("bcc_itself")
def test_callback_reader_sees_the_same(ksm, processes):
    """bcc's callback path, for machines on which the mapped ring is not safe."""
    ksm.start_stepping()

    def workload():
        processes.spawn("twins")
        processes.do("twins", "map", region="r", pages=64)
        processes.do("twins", "fill", region="r", content="twin:7")
        processes.do("twins", "mergeable", region="r")
        ksm.scan(3)

    document = trace(workload, mapped=False, probes="kprobe")
    assert document["events"]["by_kind"]["CMP_AND_MERGE_PAGE"] == 3 * 64
    assert document["reconciliation"]["pages_shared"]["reconstructed"] == 1
    assert document["reconciliation"]["pages_sharing"]["reconstructed"] == 63
    assert document["self_check"]["at_scan_stop"] == 3
    assert document["self_check"]["at_scan_stop_differing"] == 0


def test_a_small_ring_counts_every_loss(ksm, processes):
    """With a ring that is far too small, seen plus lost is what happened."""
    ksm.start_stepping()
    processes.spawn("many")
    processes.do("many", "map", region="r", pages=4000)
    processes.do("many", "fill", region="r", content="unique:1")
    processes.do("many", "mergeable", region="r")
    source = LiveSource.open(LiveOptions(probes="kprobe", ring_bytes=4096, give_up=900.0))
    try:
        batches = source.batches()
        next(batches)
        ksm.scan(2)
        source.stop()
        seen = list(batches)
    finally:
        source.close()
    lost = sum(batch.lost for batch in seen)
    sent = sum(len(batch) - len(batch.of(14)) - len(batch.of(13)) for batch in seen)
    # two passes of 4000 candidates, with what surrounds them, and five counters at each end of a
    # pass
    assert lost > 4000
    assert sent + lost >= 8000


def test_a_loss_is_known_before_a_gauge_is_compared(ksm, processes):
    """With a small ring events are lost on and on; no end of a pass is compared as if nothing had
    been."""
    ksm.start_stepping()
    processes.spawn("many")
    processes.do("many", "map", region="r", pages=3000)
    processes.do("many", "fill", region="r", content="unique:1")
    processes.do("many", "mergeable", region="r")

    def workload():
        for beat in range(12):
            processes.do("many", "poke", region="r", first=0, pages=500, offset=0, value=beat + 1)
            ksm.scan()

    document = trace(workload, probes="kprobe", ring_bytes=65536)
    print(document["events"]["lost"], document["self_check"])
    assert document["events"]["lost"] > 1000
    assert document["self_check"]["at_scan_stop_differing"] == 0
    assert not document["reconstruction"]["complete"]
