"""Workload files on the engine: the document, and what ends a run."""

import pytest
from unit.engine.strategies import step

from ksmtrace import SCHEMA_VERSION, __version__
from ksmtrace.errors import ExitStatus, KsmtraceError
from ksmtrace.workload.file import Workload, parse_workload
from ksmtrace.workload.on_engine import simulate
from ksmtrace.workload.tunables import RefusedError
from support.workload_steps import workload as file

TEN_EQUAL_PAGES = b"""
name = "ten equal pages"
variant = "ksm-6.18"
[tunables]
pages_to_scan = 100000
smart_scan = 0
[[step]]
op = "spawn"
process = "a"
[[step]]
op = "map"
process = "a"
region = "r"
pages = 12
[[step]]
op = "fill"
process = "a"
region = "r"
pages = 10
content = "byte:97"
[[step]]
op = "fill"
process = "a"
region = "r"
first = 10
content = "unique:1"
[[step]]
op = "mergeable"
process = "a"
region = "r"
[[step]]
op = "scan"
passes = 2
[[step]]
op = "snapshot"
name = "end"
groups = true
"""


def test_the_example_of_the_format():
    document = simulate(parse_workload(TEN_EQUAL_PAGES, "w.toml"))
    counters = {
        "full_scans": 2,
        "pages_scanned": 24,
        "pages_skipped": 0,
        "pages_shared": 1,
        "pages_sharing": 9,
        "pages_unshared": 2,
        "pages_volatile": 0,
        "ksm_zero_pages": 0,
        "stable_node_chains": 0,
        "stable_node_dups": 0,
        "general_profit": 36096,
    }
    group = sorted(f"a/r/{index}" for index in range(10))
    assert document == {
        "schema_version": SCHEMA_VERSION,
        "version": __version__,
        "name": "ten equal pages",
        "on": "engine",
        "variant": "ksm-6.18",
        "mode": "accelerated",
        "kernel": None,
        "snapshots": [
            {"step": 5, "name": "scan", "counters": counters, "groups": None},
            {"step": 6, "name": "end", "counters": counters, "groups": [group]},
        ],
    }
    assert list(document["snapshots"][0]["counters"]) == list(counters)


def test_another_variant_takes_the_place_of_the_files():
    document = simulate(parse_workload(TEN_EQUAL_PAGES, "w.toml"), variant="ksm-6.1")
    assert document["variant"] == "ksm-6.1"
    counters = document["snapshots"][0]["counters"]
    assert (counters["pages_sharing"], counters["pages_scanned"]) == (9, None)


def run(*steps, variant="ksm-6.18", say=lambda _: None, **tunables):
    return simulate(Workload("w", variant, tunables, steps), say=say)


def merged(pages=2):
    reach = {"process": "a", "region": "r"}
    content = parse_workload(TEN_EQUAL_PAGES, "w.toml").steps[2].arguments["content"]
    return (
        step("spawn", process="a"),
        step("map", **reach, pages=pages, huge=False),
        step("fill", **reach, first=0, pages=pages, content=content),
        step("mergeable", **reach, first=0, pages=pages),
        step("scan", passes=2),
    )


def test_a_busy_tunable_ends_the_run_with_its_errno():
    with pytest.raises(
        RefusedError, match="step 5: the kernel refuses max_page_sharing = 3: EBUSY"
    ) as e:
        run(*merged(), step("set", tunables={"max_page_sharing": 3}))
    assert e.value.status is ExitStatus.FLAGGED


def test_a_bad_initial_tunable_ends_the_run():
    with pytest.raises(
        RefusedError, match="tunables: the kernel refuses max_page_sharing = 1: EINVAL"
    ):
        run(max_page_sharing=1)


