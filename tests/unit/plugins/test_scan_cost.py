"""The scan_cost analyzer: durations, ksmd's time, coverage, and when KSM has settled."""

import io
from dataclasses import replace

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from ksmtrace.events import EventKind
from ksmtrace.events.tunable import TunableWrite, tunable_records
from ksmtrace.model.accounts import ZERO_CHECKSUM
from ksmtrace.plugins.scan_cost.scan_times import BUCKETS_SECONDS
from support.runs import (
    EMPTY,
    FREED,
    analyse,
    appended,
    cut_streams,
    examined,
    lost,
    removed,
    series,
    start,
    stop,
)
from support.story import story
from support.streams import KERNEL, sample, session

SECOND = 10**9


def _analysis(rows, **how):
    return analyse(rows, "scan_cost", **how).document["analyzers"]["scan_cost"]


def _pass(began, ended, rows=(), number=0):
    return [
        {**start(number), "ts": int(began * SECOND)},
        *rows,
        {**stop(number), "ts": int(ended * SECOND)},
    ]


def _looks(count, first=1, checksum=7):
    return [examined(64 * item, new=checksum) for item in range(first, first + count)]


def _merges(count, first=1):
    """One more page of the node 9000 each."""
    rows = []
    for item in range(first, first + count):
        rows += [examined(64 * item, new=5), appended(64 * item, 9000)]
    return rows


def test_the_checksum_of_zeroes_is_the_kernels():
    assert xxhash.xxh64_intdigest(bytes(4096)) & 0xFFFFFFFF == ZERO_CHECKSUM


def test_passes_are_timed_from_start_to_stop():
    figures = _analysis([*EMPTY, *_pass(1, 1.5), *_pass(2, 4), *_pass(4, 304)])
    assert figures["passes"] == 3
    assert figures["last_pass_seconds"] == 300
    assert figures["mean_pass_seconds"] == pytest.approx(302.5 / 3)
    counted = {key: count for key, count in figures["pass_seconds_histogram"].items() if count}
    assert counted == {"1.0": 1, "4.0": 1, "1024.0": 1}


@given(st.lists(st.floats(0.000_001, 10**5), min_size=1, max_size=30))
@settings(deadline=None)
def test_the_histogram_holds_each_pass_once(durations):
    rows, now = [*EMPTY], 1.0
    for duration in durations:
        rows += _pass(now, now + duration)
        now += duration + 1
    snapshot = analyse(rows, "scan_cost")
    found = series(snapshot.metrics)
    name = "ksmtrace_scan_pass_seconds"
    lasted = [(r["ts"] - b["ts"]) / 1e9 for b, r in zip(rows[4::2], rows[5::2], strict=True)]
    for bound in BUCKETS_SECONDS:
        expected = sum(one <= bound for one in lasted)
        assert found[f"{name}_bucket", (("le", str(bound)),)] == expected
    assert found[f"{name}_bucket", (("le", "+Inf"),)] == found[f"{name}_count", ()] == len(lasted)
    assert found[f"{name}_sum", ()] == pytest.approx(sum(lasted))
    ((_, section),) = snapshot.sections
    (spread,) = (chart for chart in section.charts if chart.kind == "bar")
    assert sum(spread.series["passes"]) == len(lasted)
    assert 0 not in (spread.series["passes"][0], spread.series["passes"][-1])


def test_a_pass_that_was_not_seen_whole_has_no_duration():
    rows = [*EMPTY, {**stop(0), "ts": 5 * SECOND}, *_pass(6, 9, [lost()])]
    figures = _analysis(rows)
    assert figures["passes"] == 2
    assert figures["last_pass_seconds"] is None
    assert figures["last_pass_examined_pages"] is None


def test_a_clock_that_goes_back_gives_no_negative_duration():
    first = sample(ts=9 * SECOND, ksmd_cpu_ns=100)
    last = sample(ts=3 * SECOND, ksmd_cpu_ns=50)
    figures = _analysis([*EMPTY, *first, *_pass(8, 2, _looks(3)), *last])
    assert figures["last_pass_seconds"] is None
    assert figures["last_pass_examined_pages"] == 3
    assert figures["ksmd_cpu_seconds"] is None
    assert figures["settled_after_seconds"] is None
    quiet = [row for n in range(4) for row in _pass(8 - n, 7.5 - n)]
    back = _analysis([*EMPTY, *quiet], of=replace(session(), monotonic_ns=100 * SECOND))
    assert back["settled"]
    assert back["settled_after_seconds"] == 0


def test_cpu_time_that_falls_is_left_out():
    falls = [*sample(ts=1 * SECOND, ksmd_cpu_ns=900), *sample(ts=2 * SECOND, ksmd_cpu_ns=100)]
    figures = _analysis([*EMPTY, *falls, *sample(ts=4 * SECOND, ksmd_cpu_ns=300)])
    assert figures["ksmd_cpu_seconds"] == 200 / 1e9
    assert figures["ksmd_cores"] == 100 / 1e9


