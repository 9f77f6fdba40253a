"""The stable_tree analyzer: counts, gauges it must not invent, and how batches are cut."""

import pytest
from hypothesis import given

from ksmtrace.events import EventKind, Flag
from support.runs import (
    EMPTY,
    FREED,
    IN_STABLE,
    IN_UNSTABLE,
    analyse,
    appended,
    attempt,
    cut_streams,
    lost,
    process,
    removed,
    series,
    start,
    stop,
)
from support.story import story
from support.streams import sample, session


def _analysis(rows, **how):
    return analyse(rows, "stable_tree", **how).document["analyzers"]["stable_tree"]


def test_the_story_is_counted():
    figures = _analysis(story())
    histogram = figures.pop("node_sharers_pages")
    top = figures.pop("most_shared")
    assert [(node["sharer_pages"], node["processes"][0]["pages"]) for node in top] == [(3, 3)] * 10
    assert figures == {
        "shared_pages": 40,
        "sharing_pages": 80,
        "saved_bytes": 80 * 4096,
        "merged_pages": 121,
        "last_pass_merged_pages": 1,
        "new_node_pages": 40,
        "attempted_pages": 122,
        "failed_pages": {"EBUSY": 1, "EFAULT": 1},
        "replaced_pages": 120,
        "zero_page_pages": 0,
        "break_cow_pages": 1,
        "left_pages": 1,
        "removed_node_pages": 0,
        "cow_fault_pages": 3,
        "kernel_break_pages": 1,
        "stable_node_chains": None,
        "stable_node_dups": None,
        "node_age_p50_seconds": pytest.approx(10, rel=1e-3),
        "node_age_oldest_seconds": pytest.approx(10, rel=1e-3),
        "older_node_pages": 40,
        "most_shared_at_least": False,
    }
    assert histogram["4"] == sum(histogram.values()) == 40


def test_zero_pages_and_removed_nodes_are_counted_apart():
    figures = _analysis(
        [
            *EMPTY,
            {"kind": EventKind.REPLACE_PAGE},
            {"kind": EventKind.REPLACE_PAGE, "flags": Flag.ZERO_PAGE},
            {"kind": EventKind.REPLACE_PAGE, "flags": Flag.ZERO_PAGE},
            appended(1, 9, new=True),
            {"kind": EventKind.REMOVE_STABLE_NODE, "aux": 9},
            removed(2, IN_UNSTABLE | FREED),
            removed(3, IN_STABLE | FREED),
        ]
    )
    assert (figures["replaced_pages"], figures["zero_page_pages"]) == (1, 2)
    assert (figures["removed_node_pages"], figures["left_pages"]) == (1, 1)


def test_an_errno_without_a_name_is_shown_as_its_number():
    assert _analysis([*EMPTY, attempt(err=-14), attempt(err=-999)])["failed_pages"] == {
        "-999": 1,
        "EFAULT": 1,
    }


def test_errnos_that_nobody_knows_are_one_series():
    rows = [*EMPTY, attempt(err=-14), *(attempt(err=-number) for number in range(900, 990))]
    found = series(analyse(rows, "stable_tree").metrics)
    name = "ksmtrace_merge_attempts_total"
    results = {dict(labels)["result"]: n for (key, labels), n in found.items() if key == name}
    assert results == {"done": 0, "EFAULT": 1, "other": 90}


def test_a_node_falls_into_the_bucket_of_its_sharers():
    rows = [*EMPTY]
    item = 0
    for node, sharers in enumerate((1, 2, 3, 256, 257), start=10):
        for _ in range(sharers):
            item += 1
            rows.append(appended(item, node))
    snapshot = analyse(rows, "stable_tree")
    histogram = snapshot.document["analyzers"]["stable_tree"]["node_sharers_pages"]
    assert {k: v for k, v in histogram.items() if v} == {
        "1": 1,
        "2": 1,
        "4": 1,
        "256": 1,
        "more": 1,
    }
    found = series(snapshot.metrics)
    bucket = "ksmtrace_stable_node_sharers_bucket"
    bounds = ("1.0", "2.0", "4.0", "128.0", "256.0", "+Inf")
    assert [found[bucket, (("le", le),)] for le in bounds] == [1, 2, 3, 3, 4, 5]
    assert found["ksmtrace_stable_node_sharers_gsum", ()] == item


