"""Each way to see an event, with the better ones hidden, counts what the kernel counts."""

import json
from pathlib import Path

import pytest

from ksmtrace.kernel.btf import Btf
from support.tracing import trace
from support.truth import GAUGES, Truth, differences, figures
from support.workloads import everything

pytestmark = pytest.mark.guest

FUNCTIONS = {
    "try_to_merge_one_page", "remove_rmap_item_from_tree", "stable_tree_append", "break_cow",
    "do_wp_page", "__ksm_enter", "__ksm_exit",
}  # fmt: skip
SMART_SCAN = "ksm_rmap_item.remaining_skips"


def has(member: str) -> bool:
    btf = Btf()
    try:
        return btf.has_member(*member.split("."))
    finally:
        btf.close()


def run(ksm, processes, *hidden, probes="kprobe"):
    """The document of a run over everything, with nothing lost and no figure that differs."""
    ksm.start_stepping()
    with Truth() as truth:
        document = trace(
            lambda: everything(ksm, processes), probes=probes, hidden=frozenset(hidden)
        )
        found = figures(document, truth.read(), ksm)
    print(document["kernel"]["release"], document["tier"], hidden, probes, json.dumps(found))
    assert document["events"]["lost"] == 0
    assert document["self_check"]["at_scan_stop_differing"] == 0
    return document, found


def test_fentry(ksm, processes):
    """Where kprobes are out: fentry and fexit, the same figures."""
    document, found = run(ksm, processes, probes="fentry")
    assert differences(found) == {}
    assert document["tier"] == "full"
    assert "kprobe" not in "".join(probe["via"] for probe in document["probes"].values())
    assert {"found", "attempts", "appends", *GAUGES} <= found.keys()


def test_by_the_page_table_walk(ksm, processes):
    """The best that a stock kernel has, and what it does without the lock's tracepoint: skips told
    by their counter."""
    document, found = run(ksm, processes, "mmap_lock_released")
    assert differences(found) == {}
    assert document["tier"] == "full"
    examined = document["probes"]["cmp_and_merge_page"]
    assert "ksm_next_page_pmd_entry" in examined["via"]
    assert ("ksm_pages_skipped" in examined["via"]) == has(SMART_SCAN)
    assert document["probes"]["skipped"]["exactness"] == "derived"
    assert {"found", *GAUGES} <= found.keys()


def test_no_page_table_walk(ksm, processes):
    """Upstream kernels before it: candidates by the lock alone."""
    document, found = run(ksm, processes, "ksm_next_page_pmd_entry")
    if document["probes"]["cmp_and_merge_page"]["exactness"] == "absent":
        assert document["kernel"]["release"].startswith("5.10.")  # has no such tracepoint
        return
    assert differences(found) == {}
    assert document["tier"] == "full"
    assert "mmap_lock_released" in document["probes"]["cmp_and_merge_page"]["via"]
    assert "candidates" not in document["self_check"]["counts"]
    assert {"found", *GAUGES} <= found.keys()


def test_skips_are_not_counted_where_we_can_see(ksm, processes):
    """Smart scan, and its counter hidden: by the lock, which the walk checks."""
    if not has(SMART_SCAN):
        return
    document, found = run(ksm, processes, "ksm_pages_skipped")
    assert differences(found) == {}
    assert "mmap_lock_released" in document["probes"]["cmp_and_merge_page"]["via"]
    assert document["self_check"]["counts"]["candidates"]["difference"] == 0
    assert {"found", *GAUGES} <= found.keys()


def test_neither_skips_nor_the_lock(ksm, processes):
    """Smart scan without either: only the kernel's total is left."""
    if not has(SMART_SCAN):
        return
    document, found = run(ksm, processes, "ksm_pages_skipped", "mmap_lock_released")
    assert differences(found) == {}
    examined = document["probes"]["cmp_and_merge_page"]
    assert examined["exactness"] == "sampled"
    assert "pages_scanned" in examined["via"]
    assert document["reconciliation"]["pages_unshared"]["reconstructed"] is None


def test_functions_missing_here_and_there(ksm, processes):
    """do_wp_page and break_cow inlined: what they would show is absent, the rest is as exact as
    ever."""
    document, found = run(ksm, processes, "do_wp_page", "break_cow")
    assert differences(found) == {}
    assert document["tier"] == "partial"
    counted = "\ncow_ksm " in Path("/proc/vmstat").read_text()  # since 5.19
    assert document["probes"]["cow_fault"]["exactness"] == ("sampled" if counted else "absent")
    assert {"found", "attempts", "appends", *GAUGES} <= found.keys()


def test_data_symbols_hidden(ksm, processes):
    """Without CONFIG_KALLSYMS_ALL there is no cursor: merges one by one, candidates as a total."""
    document, found = run(ksm, processes, "ksm_scan", "ksm_mm_head")
    assert document["tier"] == "partial"
    assert {"attempts", "replaced", "appends", "break_cow", "removed_nodes"} <= found.keys()
    assert differences({name: found[name] for name in found if name not in GAUGES}) == {}
    assert document["probes"]["cmp_and_merge_page"]["exactness"] != "derived"


def test_no_function_at_all(ksm, processes):
    """Tracepoints where they are; else one line and exit 3, tested on hosts."""
    if not has(SMART_SCAN):
        return
    document, found = run(ksm, processes, *FUNCTIONS, probes="auto")
    assert document["tier"] == "tracepoint"
    counted = {name: found[name] for name in ("break_cow", "removed_nodes")}
    assert differences(counted) == {}