def test_an_engines_times_are_no_times():
    of = replace(session(), kernel=replace(KERNEL, machine="engine"))
    figures = _analysis([*EMPTY, *_pass(1, 2, _looks(4)), *_pass(3, 4), *_pass(5, 6)], of=of)
    assert figures["passes"] == 3
    for key in (
        "last_pass_seconds",
        "mean_pass_seconds",
        "pass_seconds_histogram",
        "settled_after_seconds",
    ):
        assert figures[key] is None
    assert figures["settled_after_passes"] == 1


def test_ksmds_time_buys_pages():
    first, then = (
        sample(ts=SECOND, ksmd_cpu_ns=7 * SECOND),
        sample(ts=5 * SECOND, ksmd_cpu_ns=8 * SECOND),
    )
    figures = _analysis([*EMPTY, *_looks(50), *first, *_looks(200), *then, *_looks(9)])
    assert figures["ksmd_cpu_seconds"] == 1
    assert figures["ksmd_cores"] == 0.25
    assert figures["pages_per_cpu_second"] == 200
    assert figures["pages_per_second"] == 50
    assert figures["examined_pages"] == 259


def test_where_pages_are_not_seen_the_kernels_count_of_them_is_taken():
    unseen = session(unseen=[kind for kind in EventKind if kind is not EventKind.SAMPLE])
    readings = [
        *sample(ts=1 * SECOND, ksmd_cpu_ns=0, pages_scanned=100, full_scans=4),
        *sample(ts=2 * SECOND, ksmd_cpu_ns=SECOND // 2, pages_scanned=1100, full_scans=4),
        *sample(ts=21 * SECOND, ksmd_cpu_ns=SECOND, pages_scanned=2100, full_scans=8),
    ]
    figures = _analysis(readings, of=unseen)
    assert figures["pages_per_cpu_second"] == 2000
    assert figures["pages_per_second"] == 100
    assert figures["mean_pass_seconds"] == 5
    assert (
        figures["examined_pages"] is figures["passes"] is figures["pass_seconds_histogram"] is None
    )
    without = [sample(ts=n * SECOND, ksmd_cpu_ns=n) for n in (1, 2)]
    assert _analysis([*without[0], *without[1]], of=unseen)["pages_per_cpu_second"] is None


def test_limited_to_some_processes_the_pages_of_all_are_the_kernels():
    first = sample(ts=SECOND, ksmd_cpu_ns=0, pages_scanned=0)
    rows = [
        *EMPTY,
        *first,
        *_looks(5),
        *sample(ts=2 * SECOND, ksmd_cpu_ns=SECOND, pages_scanned=70),
    ]
    figures = _analysis(rows, of=replace(session(), only_pids=(7,)))
    assert figures["pages_per_cpu_second"] == 70
    assert _analysis(rows)["pages_per_cpu_second"] == 5


def test_coverage_is_of_the_rmap_items_alive():
    gone = [removed(64 * 1, FREED)]
    figures = _analysis(
        [*EMPTY, *_pass(1, 2, _looks(10)), *_pass(3, 4, [*_looks(3, first=2), *gone])]
    )
    assert figures["last_pass_rmap_items"] == 9
    assert figures["coverage_ratio"] == 3 / 9
    late = sample(pages_shared=1, pages_sharing=1, pages_unshared=0, pages_volatile=0)
    assert _analysis([*late, *_looks(4), {**stop(), "ts": 9}])["coverage_ratio"] is None


def test_what_smart_scan_passes_over():
    skips = [{"kind": EventKind.SKIPPED, "rmap_item": 64, "mm": 1}] * 3
    figures = _analysis([*EMPTY, *_pass(1, 2, [*_looks(1), *skips])])
    assert figures["skipped_ratio"] == 0.75
    assert figures["last_pass_skipped_pages"] == 3
    blind = _analysis([*EMPTY, *_looks(1)], of=session(unseen=[EventKind.SKIPPED]))
    assert blind["skipped_ratio"] is blind["skipped_pages"] is None


def test_pages_of_zeroes_are_counted_in_the_last_whole_pass():
    before = _looks(2, checksum=ZERO_CHECKSUM)
    rows = [
        *EMPTY,
        *before,
        *_pass(1, 2, [*_looks(4, checksum=ZERO_CHECKSUM), *_looks(2, first=9)]),
    ]
    for cuts in ([], range(1, len(rows))):
        assert _analysis(rows, cuts=list(cuts))["last_pass_zero_checksum_pages"] == 4


def test_it_has_settled_after_two_quiet_passes():
    rows = [*EMPTY, *_pass(1, 2), *_pass(2, 3, _merges(101)), *_pass(3, 4, _merges(1, first=102))]
    figures = _analysis(rows)
    assert figures["settled"] is False
    assert figures["last_pass_sharing_change_ratio"] == 1 / 101
    figures = _analysis([*rows, *_pass(4, 5)])
    assert figures["settled"]
    assert (figures["settled_after_passes"], figures["settled_after_seconds"]) == (2, 3)
    figures = _analysis([*rows, *_pass(4, 5), *_pass(5, 6, _merges(50, first=200))])
    assert figures["settled"] is False
    assert figures["settled_after_passes"] is None


def test_one_percent_is_not_quiet():
    rows = [*EMPTY, *_pass(1, 2, _merges(100)), *_pass(2, 3, _merges(1, first=200)), *_pass(3, 4)]
    assert _analysis(rows)["settled"] is False  # 99 to 100 is 1 %
    rows = [*EMPTY, *_pass(1, 2, _merges(101)), *_pass(2, 3, _merges(1, first=200)), *_pass(3, 4)]
    assert _analysis(rows)["settled"]  # 100 to 101 is less


def test_a_loss_leaves_it_open_whether_it_has_settled():
    quiet = [row for n in range(4) for row in _pass(n, n + 0.5)]
    assert _analysis([*EMPTY, *quiet])["settled"]
    assert _analysis([*EMPTY, *quiet, *_pass(8, 9, [lost()])])["settled"] is None


def test_without_pass_ends_the_steps_of_full_scans_tell():
    unseen = session(unseen=[kind for kind in EventKind if kind is not EventKind.SAMPLE])
    rows = []
    for scans, sharing in ((3, 0), (4, 500), (4, 700), (5, 1000), (6, 1001), (7, 1002)):
        rows += sample(ts=scans * SECOND, full_scans=scans, pages_sharing=sharing)
    figures = _analysis(rows, of=unseen)
    assert figures["settled"]
    assert figures["settled_after_seconds"] == 5


def _tunables(figures):
    return tuple(figures[name] for name in ("advisor_mode", "pages_to_scan", "sleep_millisecs"))


def _written(*writes):
    return [
        {name: record[name].item() for name in record.dtype.names}
        for record in tunable_records(*writes)
    ]


def test_the_advisors_decisions_are_as_they_were_read():
    """While advisor_mode is scan-time, and no longer; the others as last written."""
    of = replace(
        session(),
        tunables={"pages_to_scan": "100", "advisor_mode": "none", "sleep_millisecs": "20"},
    )
    assert _tunables(_analysis(EMPTY, of=of)) == ("none", 100, 20)
    rows = [
        *sample(ts=SECOND, pages_to_scan=100),
        *_written(
            TunableWrite("advisor_mode", "scan-time", ts=SECOND),
            TunableWrite("sleep_millisecs", "10", ts=SECOND),
            TunableWrite("sleep_millisecs", "11", err=-22, ts=SECOND),
        ),
    ]
    for second, pages in ((2, 500), (3, 800), (4, 650)):
        rows += sample(ts=second * SECOND, pages_to_scan=pages)
    figures = _analysis(rows, of=of)
    assert _tunables(figures) == ("scan-time", 650, 10)
    assert figures["advisor_pages_to_scan"] == {"seconds": [2, 3, 4], "pages": [500, 800, 650]}
    rows += _written(TunableWrite("advisor_mode", "none", ts=5 * SECOND))
    rows += sample(ts=6 * SECOND, pages_to_scan=650)
    assert _analysis(rows, of=of)["advisor_pages_to_scan"]["seconds"] == [2, 3, 4]


def test_without_the_advisor_it_decides_nothing():
    assert _analysis([*EMPTY, *sample(pages_to_scan=9)])["advisor_pages_to_scan"] is None


@given(cut_streams())
@settings(deadline=None)
def test_the_way_batches_are_cut_changes_nothing(stream):
    rows, cuts = stream
    whole, cut = analyse(rows, "scan_cost"), analyse(rows, "scan_cost", cuts=cuts)
    assert cut.document["analyzers"] == whole.document["analyzers"]
    names = [s for s in series(whole.metrics) if s[0].startswith("ksmtrace_scan")]
    found = series(cut.metrics)
    assert {name: found[name] for name in names} == {
        name: series(whole.metrics)[name] for name in names
    }


def test_panel_and_section():
    snapshot = analyse([*EMPTY, *_pass(1, 2, _looks(9)), *_pass(2, 3), *_pass(3, 4)], "scan_cost")
    console = Console(width=26, file=io.StringIO(), color_system=None)
    for _, panel in snapshot.panels:
        console.print(panel)
    assert max(map(len, console.file.getvalue().splitlines())) <= 26
    ((_, section),) = snapshot.sections
    assert section.lead == "A pass takes 1 s. KSM has settled, after 1 pass."
    lasted, spread, pages = section.charts
    assert list(lasted.x) == list(pages.x) == [2, 3, 4]
    assert (spread.kind, list(spread.x), spread.series) == ("bar", ["<= 1 s"], {"passes": [3]})
    assert pages.series["examined"] == [9, 0, 0]
    assert analyse([], "scan_cost").sections
    assert analyse(story(), "scan_cost").sections
