"""The balance analyzer: shares against a plain second account, totals, verdicts, and names that
must do no harm."""

import io
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from ksmtrace.events import EventBatch, EventKind, Flag, ProcessGauge, ProcessText
from ksmtrace.model.processes import text_records
from ksmtrace.model.verdict import Answer, Facts, judge
from ksmtrace.session import Knowledge
from ksmtrace.sources.engine import EngineSource
from ksmtrace.workload.content import Content
from ksmtrace.workload.file import Step, Workload
from support.hosts import cuts_of, hosts
from support.runs import (
    EMPTY,
    FREED,
    IN_STABLE,
    TO_STABLE,
    TO_UNSTABLE,
    analyse,
    appended,
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
from support.story import story
from support.streams import events, sample, session

PAGE = 4096


def _analysis(rows, **how):
    return analyse(rows, "balance", **how).document["analyzers"]["balance"]


def _gauge(mm, gauge, value, pid=0):
    kind = EventKind.PROCESS_SAMPLE
    return {"kind": kind, "mm": mm, "address": gauge, "aux": value % 2**64, "pfn": pid}


def _text(mm, which, text):
    return [
        {name: record[name] for name in ("kind", "mm", "address", "pfn", "rmap_item", "aux")}
        for record in text_records(mm, which, text)
    ]


def _two(pages=3, first=1):
    """`pages` equal pairs, one page of each in either of two processes."""
    rows = []
    for page in range(first, first + pages):
        rows += [
            examined(64 * page, mm=1, new=5),
            examined(6400 + 64 * page, mm=2, new=5),
            appended(64 * page, 9000 + page, new=True, mm=1),
            appended(6400 + 64 * page, 9000 + page, mm=2),
        ]
    return rows


@settings(deadline=None, max_examples=60)
@given(hosts())
def test_shares_are_those_of_a_plain_second_account(host):
    figures = _analysis(host.rows)
    rows = {int(row["mm"], 16): row for row in figures["processes"]}
    assert set(rows) == set(host.alive)
    sharing = sum(count - 1 for count in host.sharers().values())
    assert figures["attribution"] == "exact"
    assert figures["unattributed_saved_bytes"] == 0
    assert figures["total"]["saved_bytes"] == sharing * PAGE
    everyone = [*rows.values(), figures["exited"]]
    assert sum(row["saved_bytes"] for row in everyone) == sharing * PAGE
    for mm, life in host.alive.items():
        ours = [node for owner, node in host.items.values() if owner == life]
        row = rows[mm]
        assert row["pid"] == 100 + life
        assert abs(row["saved_bytes"] - host.credit(life) * PAGE) <= 1
        assert row["rmap_items"] == len(ours)
        assert row["merged_pages"] == sum(node > 0 for node in ours)
        assert row["examined_pages"] == host.counts[life, "examined"]
        assert row["joined_pages"] == host.counts[life, "joined"]
        assert row["user_break_pages"] == host.counts[life, "user"]
        assert row["user_break_seconds"] == host.counts[life, "ns"] / 1e9
        assert row["kernel_break_pages"] == host.counts[life, "kernel"]
    assert figures["exited"]["examined_pages"] == sum(
        host.counts[life, "examined"]
        for life in range(len(host.lives))
        if life not in host.alive.values()
    )
    node_bytes = 64 * len(host.sharers())
    assert sum(row["metadata_bytes"] for row in everyone) == 64 * len(host.items) + node_bytes
    assert figures["total"]["metadata_bytes"] == 64 * len(host.items) + node_bytes


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_neither_cuts_nor_questions_in_between_change_anything(data):
    host = data.draw(hosts())
    cuts = data.draw(cuts_of(host))
    whole = analyse(host.rows, "balance")
    cut = analyse(host.rows, "balance", cuts=cuts)
    batches = [EventBatch(events(*host.rows).events[i : i + 1]) for i in range(len(host.rows))]
    asked = runner(batches, {"balance": plugin("balance"), "asks": _Asks()}).run()
    for other in (cut, asked):
        assert other.document["analyzers"]["balance"] == whole.document["analyzers"]["balance"]
        assert _own(other) == _own(whole)


class _Asks:
    """Has everything made at each publication."""

    from ksmtrace import hookimpl

    @hookimpl
    def ksmtrace_publish(self, snapshot):
        assert snapshot.document
        assert snapshot.metrics
        assert snapshot.panels
        assert snapshot.sections


@settings(deadline=None, max_examples=50)
@given(cut_streams())
def test_no_stream_however_odd_breaks_it(stream):
    rows, cuts = stream
    snapshot = analyse(rows, "balance", cuts=cuts)
    assert snapshot.document["analyzers"]["balance"]["verdict"]
    assert snapshot.sections


def _own(snapshot):
    return {
        k: v for k, v in series(snapshot.metrics).items() if k[0].startswith("ksmtrace_balance")
    }


def test_the_story():
    figures = _analysis(story())
    assert figures["total"]["saved_bytes"] == 80 * PAGE
    assert figures["total"]["merged_pages"] == 120
    assert [row["comm"] for row in figures["processes"]] == ["qemu-system-x86", "java"]
    qemu, java = figures["processes"]
    assert (qemu["saved_bytes"], java["saved_bytes"]) == (80 * PAGE, 0)
    assert java["net_saved_bytes"] == -64 * java["rmap_items"] < 0
    assert java["user_break_pages"] == 3
    assert java["user_break_seconds"] == 6e-6
    assert (qemu["user_break_pages"], qemu["kernel_break_pages"]) == (0, 1)
    assert figures["breaking"] == [java]
    assert figures["general_profit_bytes"] == 311_296


@pytest.mark.parametrize("variant", ["ksm-6.1", "ksm-6.12"])
def test_the_reference_engine_shares_as_the_workload_says(variant):
    """Three processes with 120 pages of one content, two of them with 50 pairs, of which 17 are
    written to."""
    steps = []
    for name, regions in (("a", ("all", "pairs")), ("b", ("all", "pairs")), ("c", ("all",))):
        steps.append(Step("spawn", {"process": name}))
        for region in regions:
            pages, content = (120, "twin:1") if region == "all" else (50, "unique:77")
            where = {"process": name, "region": region, "pages": pages}
            steps += [
                Step("map", {**where, "huge": False}),
                Step("fill", {**where, "first": 0, "content": Content.parse(content)}),
                Step("mergeable", {**where, "first": 0}),
            ]
    write = {"process": "a", "region": "pairs", "first": 0, "pages": 17, "offset": 64, "value": 200}
    steps += [Step("scan", {"passes": 4}), Step("poke", write), Step("scan", {"passes": 4})]
    tunables = {"pages_to_scan": 100_000, "max_page_sharing": 1000}
    source = EngineSource(Workload("shares", variant, tunables, steps))
    batches = list(source.batches())
    run = runner(batches, {"balance": plugin("balance")}, source.session, interval=3600).run()
    figures = run.document["analyzers"]["balance"]
    rows = {row["comm"]: row for row in figures["processes"]}
    for name, pairs, broken in (("a", 33, 17), ("b", 33, 0), ("c", 0, 0)):
        saved = (120 * Fraction(359, 360) + pairs * Fraction(1, 2)) * PAGE
        assert abs(rows[name]["saved_bytes"] - saved) < 1
        assert rows[name]["user_break_pages"] == broken
        assert rows[name]["user_break_seconds"] is None
    assert figures["total"]["saved_bytes"] == (359 + 33) * PAGE


def test_a_process_that_dies_keeps_its_figures_in_the_row_of_the_exited():
    rows = [
        *EMPTY,
        *(process(1, 10, b"stays"), process(2, 11, b"dies")),
        *_two(),
        {"kind": EventKind.COW_FAULT, "mm": 2, "aux": 1000},
        exit_of(2),
    ]
    figures = _analysis(rows)
    assert [row["pid"] for row in figures["processes"]] == [10]
    # ksmd has not come to its pages yet: they still share
    assert (
        figures["exited"]["saved_bytes"] == figures["processes"][0]["saved_bytes"] == 3 * PAGE // 2
    )
    assert figures["exited"]["user_break_pages"] == 1
    rows += [removed(6400 + 64 * page, IN_STABLE | FREED, mm=2) for page in (1, 2, 3)]
    figures = _analysis(rows)
    assert figures["exited"]["saved_bytes"] == figures["processes"][0]["saved_bytes"] == 0
    assert figures["exited"]["joined_pages"] == 3
    assert figures["total"]["joined_pages"] == 6


def test_a_pid_and_an_mm_used_again_are_another_process():
    first = [process(1, 10, b"old"), *(examined(64 * n, mm=1, new=5) for n in (1, 2))]
    gone = [exit_of(1), *(removed(64 * n, FREED, mm=1) for n in (1, 2))]
    again = [
        {"kind": EventKind.MM_ENTER, "mm": 1},
        process(1, 10, b"new"),
        examined(64, mm=1, new=6),
    ]
    figures = _analysis([*EMPTY, *first, *gone, *again])
    assert [(row["comm"], row["examined_pages"]) for row in figures["processes"]] == [("new", 1)]
    assert figures["exited"]["examined_pages"] == 2


def test_what_many_exited_processes_leave_is_bounded():
    rows = [*EMPTY]
    for life in range(300):
        rows += [
            {"kind": EventKind.MM_ENTER, "mm": 1},
            process(1, life + 1, b"short"),
            examined(64, mm=1, new=5),
            removed(64, FREED, mm=1),
            exit_of(1),
        ]
    analyzer = plugin("balance")
    figures = (
        runner([events(*rows)], {"balance": analyzer}, interval=3600)
        .run()
        .document["analyzers"]["balance"]
    )
    assert figures["exited"]["examined_pages"] == 300
    assert figures["processes"] == []
    assert analyzer._accounts.alive() == []


def test_cgroups_and_guests_are_sums_and_a_cgroup_goes_with_its_processes():
    rows = [*EMPTY, process(1, 10, b"qemu"), process(2, 11, b"qemu"), process(3, 12, b"web")]
    rows += _text(1, ProcessText.VM, "guest-a") + _text(1, ProcessText.CGROUP, "/machine")
    rows += _text(2, ProcessText.VM, "guest-b") + _text(2, ProcessText.CGROUP, "/machine")
    rows += _text(3, ProcessText.CGROUP, "/web")
    rows += [*_two(), examined(12_800, mm=3, new=5)]
    figures = _analysis(rows)
    assert [(row["cgroup"], row["saved_bytes"]) for row in figures["cgroups"]] == [
        ("/machine", 3 * PAGE), ("/web", 0),
    ]  # fmt: skip
    assert [row["vm"] for row in figures["vms"]] == ["guest-a", "guest-b", "/web"]
    assert figures["other_vms"] is None
    figures = _analysis([*rows, removed(12_800, FREED, mm=3), exit_of(3)])
    assert [row["cgroup"] for row in figures["cgroups"]] == ["/machine"]
    assert figures["exited"]["examined_pages"] == 1


def test_the_root_cgroup_is_nobodys_name():
    rows = [
        *EMPTY,
        process(1, 10, b"web"),
        process(2, 11, b"db"),
        *_text(1, ProcessText.CGROUP, "/"),
        *_two(),
    ]
    figures = _analysis(rows)
    assert [row["vm"] for row in figures["vms"]] == ["db 11", "web 10"]
    assert [row["cgroup"] for row in figures["cgroups"]] == [None, "/"]


def test_the_lists_are_bounded_and_the_rest_is_summed_up():
    rows = [*EMPTY]
    for mm in range(1, 31):
        rows += [process(mm, mm, b"many"), *[examined(64 * mm, mm=mm, new=5)] * mm]
    figures = _analysis(rows)
    listed = sum(row["examined_pages"] for row in figures["processes"])
    assert len(figures["processes"]) == len(figures["vms"]) == 10
    assert listed == sum(range(21, 31))
    assert listed + figures["other_processes"]["examined_pages"] == sum(range(31))
    assert figures["other_vms"]["examined_pages"] == figures["other_processes"]["examined_pages"]
    assert len(figures["cgroups"]) == 1


def test_the_sum_of_the_kernels_profits_is_held_against_its_own():
    """Ten equal pages of one process: 40192 for the process, 36096 for all (mm/ksm.c's own two
    formulas)."""
    rows = [
        *sample(
            **dict.fromkeys(
                ("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile"), 0
            )
        )
    ]
    rows += [process(1, 10, b"ten"), *(examined(64 * n, mm=1, new=5) for n in range(1, 13))]
    rows += [appended(64 * n, 9000, new=n == 1, mm=1) for n in range(1, 11)]
    rows += [
        _gauge(1, ProcessGauge.KSM_PROCESS_PROFIT, 40192),
        _gauge(1, ProcessGauge.KSM_MERGING_PAGES, 10),
    ]
    rows += sample(
        general_profit=36096, pages_shared=1, pages_sharing=9, pages_unshared=0, pages_volatile=2
    )
    figures = _analysis(rows)
    row = figures["processes"][0]
    assert (row["kernel_merging_pages"], row["merged_pages"], row["saved_bytes"]) == (
        10,
        10,
        9 * PAGE,
    )
    assert (
        figures["process_profit_excess_bytes"]
        == 4096
        == figures["total"]["merged_pages"] * PAGE - figures["total"]["saved_bytes"]
    )
    assert "39.2 KiB, 4.0 KiB more (11%) than its general_profit" in figures["process_profit_said"]
    # ours takes the stable node off as well
    assert figures["total"]["net_saved_bytes"] == 36096 - 64
    assert row["net_saved_bytes"] == 36096 - 64


def test_negative_profit_is_shown_as_such():
    rows = [*EMPTY, process(1, 10, b"p"), *(examined(64 * n, mm=1, new=n) for n in range(1, 101))]
    rows += [_gauge(1, ProcessGauge.KSM_PROCESS_PROFIT, -6400), *sample(general_profit=-6400)]
    figures = _analysis(rows)
    assert figures["total"]["net_saved_bytes"] == figures["general_profit_bytes"] == -6400
    assert figures["processes"][0]["kernel_profit_bytes"] == -6400
    assert "-6.2 KiB, 0 B more" in figures["process_profit_said"]


def test_zero_pages_are_the_kernels_where_it_counts_them():
    rows = [
        *EMPTY,
        process(1, 10, b"p"),
        *[{"kind": EventKind.REPLACE_PAGE, "mm": 1, "flags": Flag.ZERO_PAGE}] * 5,
    ]
    figures = _analysis(rows)
    assert (figures["total"]["zero_pages"], figures["total"]["zero_pages_placed"]) == (None, 5)
    assert figures["total"]["net_saved_bytes"] == 0
    figures = _analysis(
        [*rows, _gauge(1, ProcessGauge.KSM_ZERO_PAGES, 3), *sample(ksm_zero_pages=4)]
    )
    assert figures["processes"][0]["zero_pages"] == 3
    assert figures["total"]["zero_pages"] == 4
    assert figures["total"]["net_saved_bytes"] == 4 * PAGE


def test_ksmds_time_is_shared_out_by_what_it_visited_since_it_was_last_read():
    looked = [examined(64, TO_UNSTABLE, mm=1, old=5, new=5)] * 3  # 20 each
    skipped = [{"kind": EventKind.SKIPPED, "mm": 2, "rmap_item": 128}] * 60  # 1 each
    first = sample(ts=0, ksmd_cpu_ns=7_000_000_000)
    rows = [*EMPTY, *first, *looked, *skipped, *sample(ts=2_000_000_000, ksmd_cpu_ns=7_000_001_200)]
    rows += [*looked, *sample(ts=4_000_000_000, ksmd_cpu_ns=7_000_001_300)]
    rows += sample(ts=10_000_000_000, ksmd_cpu_ns=7_000_001_307)  # nothing was visited
    figures = _analysis(rows)
    seconds = {row["mm"]: row["ksmd_cpu_seconds"] for row in figures["processes"]}
    assert seconds == {"0x1": (600 + 100) / 1e9, "0x2": 600 / 1e9}
    assert figures["total"]["ksmd_cpu_seconds"] == 1307 / 1e9
    assert figures["ksmd_cores"] == pytest.approx(130.7e-9 / 1)


@pytest.mark.parametrize(
    ("look", "cost"),
    [
        (examined(64, IN_STABLE | TO_STABLE, mm=1, old=5, new=5, node=9000), 1),
        (examined(64, mm=1, old=5, new=6), 4),
        (examined(64, mm=1, old=5, new=5), 20),
        (examined(64, TO_UNSTABLE, mm=1, old=5, new=5), 20),
        (examined(64, TO_STABLE, mm=1, old=5, new=5, node=9000), 20),
        ({"kind": EventKind.SKIPPED, "mm": 1, "rmap_item": 64}, 1),
    ],
)
def test_what_a_visit_costs_depends_on_what_came_of_it(look, cost):
    other = {"kind": EventKind.SKIPPED, "mm": 2, "rmap_item": 128}
    rows = [*EMPTY, *sample(ts=1, ksmd_cpu_ns=0), look, other, *sample(ts=2, ksmd_cpu_ns=2100)]
    shares = {row["mm"]: row["ksmd_cpu_seconds"] * 1e9 for row in _analysis(rows)["processes"]}
    assert shares["0x1"] == pytest.approx(2100 * cost / (cost + 1), abs=1)
    assert shares["0x2"] == pytest.approx(2100 / (cost + 1), abs=1)


def test_clocks_that_go_back_give_no_negative_times():
    back = 2**64 - 5
    rows = [
        *EMPTY,
        *sample(ts=9_000_000_000, ksmd_cpu_ns=5_000_000_000),
        examined(64, mm=1, new=5),
        {"kind": EventKind.COW_FAULT, "mm": 1, "aux": back},
        *sample(ts=1_000_000_000, ksmd_cpu_ns=4_000_000_000),
    ]
    snapshot = analyse(rows, "balance")
    figures = snapshot.document["analyzers"]["balance"]
    assert figures["processes"][0]["user_break_seconds"] == 0
    assert figures["total"]["ksmd_cpu_seconds"] is None
    assert figures["ksmd_cores"] is None
    assert all(
        value >= 0 for (name, _), value in series(snapshot.metrics).items() if "seconds" in name
    )


def test_a_loss_and_a_late_start_leave_a_lower_bound():
    rows = [*EMPTY, process(1, 10, b"a"), process(2, 11, b"b"), *_two()]
    assert _analysis(rows)["attribution"] == "exact"
    figures = _analysis([*rows, lost(3), *_two(pages=1)])
    assert figures["attribution"] == "at least"
    assert sum(row["saved_bytes"] for row in figures["processes"]) == PAGE
    assert figures["processes"][0]["net_saved_bytes"] is None
    held = sample(pages_shared=5, pages_sharing=9, pages_unshared=0, pages_volatile=0)
    figures = _analysis([*held, process(1, 10, b"a"), *_two()])
    assert figures["attribution"] == "at least"
    assert figures["total"]["saved_bytes"] == 9 * PAGE
    assert figures["unattributed_saved_bytes"] == 6 * PAGE


def test_limited_to_some_processes_totals_are_the_kernels_and_ksmds_time_is_not_shared_out():
    of = replace(session(), only_pids=(10,))
    gauges = {"pages_shared": 5, "pages_sharing": 9, "pages_unshared": 0, "pages_volatile": 0}
    rows = [*sample(ts=0, ksmd_cpu_ns=0, **gauges), process(1, 10, b"a"), *_two()[::2]]
    rows = [*_passes(rows), *sample(ts=10**9, ksmd_cpu_ns=10, **gauges)]
    figures = _analysis(rows, of=of)
    assert figures["attribution"] == "at least"
    assert figures["total"]["saved_bytes"] == 9 * PAGE
    assert figures["total"]["ksmd_cpu_seconds"] == 10 / 1e9
    assert {row["ksmd_cpu_seconds"] for row in figures["processes"]} == {None}
    assert figures["verdict"] == "too little to matter"


def test_without_removals_it_is_derived_and_without_merges_the_kernels_totals():
    held = sample(
        pages_shared=5, pages_sharing=9, pages_unshared=1, pages_volatile=1, rmap_items=16
    )
    of = session(
        tier="tracepoint", unseen=[EventKind.REMOVE_RMAP_ITEM, EventKind.CMP_AND_MERGE_PAGE]
    )
    figures = _analysis([*held, *_two()], of=of)
    assert figures["attribution"] == "derived"
    assert figures["processes"][0]["rmap_items"] is None
    assert figures["processes"][0]["net_saved_bytes"] is None
    none = session(tier="sysfs", unseen=list(EventKind))
    figures = _analysis(held, of=none)
    assert figures["attribution"] is None
    assert figures["processes"] == []
    assert figures["total"]["net_saved_bytes"] == 9 * PAGE - 16 * 64 - 5 * 64


EVIL = b"\x1b]0;x\x07[red]\xff"


def test_names_do_no_harm():
    rows = [*EMPTY, process(1, 10, EVIL), process(2, 11, b"[/red]"), *_two()]
    rows += _text(2, ProcessText.CGROUP, "/[bold]\x1b[31m\n")
    snapshot = analyse(rows, "balance")
    assert [row["comm"] for row in snapshot.document["analyzers"]["balance"]["processes"]] == [
        "?]0;x?[red]?", "[/red]",
    ]  # fmt: skip
    console = Console(width=26, file=io.StringIO(), color_system=None)
    for _, panel in snapshot.panels:
        console.print(panel)
    drawn = console.file.getvalue()
    assert "\x1b" not in drawn
    assert "?]0;x?[red]?" in drawn
    assert "/[bold]?[31m?" in drawn
    assert max(map(len, drawn.splitlines())) <= 26


def _passes(rows, count=4):
    for number in range(count):
        rows = [*rows, start(number), stop(number)]
    return rows


def _verdict(rows, **tunables):
    figures = _analysis(rows, of=replace(session(), tunables=tunables))
    return figures["verdict"], "; ".join(figures["verdict_reasons"])


def test_off():
    held = sample(pages_shared=1, pages_sharing=512, pages_unshared=0, pages_volatile=0)
    assert _verdict(held, run="0") == ("KSM is off", "run is 0; 2.0 MiB stay saved")
    assert _verdict(_passes(EMPTY), run="2")[0] == "KSM is off"
    assert _verdict(_passes([*EMPTY, examined(64, new=5)]), run="0")[0] != "KSM is off"
    assert _verdict(EMPTY, run="1")[0] != "KSM is off"


def test_nothing_to_merge():
    assert _verdict(EMPTY, run="1")[0] == "nothing to merge"
    assert _verdict([*EMPTY, examined(64, new=5)], run="1")[0] != "nothing to merge"


def test_not_yet_settled():
    merged = [*EMPTY, *_two()]
    assert _verdict([*EMPTY, start(), *_two(), stop()]) == (
        "not yet settled",
        "too few passes were seen whole",
    )
    late = [*_passes(merged, 3), start(9), *_two(pages=3, first=10), stop(9)]
    assert _verdict(late) == ("not yet settled", "pages_sharing changed by 50% in the last pass")
    assert _verdict(_passes(merged, 2)) == (
        "not yet settled",
        "the last pass was quiet, one more tells",
    )
    assert _verdict(_passes(merged, 3)) == (
        "not known",
        "12.0 KiB saved, 11.4 KiB net of KSM's own bookkeeping; CPU time is not known",
    )


def test_what_is_saved_is_told_though_the_bookkeeping_is_not_known():
    facts = Facts("1", True, 9, 4096, None, None, True, 0.0)
    found = judge(facts)
    assert found.answer is Answer.NOT_KNOWN
    assert found.reasons == ("4.0 KiB saved", "KSM's own bookkeeping is not known")
    assert "ksmtrace doctor" in found.change
    assert judge(replace(facts, saved_bytes=None)).reasons == ("what is saved is not known",)


def test_nothing_saved_and_nothing_kept_is_no_loss():
    """Where rmap_items are not known, as of a daemon that has none."""
    facts = Facts("1", True, None, 0, 0, None, True, 0.0)
    assert judge(facts).answer is Answer.NOTHING
    assert judge(replace(facts, settled=False)).answer is Answer.NOT_SETTLED
    assert judge(replace(facts, net_saved_bytes=-64)).answer is Answer.COSTS_MORE
    little = replace(facts, net_saved_bytes=-64, cost_cores=0.001)
    assert judge(little).answer is Answer.TOO_LITTLE
    assert judge(replace(facts, net_saved_bytes=-(32 << 20))).answer is Answer.COSTS_MORE
    assert judge(replace(facts, net_saved_bytes=None)).answer is Answer.NOT_KNOWN
    assert judge(replace(facts, rmap_items=1)).answer is Answer.COSTS_MORE


def test_what_is_saved_over_time_is_drawn_without_the_bookkeeping():
    whole = session()
    lacks = frozenset({Knowledge.METADATA})
    examined = replace(whole.probes[EventKind.CMP_AND_MERGE_PAGE], lacks=lacks)
    probes = {**whole.probes, EventKind.CMP_AND_MERGE_PAGE: examined}
    rows = [*EMPTY, *sample(pages_sharing=3, ksm_zero_pages=2), *sample(pages_sharing=7)]
    ((_, section),) = analyse(rows, "balance", of=replace(whole, probes=probes)).sections
    (chart,) = section.charts
    assert {name: list(values) for name, values in chart.series.items()} == {
        "saved": [0, 5 * PAGE, 9 * PAGE, 2 * PAGE]
    }, "as read, and last what is known of events and of zero pages"


def test_what_has_not_settled_is_named():
    """Where there are zero pages alone, pages_sharing has nothing to do with it."""
    zeroes = [
        row
        for number, pages in enumerate((0, 10, 30))
        for row in (
            start(number),
            stop(number),
            *sample(ksm_zero_pages=pages, general_profit=pages * PAGE),
        )
    ]
    whole = session()
    lacks = frozenset({Knowledge.RMAP_ITEMS, Knowledge.TREES})
    examined = replace(whole.probes[EventKind.CMP_AND_MERGE_PAGE], lacks=lacks)
    probes = {**whole.probes, EventKind.CMP_AND_MERGE_PAGE: examined}
    (reason,) = _analysis(zeroes, of=replace(whole, probes=probes))["verdict_reasons"]
    assert reason == "ksm_zero_pages changed by 100% in the last pass"


def _measured(rows, cpu_ns, seconds):
    first = sample(ts=0, ksmd_cpu_ns=1000)
    return [*EMPTY, *first, *rows, *sample(ts=seconds * 10**9, ksmd_cpu_ns=1000 + cpu_ns)]


def test_worth_it_or_not_by_what_a_core_is_worth():
    rows = _passes(_many(10_240))  # 40 MiB saved, 39.4 net
    cheap, why = _verdict(_measured(rows, cpu_ns=9 * 10**6, seconds=1))
    assert cheap == "worth it"
    assert "40.0 MiB saved" in why
    assert "ksmd takes 0.9% of a core, worth 36.9 MiB at 4.0 GiB a core" in why
    dear, why = _verdict(_measured(rows, cpu_ns=10**7, seconds=1))
    assert dear == "costs more than it saves"
    assert "ksmd takes 1.0% of a core, worth 41.0 MiB at 4.0 GiB a core" in why


def test_what_a_core_is_worth_can_be_said():
    rows = _measured(_passes(_many(10_240)), cpu_ns=10**7, seconds=1)
    for worth, verdict in ((4 << 30, "costs more than it saves"), (3 << 30, "worth it")):
        figures = analyse(rows, "balance", core_worth_bytes=worth).document["analyzers"]["balance"]
        assert figures["verdict"] == verdict
        assert figures["core_worth_bytes"] == worth
        assert figures["cost_bytes"] == round(worth / 100)


def test_what_matters_to_nobody_is_said_so():
    alone = [examined(64 * n, mm=1, new=n) for n in range(1, 100)]
    assert _verdict(_passes([*EMPTY, *alone]))[0] == "costs more than it saves"
    known = _measured(_passes(alone), cpu_ns=10**5, seconds=1)
    assert _verdict(known)[0] == "too little to matter"
    little = _measured(_passes(_many(512)), cpu_ns=10**5, seconds=1)
    assert _verdict(little)[0] == "too little to matter"
    busy = _measured(_passes(_many(512)), cpu_ns=10**7, seconds=1)
    assert _verdict(busy)[0] == "costs more than it saves"


_FACTS = Facts("1", True, 10**6, 1 << 30, 1 << 30, 0.01, True, 0.0)


@pytest.mark.parametrize(
    ("answer", "facts"),
    [
        (Answer.OFF, replace(_FACTS, run="0", active=False)),
        (Answer.NOTHING, replace(_FACTS, rmap_items=0)),
        (Answer.OFF, replace(_FACTS, run="2", rmap_items=0)),
        (Answer.NOT_SETTLED, replace(_FACTS, settled=False)),
        (Answer.NOT_KNOWN, replace(_FACTS, net_saved_bytes=None)),
        (Answer.TOO_LITTLE, replace(_FACTS, net_saved_bytes=(32 << 20) - 1, cost_cores=0.007)),
        (Answer.TOO_LITTLE, replace(_FACTS, net_saved_bytes=1, cost_cores=0.0)),
        (Answer.COSTS_MORE, replace(_FACTS, net_saved_bytes=-(1 << 30))),
        (Answer.COSTS_MORE, replace(_FACTS, net_saved_bytes=1, cost_cores=0.5)),
        (Answer.COSTS_MORE, replace(_FACTS, cost_cores=0.26)),
        (Answer.WORTH_IT, _FACTS),
        (Answer.NOT_KNOWN, replace(_FACTS, cost_cores=None)),
        (Answer.WORTH_IT, replace(_FACTS, cost_cores=None, net_saved_bytes=4 << 30)),
        (Answer.WORTH_IT, replace(_FACTS, net_saved_bytes=32 << 20, cost_cores=0.0)),
    ],
)
def test_each_verdict_but_one_says_what_would_change_it(answer, facts):
    found = judge(facts)
    assert found.answer is answer
    assert bool(found.change) is (answer is not Answer.WORTH_IT)
    assert found.sentence.endswith(".")


@given(
    net=st.integers(-(1 << 40), 1 << 40),
    cores=st.floats(0, 64),
    worth=st.integers(1 << 20, 1 << 40),
)
def test_the_verdict_is_the_sign_of_what_is_left(net, cores, worth):
    """What would change it does."""
    facts = replace(_FACTS, net_saved_bytes=net, cost_cores=cores, core_worth_bytes=worth)
    answer = judge(facts).answer
    spent = cores * worth
    if abs(net) < 32 << 20 and round(spent) < 32 << 20:
        assert answer is Answer.TOO_LITTLE
    elif net <= 0 or net < round(spent):
        assert answer is Answer.COSTS_MORE
        change = judge(facts).change
        if net > 0:
            cheaper = replace(facts, cost_cores=max(net, 32 << 20) / worth * 0.999)
            better = Answer.WORTH_IT if net >= 32 << 20 else Answer.TOO_LITTLE
            assert judge(cheaper).answer is better
            assert ("too little to matter" in change) is (better is Answer.TOO_LITTLE)
            more = replace(facts, net_saved_bytes=round(spent))
            assert judge(more).answer is Answer.WORTH_IT
        else:
            assert "more equal pages" in change
    else:
        assert answer is Answer.WORTH_IT


def _many(pages):
    rows = []
    for number in range(1, pages + 2):
        rows += [examined(64 * number, mm=1, new=5), appended(64 * number, 9000, new=number == 1)]
    return rows


def test_users_writes_are_part_of_the_cost():
    rows = _passes(_many(10_240))
    assert _verdict(_measured(rows, cpu_ns=10**5, seconds=1))[0] == "worth it"
    writes = [{"kind": EventKind.COW_FAULT, "mm": 1, "aux": 10**7}]
    assert (
        _verdict(_measured([*rows, *writes], cpu_ns=10**5, seconds=1))[0]
        == "costs more than it saves"
    )


def test_totals_are_metrics_and_processes_are_not():
    found = series(analyse(story(), "balance").metrics)
    assert found["ksmtrace_balance_net_bytes", ()] == 80 * PAGE - 260 * 64 - 40 * 64
    assert found["ksmtrace_balance_cow_seconds_total", (("by", "user"),)] == 6e-6
    assert sum(v for (name, _), v in found.items() if name == "ksmtrace_balance_verdict") == 1
    assert not {label for _, labels in found for label, _ in labels} & {
        "pid",
        "mm",
        "comm",
        "cgroup",
        "vm",
    }


def test_the_section_answers_first():
    ((name, section),) = analyse(story(), "balance").sections
    assert name == "balance"
    assert section.title == "Is KSM worth it?"
    assert section.lead.endswith(".")
    assert {figure.name for figure in section.figures} >= {
        *("saved by sharing", "net saved, after bookkeeping", "ksmd's CPU time"),
    }
    for table in section.tables:
        assert len(table.columns) == len(table.units)
        assert all(len(row) == len(table.columns) for row in table.rows)
    assert section.tables[2].rows[0][:2] == ["qemu-system-x86 4711", 80 * PAGE]
    (chart,) = section.charts
    assert all(len(values) == len(chart.x) > 0 for values in chart.series.values())


def test_nothing_is_known_without_events():
    figures = _analysis([])
    assert figures["total"]["saved_bytes"] is None
    assert figures["verdict"] == "not yet settled"
    assert analyse([], "balance").sections
