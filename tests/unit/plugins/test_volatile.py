"""The volatile analyzer: outcomes of examinations, and the processes whose pages change."""

import io

import pytest
from hypothesis import given, settings
from rich.console import Console

from ksmtrace.events import EventKind
from ksmtrace.plugins.volatile.cause import LIVE, REMEDIES, Cause
from ksmtrace.plugins.volatile.examinations import MOST_PROCESSES
from support.runs import (
    EMPTY,
    FREED,
    IN_UNSTABLE,
    TO_STABLE,
    TO_UNSTABLE,
    analyse,
    cut_streams,
    examined,
    exit_of,
    lost,
    plugin,
    process,
    removed,
    runner,
    series,
    start,
    stop,
)
from support.story import JAVA, story
from support.streams import events, sample, session


def _analysis(rows, **how):
    return analyse(rows, "volatile", **how).document["analyzers"]["volatile"]


def _changed(mm, times=1):
    return [examined(1, mm=mm, old=1, new=2)] * times


def test_the_story_is_counted():
    figures = _analysis(story())
    assert figures.pop("processes") == [
        {"pid": 815, "comm": "java", "mm": f"{JAVA:#x}", "changed_pages": 159}
    ]
    assert figures.pop("last_pass_changed_ratio") == pytest.approx(79 / 260)
    expected = {
        "volatile_pages": 80,
        "examined_pages": 784,
        "placed_stable_pages": 240,
        "placed_unstable_pages": 121,
        "changed_pages": 159,
        "first_look_pages": 262,
        "unplaced_pages": 1,
        "freed_pages": 1,
        "last_pass_examined_pages": 260,
        "last_pass_changed_pages": 79,
        "other_changed_pages": 0,
        "exited_changed_pages": 0,
        "skipped_pages": 0,
        "gone_pages": 2,
        "split_huge_pages": 0,
        "wasted_pages": 159 + 1 + 1,
    }
    assert {key: figures[key] for key in expected} == expected
    assert figures["wasted_ratio"] == pytest.approx(161 / 784)
    counted = {name: line["examined_pages"] for name, line in figures["causes"].items()}
    assert counted == {
        **dict.fromkeys(("other", "held", "huge_page", "chain_full", "skipped"), 0),
        **{"changed": 159, "first_look": 262, "fork_shared": 1, "gone": 1},
    }
    assert {name: line["now_pages"] for name, line in figures["causes"].items()} == {
        **dict.fromkeys(counted, 0),
        **{"changed": 79, "fork_shared": 1},
    }


@pytest.mark.parametrize(
    ("row", "outcome"),
    [
        (examined(1, TO_STABLE, old=1, new=2), "placed_stable"),
        (examined(1, IN_UNSTABLE | TO_UNSTABLE, old=1, new=1), "placed_unstable"),
        (examined(1, IN_UNSTABLE, old=1, new=2), "changed"),
        (examined(1, old=0, new=2), "first_look"),
        (examined(1, old=2, new=2), "unplaced"),
        (examined(1, old=0, new=0), "unplaced"),
        (examined(1, FREED, old=2, new=3), "freed"),
    ],
)
def test_each_examination_has_one_outcome(row, outcome):
    figures = _analysis([*EMPTY, row])
    names = ("placed_stable", "placed_unstable", "changed", "first_look", "unplaced", "freed")
    assert {name for name in names if figures[f"{name}_pages"]} == {outcome}
    assert figures["examined_pages"] == 1


def test_a_first_look_is_not_put_down_to_the_process():
    assert _analysis([*EMPTY, examined(1, old=0, new=2)])["processes"] == []


def test_the_ten_that_change_most_are_listed_and_the_rest_summed():
    rows = [*EMPTY]
    for mm in range(1, 13):
        rows += _changed(mm, times=mm)
    figures = _analysis(rows)
    assert [p["changed_pages"] for p in figures["processes"]] == list(range(12, 2, -1))
    assert figures["other_changed_pages"] == 1 + 2


def test_a_process_that_exits_goes_into_the_exited_bucket_and_its_mm_may_come_again():
    rows = [
        *EMPTY,
        process(1, 10, b"old"),
        *_changed(1, 3),
        exit_of(1),
        process(1, 11, b"new"),
        *_changed(1, 2),
    ]
    figures = _analysis(rows)
    assert figures["exited_changed_pages"] == 3
    assert figures["processes"] == [{"pid": 11, "comm": "new", "mm": "0x1", "changed_pages": 2}]