SECOND = 1_000_000_000


def _joins(at, item, node, mm, *, new=False):
    return {**appended(item, node, new=new, mm=mm), "ts": at * SECOND, "pfn": node * 16}


def _shared_pages():
    """Node 7 has two sharers since 10 s, node 8 five of three processes since 20 s; node 9 was
    there before."""
    return [
        process(1, 4711, b"qemu"),
        process(2, 815, b"\x1b[2Jevil [red]"),
        _joins(10, 1, 7, 1, new=True),
        _joins(11, 2, 7, 1),
        _joins(20, 3, 8, 2, new=True),
        *(_joins(21, item, 8, 2) for item in (4, 5)),
        _joins(22, 6, 8, 1),
        _joins(23, 7, 8, 3),
        _joins(30, 8, 9, 3),
        *sample(40 * SECOND, stable_node_chains=3, stable_node_dups=11, pages_shared=3),
    ]


def test_the_most_shared_pages_with_their_processes_and_ages():
    figures = _analysis([*EMPTY, *_shared_pages()])
    first, second, third = figures["most_shared"]
    assert first == {
        "kpfn": 128,
        "sharer_pages": 5,
        "age_seconds": 20,
        "older": False,
        "processes": [
            {"process": "?[2Jevil [red] 815", "pid": 815, "mm": "0x2", "pages": 3},
            {"process": "qemu 4711", "pid": 4711, "mm": "0x1", "pages": 1},
            {"process": "mm 0x3", "pid": None, "mm": "0x3", "pages": 1},
        ],
        "other_processes": 0,
    }
    assert (second["kpfn"], second["sharer_pages"], second["age_seconds"]) == (112, 2, 30)
    assert (third["older"], second["older"]) == (True, False)
    assert figures["node_age_p50_seconds"] == 20
    assert (figures["node_age_oldest_seconds"], figures["older_node_pages"]) == (30, 1)
    assert (figures["stable_node_chains"], figures["stable_node_dups"]) == (3, 11)


def test_the_most_shared_are_lower_bounds_where_not_all_is_known():
    held = sample(pages_shared=5, pages_sharing=5)
    assert _analysis([*held, *_shared_pages()])["most_shared_at_least"] is True
    assert _analysis([*EMPTY, *_shared_pages()])["most_shared_at_least"] is False


def test_only_ten_pages_and_three_processes_are_named():
    rows = [appended(100 * node + mm, node, mm=mm) for node in range(1, 13) for mm in range(1, 6)]
    figures = _analysis([*EMPTY, *rows])
    assert len(figures["most_shared"]) == 10
    for node in figures["most_shared"]:
        assert (len(node["processes"]), node["other_processes"]) == (3, 2)


def test_the_section_tells_the_answer_with_charts_over_time():
    first = sample(SECOND, pages_shared=0, pages_sharing=0)
    snapshot = analyse([*first, *_shared_pages()], "stable_tree")
    (section,) = (section for _, section in snapshot.sections)
    assert section.lead == (
        "3 KSM pages stand for 8: 5 pages saved; the most shared has 5 sharers."
    )
    over_time, by_sharers = section.charts
    assert list(over_time.x) == [1.0, 40.0]
    assert list(over_time.series["KSM pages"]) == [0, 3]
    assert sum(by_sharers.series["KSM pages"]) == 3
    assert "evil [red] 815 (3)" in section.tables[0].rows[0][0]