def test_a_tunable_that_came_later_is_refused_unless_it_says_what_the_kernel_does_anyway():
    run(variant="ksm-6.1", smart_scan=0)
    with pytest.raises(KsmtraceError, match=r"ksm-6\.1 has no smart_scan"):
        run(variant="ksm-6.1", smart_scan=1)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (step("exit", process="b"), r"step 5 \(exit\): no process b"),
        (step("spawn", process="a"), r"step 5 \(spawn\): there is a process a already"),
        (step("fork", process="a", child="a"), r"step 5 \(fork\): there is a process a already"),
        (
            step("read", process="a", region="x", first=0, pages=1),
            r"step 5 \(read\): a has no region x",
        ),
        (
            step("discard", process="a", region="r", first=1, pages=2),
            r"step 5 \(discard\): pages 1 to 2 of a/r are not all mapped",
        ),
        (
            step("map", process="a", region="r", pages=2, huge=False),
            r"step 5 \(map\): a has a region r already",
        ),
    ],
)
def test_a_step_that_cannot_be_carried_out_is_named(bad, message):
    with pytest.raises(KsmtraceError, match=message):
        run(*merged(), bad)


def test_touching_unmapped_pages_is_an_error():
    reach = {"process": "a", "region": "r"}
    unmap = step("unmap", **reach, first=1, pages=1)
    with pytest.raises(KsmtraceError, match="step 6 "):
        run(*merged(3), unmap, step("read", **reach, first=0, pages=3))
    run(*merged(3), unmap, step("read", **reach, first=2, pages=1))


def test_a_scan_without_processes_ends_early_and_says_so():
    said = []
    document = run(*merged(), step("exit", process="a"), step("scan", passes=5), say=said.append)
    assert said == ["step 6 (scan): ended after 1 of 5 passes: no process is registered any more"]
    assert document["snapshots"][-1]["counters"]["full_scans"] == 3


def test_a_pass_begun_before_counts_as_the_first():
    document = run(
        *merged(3)[:4],
        step("scan", batches=2),
        step("scan", passes=1),
        step("scan", batches=3),
        pages_to_scan=2,
        smart_scan=0,
    )
    scanned = [shot["counters"]["pages_scanned"] for shot in document["snapshots"]]
    full = [shot["counters"]["full_scans"] for shot in document["snapshots"]]
    # The second batch comes to the end after page 3 and stops there.
    assert list(zip(scanned, full, strict=True)) == [(3, 1), (6, 2), (11, 3)]


def test_run_2_and_the_tunables_of_a_later_step():
    document = run(
        *merged(4),
        step("run", value=2),
        step("set", tunables={"max_page_sharing": 2}),
        step("scan", passes=2),
        step("snapshot", name="s", groups=True),
        smart_scan=0,
    )
    last = document["snapshots"][-1]
    assert last["counters"]["full_scans"] == 2
    assert (last["counters"]["pages_shared"], last["counters"]["stable_node_dups"]) == (2, 2)
    assert [len(group) for group in last["groups"]] == [2, 2]


@pytest.mark.parametrize("variant", ["ksm-4.4", "ksm-6.1"])
def test_a_version_without_memory_merge_says_so(variant):
    workload = file("spawn a", "merge_any a")
    with pytest.raises(KsmtraceError, match=f"step 1 .*{variant} has no PR_SET_MEMORY_MERGE"):
        simulate(workload, variant=variant)


@pytest.mark.parametrize(("by", "variant"), [("prctl", "ksm-6.18"), ("madvise", "ksm-4.4")])
def test_memory_that_comes_later_merges_and_in_children_too(by, variant):
    document = simulate(
        file(
            *("spawn a", f"merge_any a by={by}", "map a r 3", "fill a r content=byte:1", "scan 2"),
            *("fork a b", "map b late 2", "fill b late content=byte:1", "scan 3"),
            pages_to_scan=100,
        ),
        variant=variant,
    )
    sharing = [one["counters"]["pages_sharing"] for one in document["snapshots"]]
    assert sharing == [2, 2 + 3 + 2]


def test_a_pin_ends_with_the_last_process_that_has_its_pipe():
    """b shares the page from before the pin, c the pipe from behind it; twin has an equal page."""
    document = simulate(
        file(
            *("spawn a", "map a r 1", "fill a r content=byte:1", "mergeable a r", "fork a b"),
            *("pin a r", "fork a c", "unmap c r"),
            *("spawn twin", "map twin r 1", "fill twin r content=byte:1", "mergeable twin r"),
            *("scan 3", "exit a", "scan 3", "exit c", "scan 3"),
            **{"pages_to_scan": 100, "smart_scan": 0},
        ),
        variant="ksm-6.18",
    )
    assert [one["counters"]["pages_sharing"] for one in document["snapshots"]] == [0, 0, 1]