def test_a_process_without_a_name_is_listed_as_unknown():
    snapshot = analyse([*EMPTY, *_changed(5)], "volatile")
    listed = snapshot.document["analyzers"]["volatile"]["processes"]
    assert listed == [{"pid": None, "comm": None, "mm": "0x5", "changed_pages": 1}]
    assert "unknown" in _drawn(snapshot)


def test_what_is_kept_for_processes_is_bounded():
    instance = plugin("volatile")
    rows = [*EMPTY, start(0)]
    for mm in range(1, 2 * MOST_PROCESSES + 2):
        rows += [process(mm, mm, b"x"), *_changed(mm)]
    rows += [*_changed(7, 5), stop(0)]
    document = runner([events(*rows)], {"volatile": instance}, interval=3600).run().document
    figures = document["analyzers"]["volatile"]
    assert len(instance._causes.tallies) == MOST_PROCESSES // 2
    listed = sum(p["changed_pages"] for p in figures["processes"])
    assert listed + figures["other_changed_pages"] == figures["changed_pages"]
    assert figures["processes"][0]["pid"] == 7
    assert sum_of("changed", figures) == figures["changed_pages"]


def test_processes_that_come_and_go_leave_nothing_behind():
    instance = plugin("volatile")
    rows = [*EMPTY]
    for mm in range(1, 400):
        rows += [start(mm), process(mm, mm, b"x"), *_changed(mm), removed(1, FREED, mm=mm)]
        rows += [exit_of(mm), stop(mm)]
    document = runner([events(*rows)], {"volatile": instance}, interval=3600).run().document
    assert instance._causes.tallies == {}
    figures = document["analyzers"]["volatile"]
    assert figures["exited_changed_pages"] == figures["gone_pages"] == 399
    assert figures["cause_rest"]["gone_pages"] == 399


def sum_of(cause, figures):
    """Pages of a cause over all processes."""
    key = f"{cause}_pages"
    return sum(p[key] for p in figures["cause_processes"]) + figures["cause_rest"][key]


@pytest.mark.parametrize(
    ("comm", "shown"),
    [
        (b"\x1b[31mred\x1b[0m", "?[31mred?[0m"),
        (b"[bold]x[/bold]", "[bold]x[/bold]"),
        (b"[/]", "[/]"),
        (b"a\nb\tc", "a?b?c"),
        (b"\xff\xfe", "??"),
        ("ж".encode() * 8, "ж" * 8),
        (b"exactly16bytes!!", "exactly16bytes!!"),
        ("\u202egnp".encode(), "?gnp"),
    ],
)
def test_a_process_name_can_do_no_harm(comm, shown):
    snapshot = analyse([*EMPTY, process(1, 9, comm), *_changed(1)], "volatile")
    assert snapshot.document["analyzers"]["volatile"]["processes"][0]["comm"] == shown
    drawn = _drawn(snapshot)
    assert shown in drawn
    assert "\x1b" not in drawn


def _drawn(snapshot):
    console = Console(file=io.StringIO(), width=80)
    for _, panel in snapshot.panels:
        console.print(panel)
    return console.file.getvalue()


def test_a_pass_with_a_loss_is_not_the_last_whole_one():
    rows = [*EMPTY, start(0), *_changed(1, 2), stop(0), start(1), *_changed(1, 9), lost(), stop(1)]
    figures = _analysis(rows)
    assert (figures["last_pass_examined_pages"], figures["last_pass_changed_pages"]) == (2, 2)
    assert figures["last_pass_changed_ratio"] == 1.0


def test_an_empty_pass_has_no_ratio():
    figures = _analysis([*EMPTY, start(0), stop(0)])
    assert figures["last_pass_examined_pages"] == 0
    assert figures["last_pass_changed_ratio"] is None


def test_what_is_not_seen_is_null_and_has_no_series():
    of = session(unseen=[EventKind.CMP_AND_MERGE_PAGE])
    snapshot = analyse([*EMPTY, start(0), stop(0)], "volatile", of=of)
    figures = snapshot.document["analyzers"]["volatile"]
    assert figures.pop("volatile_pages") == 0, "the kernel's counter"
    assert set(figures.values()) == {None}
    (told,) = (section for name, section in snapshot.sections if name == "volatile")
    assert "cannot be told" in told.lead
    named = [f.name for f in snapshot.metrics]
    assert not [name for name in named if "examined" in name or "last_pass" in name]


