"""The cow analyzer: whose writes break merges, how long faults take, regrets, half-lives and
storms."""

import io
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from unit.engine.machines import machine, region

from ksmtrace.engine.trace.emitter import Emitter
from ksmtrace.events import EventBatch, EventKind, Flag
from ksmtrace.plugins.cow.breaks import MOST
from ksmtrace.plugins.cow.storms import MEDIAN_SECONDS, STORM_FLOOR, STORM_MULTIPLE
from support.runs import (
    EMPTY,
    FREED,
    IN_STABLE,
    TO_UNSTABLE,
    analyse,
    any_row,
    appended,
    examined,
    exit_of,
    plugin,
    process,
    removed,
    runner,
    series,
    start,
    stop,
)
from support.streams import events, session

SECOND = 10**9


def fault(page, mm=1, *, at=0.0, by_kernel=False, took=0):
    """A COW_FAULT row at a page number, so many seconds after the start."""
    return {
        "kind": EventKind.COW_FAULT,
        "mm": mm,
        "address": page << 12,
        "ts": int(at * SECOND),
        "flags": Flag.BY_KERNEL if by_kernel else 0,
        "aux": took,
    }


def at(seconds, row):
    """The row at that time, with its rmap_item as the number of its page."""
    return {**row, "ts": int(seconds * SECOND), "address": row.get("rmap_item", 0) << 12}


def told(rows, **how):
    return analyse([*EMPTY, *rows], "cow", **how).document["analyzers"]["cow"]


def test_writes_and_breaks_of_the_kernel_are_counted_by_process_and_range():
    rows = [process(1, 11, b"java"), process(2, 22, b"qemu")]
    rows += [fault(page, 1) for page in range(500, 530)]
    rows += [fault(page, 2, by_kernel=True) for page in range(7)]
    figures = told(rows)
    assert (figures["user_pages"], figures["kernel_pages"]) == (30, 7)
    found = [(p["pid"], p["user_pages"], p["kernel_pages"]) for p in figures["processes"]]
    assert found == [(11, 30, 0), (22, 0, 7)]
    places = [(r["pid"], r["start"], r["user_pages"]) for r in figures["ranges"]]
    assert places == [(11, "0x200000", 18), (11, "0x0", 12), (22, "0x0", 0)]


def test_an_exited_process_is_summed_and_its_mm_may_come_again():
    rows = [process(1, 11, b"old"), fault(1), fault(2), exit_of(1), start(), stop()]
    rows += [process(1, 12, b"new"), fault(3)]
    figures = told(rows)
    assert figures["exited"]["user_pages"] == 2
    assert [(p["pid"], p["user_pages"]) for p in figures["processes"]] == [(12, 1)]