def test_gauges_are_the_kernels_before_ksm_is_known_whole():
    held = sample(pages_shared=5, pages_sharing=5, pages_unshared=0, pages_volatile=0)
    snapshot = analyse([*held, appended(1, 9)], "stable_tree")
    figures = snapshot.document["analyzers"]["stable_tree"]
    assert figures["merged_pages"] == 1
    keys = ("shared_pages", "sharing_pages", "saved_bytes", "node_sharers_pages")
    assert [figures[key] for key in keys] == [5, 5, 5 * 4096, None]
    names = {family.name for family in snapshot.metrics}
    assert "ksmtrace_saved_bytes" in names
    assert "ksmtrace_stable_node_sharers" not in names


def test_nodes_from_before_the_run_leave_the_histogram_unknown():
    held = sample(pages_shared=5, pages_sharing=5)
    of = session(unseen=[EventKind.REMOVE_RMAP_ITEM, EventKind.CMP_AND_MERGE_PAGE])
    figures = _analysis([*held, appended(1, 9)], of=of)
    assert (figures["shared_pages"], figures["sharing_pages"]) == (5, 5), "as the kernel says"
    assert figures["node_sharers_pages"] is None


def test_what_is_not_seen_is_null_and_has_no_series():
    of = session(unseen=list(EventKind))
    snapshot = analyse(story(), "stable_tree", of=of)
    figures = snapshot.document["analyzers"]["stable_tree"]
    read = ("shared_pages", "sharing_pages", "saved_bytes")
    assert [figures[key] for key in read] == [40, 80, 80 * 4096], "the kernel's counters"
    assert {value for key, value in figures.items() if key not in read} == {None}
    from ksmtrace.pipeline.run_metrics import run_metrics

    own = {family.name for family in run_metrics(snapshot._state, snapshot._calls)}
    gauges = {f"ksmtrace_{key}" for key in read}
    assert {family.name for family in snapshot.metrics} == own | gauges


def test_nothing_is_known_without_events():
    figures = _analysis([])
    assert figures["shared_pages"] is None
    assert figures["merged_pages"] == 0
    assert figures["node_sharers_pages"] is None


def test_a_pass_with_a_loss_is_not_the_last_whole_one():
    whole = [start(0), appended(1, 9), stop(0)]
    torn = [start(1), appended(2, 9), lost(), appended(3, 9), stop(1)]
    joined_late = [appended(4, 9), stop(2)]
    assert _analysis([*EMPTY, *whole, *torn, *joined_late])["last_pass_merged_pages"] == 1
    assert _analysis([*EMPTY, *torn])["last_pass_merged_pages"] is None


def test_a_pass_that_was_cut_off_by_the_next_does_not_count_into_it():
    rows = [*EMPTY, start(0), appended(1, 9), start(0), appended(2, 9), appended(3, 9), stop(0)]
    assert _analysis(rows)["last_pass_merged_pages"] == 2


@given(cut_streams())
def test_the_way_batches_are_cut_changes_nothing(stream):
    rows, cuts = stream
    rows = [_of_one_process(row) for row in rows]
    whole = analyse(rows, "stable_tree")
    cut = analyse(rows, "stable_tree", cuts=cuts)
    key = "stable_tree"
    assert cut.document["analyzers"][key] == whole.document["analyzers"][key]
    assert _own(cut) == _own(whole)


def _of_one_process(row):
    """All events of an rmap_item name the same mm, as a kernel's do."""
    if row["kind"] == EventKind.PROCESS or not row.get("rmap_item"):
        return row
    return {**row, "mm": 1 + row["rmap_item"] % 3}


def _own(snapshot):
    return {k: v for k, v in series(snapshot.metrics).items() if "plugin_seconds" not in k[0]}


@pytest.mark.parametrize(
    ("read", "mean"),
    [
        ({"stable_node_chains": 2, "stable_node_dups": 5}, 2.5),
        ({"stable_node_chains": 0, "stable_node_dups": 0}, 0),
        ({"stable_node_chains": 2}, None),
        ({}, None),
    ],
)
def test_the_mean_length_of_chains_as_read_last(read, mean):
    rows = [*EMPTY, *sample(**{**read, "pages_shared": 1})]
    found = series(analyse(rows, "stable_tree").metrics)
    assert found.get(("ksmtrace_stable_chain_mean_nodes", ())) == mean