def test_a_cause_whose_event_is_not_seen_is_null():
    of = session(unseen=[EventKind.TRY_TO_MERGE_ONE_PAGE, EventKind.SKIPPED])
    figures = _analysis([*EMPTY, examined(1, old=2, new=2)], of=of)
    unknown = {name for name, line in figures["causes"].items() if line["now_pages"] is None}
    assert unknown == {"fork_shared", "held", "huge_page", "skipped"}
    assert figures["causes"]["other"]["now_pages"] == 1
    assert figures["skipped_pages"] is figures["split_huge_pages"] is None


def test_no_metric_names_a_process():
    for family in analyse(story(), "volatile").metrics:
        for one in family.samples:
            assert not {"pid", "mm", "comm"} & set(one.labels)


@settings(deadline=None)
@given(cut_streams())
def test_the_way_batches_are_cut_changes_nothing(stream):
    rows, cuts = stream
    whole = analyse(rows, "volatile")
    cut = analyse(rows, "volatile", cuts=cuts)
    assert cut.document["analyzers"] == whole.document["analyzers"]
    assert _own(cut) == _own(whole)
    figures = whole.document["analyzers"]["volatile"]
    by_process = sum(p["changed_pages"] for p in figures["processes"])
    assert (
        by_process + figures["other_changed_pages"] + figures["exited_changed_pages"]
        == figures["changed_pages"]
    )
    for cause in REMEDIES:
        counted = figures["causes"][cause.name.lower()]["examined_pages"]
        by_process = sum_of(cause.name.lower(), figures)
        if cause is Cause.SKIPPED:
            assert by_process == figures["skipped_pages"]
        elif cause is Cause.GONE:
            assert by_process == figures["gone_pages"]
        else:
            assert by_process == counted
    sections = [dict(snapshot.sections)["volatile"] for snapshot in (whole, cut)]
    assert sections[0] == sections[1]


def test_ranges_are_runs_of_2_mib_with_the_pages_now():
    rows = [*EMPTY, process(9, 90, b"java")]
    rows += [
        {**examined(64 * page + 64, mm=9, old=1, new=2), "address": page << 12}
        for page in range(700)
    ]
    rows.append({**examined(7, mm=9, old=3, new=3), "address": 5 << 21})
    rows.append(removed(64, FREED, mm=9))
    figures = _analysis(rows)
    first, second, third = figures["ranges"]
    assert (first["start"], first["end"], first["pages"]) == ("0x0", "0x200000", 511)
    assert (second["start"], second["changed_pages"]) == ("0x200000", 188)
    assert (third["start"], third["fork_shared_pages"]) == ("0xa00000", 1)
    assert {one["comm"] for one in figures["ranges"]} == {"java"}
    live = {name: line["now_pages"] for name, line in figures["causes"].items()}
    assert sum(one["pages"] for one in figures["ranges"]) == sum(live.values()) == 700


def test_ksmds_time_is_shared_out_by_examinations():
    def reading(seconds):
        return sample(ksmd_cpu_ns=seconds * 10**9)

    rows = [*EMPTY, *reading(5), *_changed(1, 3), examined(2, TO_UNSTABLE, old=1, new=1)]
    figures = _analysis([*rows, *reading(9)])
    assert figures["causes"]["changed"]["ksmd_cpu_seconds"] == pytest.approx(3.0)
    assert figures["causes"]["held"]["ksmd_cpu_seconds"] == 0
    assert _analysis(rows)["causes"]["changed"]["ksmd_cpu_seconds"] is None


def test_the_section_answers_and_can_be_drawn():
    told = dict(analyse(story(), "volatile").sections)["volatile"]
    assert "20.5% of 784 examinations were in vain" in told.lead
    assert "changing" in told.lead
    assert "java 815" in told.lead
    for table in told.tables:
        assert {len(row) for row in table.rows} <= {len(table.columns)}
        assert len(table.units) == len(table.columns)
    (chart,) = told.charts
    assert len(chart.series) == len(LIVE)
    assert {len(values) for values in chart.series.values()} == {len(chart.x)} == {3}
    assert chart.series["changing"] == [0, 80, 79]


def test_a_clock_that_steps_back_does_no_harm():
    rows = [*EMPTY]
    for beat, ts in enumerate((9, 3, 2**63, 1, 7)):
        rows += [
            {**row, "ts": ts * 10**9 % 2**64} for row in (start(beat), *_changed(1), stop(beat))
        ]
    told = dict(analyse(rows, "volatile").sections)["volatile"]
    assert told.charts[0].x == sorted(told.charts[0].x)


def _own(snapshot):
    return {k: v for k, v in series(snapshot.metrics).items() if "plugin_seconds" not in k[0]}
