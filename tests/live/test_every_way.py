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


def run(ksm, processes, *hidden, probes="auto"):
    """The document of a run over everything, with nothing lost and no figure that differs."""
    ksm.start_stepping()
    with Truth() as truth:
        document = trace(
            lambda: everything(ksm, processes), probes=probes, hidden=frozenset(hidden)
        )
        found = figures(document, truth.read(), ksm)
    print(document["kernel"]["release"], document["tier"], hidden or probes, json.dumps(found))
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


def test_no_page_table_walk(ksm, processes):
    """Upstream kernels before it: candidates by the lock alone."""
    document, found = run(ksm, processes, "ksm_next_page_pmd_entry")
    if document["probes"]["cmp_and_merge_page"]["exactness"] == "absent":
        assert document["kernel"]["release"].startswith("5.10.")  # has no such tracepoint
        return
    assert differences(found) == {}
    assert document["tier"] == "full"
    assert "candidates" not in document["self_check"]["counts"]
    assert {"found", *GAUGES} <= found.keys()


def test_no_mmap_lock_tracepoint(ksm, processes):
    """Before 5.11: candidates by the page-table walk; with smart scan only the kernel's total is
    left."""
    document, found = run(ksm, processes, "mmap_lock_released")
    assert differences(found) == {}
    examined = document["probes"]["cmp_and_merge_page"]
    if has(SMART_SCAN):
        assert examined["exactness"] == "sampled"
        assert "pages_scanned" in examined["via"]
        assert document["reconciliation"]["pages_unshared"]["reconstructed"] is None
    else:
        assert "ksm_next_page_pmd_entry" in examined["via"]
        assert {"found", *GAUGES} <= found.keys()


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
    document, found = run(ksm, processes, *FUNCTIONS)
    assert document["tier"] == "tracepoint"
    counted = {name: found[name] for name in ("break_cow", "removed_nodes")}
    assert differences(counted) == {}