@given(st.lists(st.integers(1, 2**63), min_size=1, max_size=200), st.sampled_from([0.5, 0.99]))
def test_quantiles_are_at_most_an_eighth_too_high(times, share):
    figures = told([fault(1, took=took) for took in times])
    key = "fault_p50_seconds" if share == 0.5 else "fault_p99_seconds"
    exact = sorted(times)[max(0, -(-len(times) * int(share * 100) // 100) - 1)] / 1e9
    assert exact * (1 - 1e-9) <= figures[key] <= exact * 1.126
    assert figures["fault_longest_seconds"] == max(times) / 1e9
    assert figures["fault_total_seconds"] == pytest.approx(sum(times) / 1e9)
    assert sum(count for _, count in figures["fault_histogram"]) == len(times)


def test_only_writes_that_were_timed_count_for_latency():
    figures = told([fault(1, took=0), fault(2, took=900, by_kernel=True)])
    assert figures["fault_p50_seconds"] is None
    assert figures["fault_histogram"] == []


JOINED = [at(10, appended(5, 70, new=True)), at(10, appended(6, 70))]


@pytest.mark.parametrize(
    ("rows", "regrets", "unknown"),
    [
        ([fault(5, at=69), at(80, removed(5, IN_STABLE))], 1, 0),
        ([fault(5, at=71), at(80, removed(5, IN_STABLE))], 0, 0),
        ([fault(5, at=20, by_kernel=True), at(80, removed(5, IN_STABLE))], 0, 0),
        ([fault(5, at=20), at(80, removed(5, IN_STABLE | FREED))], 1, 0),
        ([fault(5, at=20)], 0, 0),
        ([at(80, removed(5, IN_STABLE)), fault(5, at=20)], 0, 0),
        ([fault(5, 2, at=20), at(80, removed(5, IN_STABLE))], 0, 0),
        ([fault(9, at=20), at(30, removed(9, IN_STABLE))], 0, 0),
        (
            [fault(9, at=20), at(30, examined(9, old=1, new=1)), at(30, removed(9, IN_STABLE))],
            *(0, 1),
        ),
        # both sharers are written to: the node goes, and with it both, of which ksmd says only one
        (
            [
                *(fault(5, at=20), fault(6, at=21)),
                {"kind": EventKind.REMOVE_STABLE_NODE, "aux": 70},
                at(30, examined(5, old=1, new=2)),
                at(30, examined(6, TO_UNSTABLE, old=1, new=1)),
            ],
            *(2, 0),
        ),
        ([fault(5, at=20), at(30, appended(5, 71, new=True))], 1, 0),
        ([fault(5, at=5), at(30, removed(5, IN_STABLE))], 0, 0),
    ],
)  # fmt: skip
def test_a_merge_is_regretted_that_is_written_to_within_a_minute(rows, regrets, unknown):
    figures = told([*JOINED, *rows])
    assert (figures["regret_pages"], figures["unknown_age_pages"]) == (regrets, unknown)
    assert sum(p["regret_pages"] for p in figures["processes"]) == regrets


def test_half_life():
    rows = [at(0, appended(item, 7, new=item == 1)) for item in range(1, 11)]
    for item, seconds in ((1, 10), (2, 20), (3, 30), (4, 40)):
        rows += [fault(item, at=seconds), at(1000, removed(item, IN_STABLE))]
    assert told(rows)["half_life_seconds"] is None
    rows += [fault(5, at=50), at(1000, removed(5, IN_STABLE))]
    assert told(rows)["half_life_seconds"] == pytest.approx(50, rel=0.125)


def test_merges_that_end_otherwise_count_while_they_were_seen():
    """Of four, two are unmapped early: of the other two one is written to, and that is half of
    those followed so long."""
    rows = [at(0, appended(item, 7, new=item == 1)) for item in range(1, 5)]
    rows += [at(5, removed(item, IN_STABLE | FREED)) for item in (1, 2)]
    rows += [fault(3, at=64), at(100, removed(3, IN_STABLE))]
    assert told(rows)["half_life_seconds"] == pytest.approx(64, rel=0.125)


def test_merges_last_seen_as_others_are_written_to_count_as_there():
    """One of three is written to at 10 s, where the others are last seen: a third is not half."""
    rows = [at(0, appended(item, 7, new=item == 1)) for item in range(1, 4)]
    rows += [fault(1, at=10), at(10, removed(1, IN_STABLE))]
    assert told(rows)["half_life_seconds"] is None


def storm(second, count, mm=1):
    return [fault(page, mm, at=second + page / count / 2) for page in range(count)]


def test_a_storm_is_told_from_what_is_usual():
    rows = [process(1, 11, b"java"), process(2, 22, b"qemu")]
    for second in range(20):
        rows += storm(second, 200)
    rows += storm(20, STORM_MULTIPLE * 200)
    rows += storm(21, STORM_MULTIPLE * 200 + 1, 2)
    rows += storm(22, STORM_MULTIPLE * 200 + 50)
    rows += storm(23, 100)
    figures = told(rows)
    assert figures["storms"] == 1
    (only,) = figures["last_storms"]
    assert (only["start_seconds"], only["seconds"]) == (21, 2)
    assert only["user_pages"] == 2 * STORM_MULTIPLE * 200 + 51
    assert only["median_per_second"] == 200
    assert [p["pid"] for p in only["processes"]] == [11, 22]


def test_little_is_no_storm_however_quiet_it_was():
    assert told(storm(5, STORM_FLOOR - 1))["storms"] == 0
    assert told(storm(5, STORM_FLOOR))["storms"] == 1


def test_what_lasts_becomes_the_usual():
    rows = []
    for second in range(MEDIAN_SECONDS):
        rows += storm(second, STORM_FLOOR)
    (only,) = told(rows)["last_storms"]
    assert only["seconds"] == 1  # the second of them is no more than the median of the first


def test_rates_lose_no_count_as_intervals_grow():
    rows = [fault(1, at=second) for second in range(0, 5000, 7)]
    figures = told(rows)
    assert len(figures["user_per_second"]) <= 256
    total = sum(figures["user_per_second"]) * figures["interval_seconds"]
    assert total == figures["user_pages"] == len(rows)


def test_what_is_kept_is_bounded():
    instance = plugin("cow")
    rows = [*EMPTY, start(0)]
    for mm in range(1, MOST + 100):
        rows += [fault(mm << 9, mm), fault((mm << 9) + 512, mm)]
    rows.append(stop(0))
    document = runner([events(*rows)], {"cow": instance}, interval=3600).run().document
    figures = document["analyzers"]["cow"]
    assert len(instance._breaks.by_process) == MOST // 2
    assert len(instance._breaks.by_range) == MOST // 2
    listed = sum(p["user_pages"] for p in figures["processes"]) + figures["other"]["user_pages"]
    assert listed == figures["user_pages"]


def test_faults_that_ksmd_never_comes_to_are_bounded(monkeypatch):
    monkeypatch.setattr("ksmtrace.plugins.cow.merges.MOST_PENDING", 100)
    instance = plugin("cow")
    rows = [*EMPTY, *(fault(page) for page in range(250))]
    runner([events(*rows)], {"cow": instance}, interval=3600).run()
    assert (instance._merges.pending, instance._merges.forgotten) == (100, 150)


def test_what_is_not_seen_is_null():
    of = session(unseen=[EventKind.COW_FAULT, EventKind.REMOVE_STABLE_NODE])
    snapshot = analyse(EMPTY, "cow", of=of)
    assert set(snapshot.document["analyzers"]["cow"].values()) == {None}
    assert not [name for name, _ in series(snapshot.metrics) if "_cow_" in name]
    assert "cannot be told" in dict(snapshot.sections)["cow"].lead
    partly = told([fault(1)], of=session(unseen=[EventKind.REMOVE_RMAP_ITEM]))
    assert partly["user_pages"] == 1
    assert partly["regret_pages"] is partly["half_life_seconds"] is None


def test_a_name_can_do_no_harm():
    snapshot = analyse([*EMPTY, process(1, 9, b"[bold]x[/]\x1b[31m"), fault(1)], "cow")
    console = Console(file=io.StringIO(), width=80)
    for _, panel in snapshot.panels:
        console.print(panel)
    assert "[bold]x[/]?[31m" in console.file.getvalue()
    assert "\x1b" not in console.file.getvalue()
    for family in snapshot.metrics:
        for one in family.samples:
            assert not {"pid", "mm", "comm"} & set(one.labels)


def test_the_section_can_be_drawn():
    rows = [*JOINED, process(1, 11, b"java"), fault(5, at=20, took=5000), fault(6, at=400)]
    section = dict(analyse([*EMPTY, *rows], "cow").sections)["cow"]
    assert section.lead.startswith("Writes broke 2 KSM pages")
    assert "java 11" in section.lead
    for table in section.tables:
        assert {len(row) for row in table.rows} <= {len(table.columns)}
        assert len(table.units) == len(table.columns)
    for chart in section.charts:
        assert {len(values) for values in chart.series.values()} == {len(chart.x)}


@pytest.mark.parametrize("variant", ["ksm-6.1", "ksm-6.12"])
def test_an_engines_writes_are_all_found(variant):
    """The script says who writes where; every merge is younger than a minute."""
    emitter = Emitter()
    engine = machine(variant, watcher=emitter)
    rows = [emitter.sample(engine.scanner.readings()), emitter.take()][1:]
    region(engine, "p", "r", [1] * 6 + [2, 2, 3])
    region(engine, "q", "r", [1, 2, 2])
    engine.scan_passes(3)
    script = Counter({"p": 4, "q": 1})
    engine.poke("p", "r", 1, 3, 9, 9)
    engine.poke("p", "r", 6, 1, 9, 9)
    engine.poke("q", "r", 2, 1, 9, 9)
    engine.poke("p", "r", 8, 1, 9, 9)  # merged with nothing
    engine.scan_passes(1)
    rows.append(emitter.take())
    document = runner(rows, {"cow": plugin("cow")}, interval=3600).run().document
    figures = document["analyzers"]["cow"]
    assert {p["comm"]: p["user_pages"] for p in figures["processes"]} == script
    assert {p["comm"]: p["regret_pages"] for p in figures["processes"]} == script
    assert figures["regret_pages"] == engine.memory.cow_ksm == 5
    assert figures["pending_pages"] == 0


_page = st.integers(1, 6)
_time = st.integers(0, 200) | st.sampled_from([2**34 - 1])
_fault = st.builds(
    lambda page, seconds, kernel, took: fault(
        page, page % 3 + 1, at=seconds, by_kernel=kernel, took=took
    ),
    *(_page, _time, st.booleans(), st.sampled_from([0, 700, 2**63])),
)


@st.composite
def streams(draw):
    rows = draw(st.lists(st.builds(at, _time, any_row) | _fault, max_size=60))
    rows = [*EMPTY, *rows]
    return rows, draw(st.lists(st.integers(1, len(rows)), max_size=12, unique=True))


@settings(deadline=None, max_examples=300)
@given(streams())
def test_the_way_batches_are_cut_changes_nothing(stream):
    """Nor does a clock that steps back, or far ahead, do harm."""
    rows, cuts = stream
    whole, cut = analyse(rows, "cow"), analyse(rows, "cow", cuts=cuts)
    assert cut.document["analyzers"] == whole.document["analyzers"]
    assert dict(cut.sections) == dict(whole.sections)
    figures = whole.document["analyzers"]["cow"]
    sums = Counter()
    for count in (*figures["processes"], figures["other"], figures["exited"]):
        sums.update({key: count[key] for key in ("user_pages", "kernel_pages", "regret_pages")})
    assert sums["user_pages"] == figures["user_pages"]
    assert sums["kernel_pages"] == figures["kernel_pages"]
    assert sums["regret_pages"] == figures["regret_pages"]


def slow_regrets(rows):
    """Regrets as a walk over the rows finds them."""
    joined, pending, regrets = {}, {}, 0
    for row in rows:
        key = row.get("mm"), row.get("address")
        match row["kind"]:
            case EventKind.COW_FAULT:
                pending[key] = row["ts"]
            case EventKind.STABLE_APPEND:
                joined[key] = row["ts"]
            case EventKind.REMOVE_RMAP_ITEM | EventKind.CMP_AND_MERGE_PAGE if key in joined:
                began = joined.pop(key)
                if key in pending:
                    age = pending.pop(key) - began
                    regrets += 0 <= age < 60 * SECOND
    return regrets


_item = st.builds(
    lambda page, seconds, what: at(
        seconds,
        {
            "join": appended(page, 9, new=True),
            "leave": removed(page, IN_STABLE),
            "look": examined(page, old=1, new=1),
        }[what],
    ),
    *(_page, st.integers(0, 100), st.sampled_from(["join", "leave", "look"])),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(_item | st.builds(lambda p, s: fault(p, at=s), _page, st.integers(0, 100))))
def test_regrets_equal_those_of_a_walk(rows):
    plausible, merged, known = [], set(), set()
    for row in rows:
        page = row["address"] >> 12
        kind = row["kind"]
        if kind == EventKind.STABLE_APPEND and page not in merged:
            merged.add(page)
            known.add(page)
        elif (kind == EventKind.REMOVE_RMAP_ITEM and page in merged) or (
            kind == EventKind.CMP_AND_MERGE_PAGE and page in known
        ):
            merged.discard(page)
        elif kind != EventKind.COW_FAULT or page not in merged:
            continue
        plausible.append(row)
    whole = events(*EMPTY, *plausible)
    edges = [0, *range(len(EMPTY), len(whole), 3), len(whole)]
    batches = [EventBatch(whole.events[a:b]) for a, b in pairwise(edges) if a < b]
    figures = runner(batches, {"cow": plugin("cow")}, interval=3600).run().document
    assert figures["analyzers"]["cow"]["regret_pages"] == slow_regrets(plausible)
