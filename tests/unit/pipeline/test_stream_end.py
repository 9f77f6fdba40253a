"""A run whose stream ends before it: what it knew stays and says so, counts go on."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.events import EventBatch, EventKind
from ksmtrace.plugins import BUILTINS, Role
from ksmtrace.plugins.tui.text import plain_text
from support.runs import analyse, plugin, runner, series, start, stop
from support.story import GAUGES, story
from support.streams import events, sample

ANALYZERS = [b.name for b in BUILTINS if b.role is Role.ANALYZER]
SECOND = 10**9
END = {"kind": EventKind.STREAM_END, "ts": 12 * SECOND, "aux": 80_000, "address": 50_000}


def total(kind: EventKind, count: int, err: int = 0) -> dict:
    return {
        "kind": EventKind.TOTAL, "ts": 14 * SECOND, "address": kind, "aux": count, "err": err
    }  # fmt: skip


def probe_time(ts: int, in_ksmd: int, **columns: int) -> dict:
    return {
        "kind": EventKind.PROBE_TIME, "ts": ts * SECOND, "address": 5 * 10**8, "pfn": 10**7,
        "aux": in_ksmd, **columns,
    }  # fmt: skip


AFTER = [
    total(EventKind.STABLE_APPEND, 30),
    total(EventKind.TRY_TO_MERGE_ONE_PAGE, 20),
    total(EventKind.TRY_TO_MERGE_ONE_PAGE, 5, -14),
    *sample(ts=15 * SECOND, pages_scanned=2000, **GAUGES | {"pages_shared": 50}),
]
STORY = [*story(), probe_time(11, 800_000), END, *AFTER]
FLOWN = {kind: sum(row["kind"] == kind for row in story()) for kind in EventKind}


def final(rows=STORY):
    return analyse(rows, *ANALYZERS)


def test_events_are_those_sent_and_those_counted():
    by_kind = final().document["events"]["by_kind"]
    appended = FLOWN[EventKind.STABLE_APPEND]
    tried = FLOWN[EventKind.TRY_TO_MERGE_ONE_PAGE]
    assert by_kind["STABLE_APPEND"] == appended + 30
    assert by_kind["TRY_TO_MERGE_ONE_PAGE"] == tried + 25
    assert {"TOTAL", "PROBE_TIME", "STREAM_END", "LOST"}.isdisjoint(by_kind)
    tree = final().document["analyzers"]["stable_tree"]
    assert tree["merged_pages"] == appended + 30
    assert tree["attempted_pages"] == tried + 25
    assert tree["failed_pages"]["EFAULT"] >= 5


def test_the_document_says_when_and_why():
    document = final().document
    assert document["stream"] == {
        "ended_seconds": 12.0,
        "reason": "the probes took 8% of ksmd's CPU time, 5% are allowed",
    }
    assert document["reconstruction"]["complete"] is False
    assert {row["reconstructed"] for row in document["reconciliation"].values()} == {None}
    assert document["counters"]["pages_shared"] == 50
    before = final(story()).document
    assert before["stream"] == {"ended_seconds": None, "reason": ""}
    assert before["reconstruction"]["complete"] is True
    # what was known of events stays
    tree = document["analyzers"]["unstable_tree"]
    assert tree["inserted_pages"] == before["analyzers"]["unstable_tree"]["inserted_pages"] > 0


def test_checks_stand_still_at_the_end():
    """pages_scanned goes on, the events do not: that is no difference."""
    ended, before = final().document["self_check"], final(story()).document["self_check"]
    assert ended == before


def test_figures_that_need_events_have_no_series_any_more():
    before, ended = series(final(story()).metrics), series(final().metrics)
    assert before["ksmtrace_stream_ended", ()] == 0
    assert ended["ksmtrace_stream_ended", ()] == 1
    gone = {name for name, _ in before} - {name for name, _ in ended}
    assert {
        "ksmtrace_unstable_inserted_pages_total",
        "ksmtrace_examined_pages_total",
    } <= gone
    assert ("ksmtrace_events_total", (("kind", "cmp_and_merge_page"),)) not in ended
    appended = ("ksmtrace_events_total", (("kind", "stable_append"),))
    assert ended[appended] == before[appended] + 30
    assert ended["ksmtrace_merged_pages_total", ()] == ended[appended]
    attempts = ("ksmtrace_merge_attempts_total", (("result", "EFAULT"),))
    assert ended[attempts] == before.get(attempts, 0) + 5


def test_counters_do_not_fall():
    """Of a series that goes on; Prometheus would take it for a restart."""
    before, ended = (
        {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in final(rows).metrics
            if family.type == "counter"
            for sample in family.samples
            if "plugin" not in sample.labels
        }
        for rows in (story(), STORY)
    )
    assert {name: (before[name], ended[name]) for name in ended.keys() & before.keys()
            if ended[name] < before[name]} == {}  # fmt: skip


def test_every_section_says_until_when():
    for _, section in final().sections:
        assert section.exactness.startswith("events as far as 12 s into the run")
    for _, section in final(story()).sections:
        assert "into the run" not in section.exactness


def test_the_text_says_so():
    text = " ".join(plain_text(final()).split())
    assert "The stream ended 12.0 s into the run: the probes took 8% of ksmd's CPU time" in text
    assert "Probes took 8.0% of ksmd's CPU time." in text
    assert "The stream ended" not in plain_text(final(story()))


@given(st.lists(st.integers(1, len(STORY) - 1), max_size=12, unique=True))
def test_however_the_stream_is_cut(cuts):
    names = ("stable_tree", "unstable_tree", "volatile")
    whole = analyse(STORY, *names).document
    assert analyse(STORY, *names, cuts=sorted(cuts)).document == whole


def test_later_passes_make_nothing_complete():
    rows = [*STORY, start(7), stop(7), *sample(ts=20 * SECOND, at_scan_stop=True, **GAUGES)]
    assert final(rows).document["reconstruction"]["complete"] is False


def test_nothing_is_counted_where_the_kernel_refuses_that():
    rows = [*story(), END | {"err": -1}, *sample(ts=15 * SECOND, **GAUGES)]
    found = series(final(rows).metrics)
    assert ("ksmtrace_merged_pages_total", ()) not in found
    assert ("ksmtrace_events_total", (("kind", "stable_append"),)) not in found


def test_shares_are_of_the_samples_in_which_the_kernel_counted():
    rows = [
        *story(),
        probe_time(11, 800_000, rmap_item=3 * 10**6),
        probe_time(12, 0, err=-1, address=0, pfn=0),
        probe_time(13, 200_000),
    ]
    measured = final(rows).document["probe_time"]
    assert measured == {
        "samples": 2, "ksmd_ratio": 0.05, "last_ksmd_ratio": 0.02, "sampled_seconds": 1.0,
        "ksmd_seconds": 0.02, "in_ksmd_seconds": 0.001, "elsewhere_seconds": 0.003, "unknown": "",
    }  # fmt: skip
    found = series(final(rows).metrics)
    assert found["ksmtrace_probes_ksmd_ratio", ()] == 0.02
    assert found["ksmtrace_probes_sampled_seconds_total", (("thread", "ksmd"),)] == 0.001
    assert found["ksmtrace_probes_sampled_seconds_total", (("thread", "others"),)] == 0.003
    assert found["ksmtrace_probes_sampled_ksmd_seconds_total", ()] == 0.02


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([], "no sample yet"),
        ([probe_time(11, 0, err=-1)], "the kernel does not count (BPF_ENABLE_STATS: EPERM)"),
        ([probe_time(11, 0, pfn=0)], "ksmd did not run in a sample"),
    ],
)
def test_what_is_not_known_is_not_0(rows, why):
    found = final([*story(), *rows])
    assert found.document["probe_time"]["ksmd_ratio"] is None
    assert found.document["probe_time"]["unknown"] == why
    assert ("ksmtrace_probes_ksmd_ratio", ()) not in series(found.metrics)


@pytest.mark.parametrize(
    ("options", "logged"), [({"log": True}, True), ({}, True), ({"tui": True}, False)]
)
def test_one_line_on_stderr_unless_there_is_a_screen(capsys, options, logged):
    rows = events(*STORY)
    batches = [EventBatch(rows.events[a:b]) for a, b in pairwise([0, 5, len(STORY)])]
    runner(batches, {"log": plugin("log")}, **options).run()
    lines = [line for line in capsys.readouterr().err.splitlines() if "stream of events" in line]
    assert lines == logged * [
        "ksmtrace: the stream of events ends: the probes took 8% of ksmd's CPU time, 5% are "
        "allowed; counts and counters go on; to avoid it: --budget none, or --totals from the "
        "beginning"
    ]
