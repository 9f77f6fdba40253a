"""Advice: each rule fires on figures that call for it and keeps quiet on others; the hook that lets
it see all figures."""

import io
import re

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st
from rich.console import Console

from ksmtrace import hookimpl
from ksmtrace.errors import KsmtraceError
from ksmtrace.model.verdict import Answer
from ksmtrace.plugins.advice.rules import MOST, RULES, Facts, recommend
from ksmtrace.sources.engine import EngineSource
from ksmtrace.workload.content import Content
from ksmtrace.workload.file import Step, Workload
from support.runs import analyse, plugin, runner, series
from support.story import story
from support.streams import events

GAUGES = ("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile")
TUNABLES = {
    "run": "1",
    "pages_to_scan": "100",
    "sleep_millisecs": "20",
    "smart_scan": "1",
    "use_zero_pages": "1",
    "max_page_sharing": "256",
    "advisor_mode": "none",
    "advisor_target_scan_time": "200",
}


def _document(**changes):
    """A host on which all is well; `changes` are by dotted path, with "__" for the dot."""
    document = {
        "counters": dict(zip(GAUGES, (100, 9000, 500, 400), strict=True))
        | {"stable_node_chains": 0, "stable_node_dups": 0},
        "counters_at_start": {"stable_node_chains": 0},
        "analyzers": {
            "balance": {
                "verdict": "worth it",
                "total": {"net_saved_bytes": 30_000_000, "rmap_items": 10_000},
                "breaking": [_writer(60, 9000)],
            },
            "scan_cost": {
                "settled": True,
                "settled_after_passes": 4,
                "ksmd_cores": 0.01,
                "mean_pass_seconds": 2.0,
                "last_pass_zero_checksum_pages": 10,
                "last_pass_examined_pages": 1000,
            },
            "stable_tree": {"node_sharers_pages": {"1": 0, "128": 90, "256": 10, "more": 0}},
        },
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        found = document
        for key in parents:
            found = found[key]
        found[last] = value
    return document


def _writer(broken, joined, **names):
    return {
        "vm": None,
        "comm": "java",
        "pid": 7,
        "mm": "0x1",
        "user_break_pages": broken,
        "joined_pages": joined,
        "merged_pages": 0,
        **names,
    }


def _given(document, **tunables):
    kept = {name: text for name, text in (TUNABLES | tunables).items() if text is not None}
    return {one.rule: one for one in recommend(document, kept)}


def test_where_all_is_well_nothing_is_said():
    assert _given(_document()) == {}


BALANCE, SCAN = "analyzers__balance__", "analyzers__scan_cost__"
CHAINS = {"counters__stable_node_chains": 3, "counters__stable_node_dups": 259}

FIRES = [
    (
        "switch_on",
        {f"{BALANCE}verdict": "KSM is off"},
        {"run": "0"},
        "echo 1 > /sys/kernel/mm/ksm/run",
        "run is 0",
    ),
    (
        "declare_memory",
        {f"{BALANCE}verdict": "nothing to merge"},
        {},
        "mem-merge=on",
        "no mergeable page",
    ),
    (
        "stop",
        {f"{BALANCE}total__net_saved_bytes": -640_000},
        {},
        "echo 2 > /sys/kernel/mm/ksm/run",
        "-640,000 bytes, with 10,000 pages",
    ),
    ("stop", {f"{BALANCE}total__net_saved_bytes": 0}, {}, "echo 2", "net 0 bytes"),
    (
        "unmerge_writers",
        {f"{BALANCE}breaking": [_writer(90, 100), _writer(500, 1000)]},
        {},
        "MADV_UNMERGEABLE",
        "500 merged pages, while 1,000",
    ),
    (
        "scan_slower",
        {f"{SCAN}ksmd_cores": 0.5},
        {},
        "echo 980 > /sys/kernel/mm/ksm/sleep_millisecs",
        "50.0% of a core, settled after 4",
    ),
    (
        "scan_slower",
        {f"{SCAN}ksmd_cores": 1.0},
        {"sleep_millisecs": "0"},
        "echo 20 >",
        "100% of a core",
    ),
    (
        "scan_slower",
        {f"{SCAN}ksmd_cores": 0.5},
        {"sleep_millisecs": "1000", "pages_to_scan": "100000"},
        "echo 2040 > /sys/kernel/mm/ksm/pages_to_scan",
        "50.0%",
    ),
    (
        "scan_slower",
        {f"{SCAN}ksmd_cores": 0.1},
        {"advisor_mode": "scan-time"},
        "echo 1000 > /sys/kernel/mm/ksm/advisor_target_scan_time",
        "10.0%",
    ),
    (
        "scan_faster",
        {f"{SCAN}settled": False, f"{SCAN}mean_pass_seconds": 900.0},
        {},
        "echo scan-time > /sys/kernel/mm/ksm/advisor_mode",
        "900 s",
    ),
    (
        "scan_faster",
        {f"{SCAN}settled": None, f"{SCAN}mean_pass_seconds": 900.0},
        {"advisor_mode": None},
        "echo 450 > /sys/kernel/mm/ksm/pages_to_scan",
        "900 s",
    ),
    (
        "use_smart_scan",
        {"counters__pages_unshared": 9000},
        {"smart_scan": "0"},
        "echo 1 > /sys/kernel/mm/ksm/smart_scan",
        "9,400 of 18,500",
    ),
    (
        "use_zero_pages",
        {f"{SCAN}last_pass_zero_checksum_pages": 100},
        {"use_zero_pages": "0"},
        "echo 1 > /sys/kernel/mm/ksm/use_zero_pages",
        "100 of 1,000",
    ),
    (
        "raise_max_page_sharing",
        CHAINS,
        {},
        "echo 2 > /sys/kernel/mm/ksm/run; echo 1024 > /sys/kernel/mm/ksm/max_page_sharing; echo 1",
        "259 KSM pages stand for 3 contents, 10 of them near max_page_sharing 256",
    ),
]

QUIET = [
    ("switch_on", {}, {"run": "0"}),
    ("declare_memory", {f"{BALANCE}verdict": None}, {}),
    ("stop", {f"{BALANCE}total__net_saved_bytes": 1}, {}),
    ("stop", {f"{BALANCE}total__net_saved_bytes": 0, f"{BALANCE}verdict": "nothing to merge"}, {}),
    ("stop", {f"{BALANCE}total__net_saved_bytes": -1, f"{SCAN}settled": False}, {}),
    (
        "stop",
        {f"{BALANCE}total__net_saved_bytes": -64, f"{BALANCE}verdict": "too little to matter"},
        {},
    ),
    ("scan_slower", {f"{BALANCE}verdict": "too little to matter", f"{SCAN}ksmd_cores": 0.5}, {}),
    ("stop", {f"{BALANCE}total__net_saved_bytes": None}, {}),
    (
        "unmerge_writers",
        {f"{BALANCE}breaking": [_writer(99, 10), _writer(499, 1000), _writer(500, None)]},
        {},
    ),
    ("unmerge_writers", {f"{BALANCE}breaking": [_writer(500, 10, merged_pages=1001)]}, {}),
    ("unmerge_writers", {f"{BALANCE}breaking": [_writer(500, 10, merged_pages=None)]}, {}),
    ("stop", {f"{BALANCE}total__net_saved_bytes": -640_000}, {"run": "2"}),
    ("scan_slower", {f"{SCAN}ksmd_cores": 0.049}, {}),
    ("scan_slower", {f"{SCAN}ksmd_cores": 0.5, f"{SCAN}settled": False}, {}),
    ("scan_slower", {f"{SCAN}ksmd_cores": None}, {}),
    ("scan_slower", {f"{SCAN}ksmd_cores": 0.5}, {"sleep_millisecs": "20000"}),
    ("scan_faster", {f"{SCAN}settled": False, f"{SCAN}mean_pass_seconds": 200.0}, {}),
    ("scan_faster", {f"{SCAN}settled": True, f"{SCAN}mean_pass_seconds": 900.0}, {}),
    (
        "scan_faster",
        {f"{SCAN}settled": False, f"{SCAN}mean_pass_seconds": 900.0},
        {"advisor_mode": "scan-time"},
    ),
    ("use_smart_scan", {"counters__pages_unshared": 9000}, {"smart_scan": "1"}),
    ("use_smart_scan", {"counters__pages_unshared": 9000}, {"smart_scan": None}),
    ("use_smart_scan", {"counters__pages_unshared": 8699}, {"smart_scan": "0"}),
    ("use_zero_pages", {f"{SCAN}last_pass_zero_checksum_pages": 99}, {"use_zero_pages": "0"}),
    ("use_zero_pages", {f"{SCAN}last_pass_zero_checksum_pages": 100}, {}),
    ("raise_max_page_sharing", {**CHAINS, "counters__stable_node_dups": 258}, {}),
    ("raise_max_page_sharing", {**CHAINS, "counters__pages_sharing": 100_000}, {}),
    ("raise_max_page_sharing", {**CHAINS, "counters_at_start__stable_node_chains": 4}, {}),
    (
        "raise_max_page_sharing",
        {**CHAINS, "analyzers__stable_tree__node_sharers_pages": {"128": 100, "256": 0, "more": 0}},
        {},
    ),
    ("raise_max_page_sharing", {**CHAINS, "analyzers__stable_tree__node_sharers_pages": None}, {}),
]


@pytest.mark.parametrize(("rule", "changes", "tunables", "command", "evidence"), FIRES)
def test_it_fires(rule, changes, tunables, command, evidence):
    given = _given(_document(**changes), **tunables)
    assert rule in given
    assert command in given[rule].command
    assert evidence in given[rule].evidence


@pytest.mark.parametrize(("rule", "changes", "tunables"), QUIET)
def test_it_does_not_fire(rule, changes, tunables):
    assert rule not in _given(_document(**changes), **tunables)


def test_every_rule_has_a_test_of_both_kinds_and_says_where_it_comes_from():
    names = {rule.__name__ for rule in RULES}
    assert {case[0] for case in FIRES} == {case[0] for case in QUIET} == names
    for rule in RULES:
        assert "ource: ksm.rst" in rule.__doc__ or "mm/ksm.c" in rule.__doc__


def test_nothing_is_said_of_what_is_not_known():
    for document in (
        {},
        {"analyzers": {}},
        {"analyzers": {"balance": {}, "scan_cost": None}, "counters": {}},
    ):
        assert recommend(document, {}) == []
        assert [rule(Facts(document, TUNABLES)) for rule in RULES] == [None] * len(RULES)


def test_at_most_five_the_most_important_first():
    everything = {path: value for case in FIRES for path, value in case[1].items()}
    everything[f"{SCAN}settled"] = True
    everything[f"{BALANCE}verdict"] = "costs more than it saves"
    everything[f"{BALANCE}total__net_saved_bytes"] = 1
    given = recommend(
        _document(**everything), TUNABLES | {"smart_scan": "0", "use_zero_pages": "0"}
    )
    assert len(given) == MOST
    order = [rule.__name__ for rule in RULES]
    assert [one.rule for one in given] == sorted((one.rule for one in given), key=order.index)


@examples(
    verdict=st.sampled_from([None, *(one.value for one in Answer)]),
    changes=st.fixed_dictionaries(
        {},
        optional={
            f"{BALANCE}total__net_saved_bytes": st.sampled_from(
                [None, -(1 << 40), -64, 0, 1 << 40]
            ),
            f"{BALANCE}total__rmap_items": st.sampled_from([None, 0, 1, 10**9]),
            f"{BALANCE}breaking": st.sampled_from([[], [_writer(500, 0)]]),
            f"{SCAN}settled": st.sampled_from([None, False, True]),
            f"{SCAN}ksmd_cores": st.sampled_from([None, 0, 0.05, 0.5, 1.0]),
            f"{SCAN}mean_pass_seconds": st.sampled_from([None, 0.0, 900.0]),
            f"{SCAN}last_pass_zero_checksum_pages": st.sampled_from([None, 0, 900]),
            "counters__pages_unshared": st.sampled_from([0, 9000]),
            "counters__stable_node_chains": st.sampled_from([0, 3]),
            "counters__stable_node_dups": st.sampled_from([0, 300]),
        },
    ),
    tunables=st.fixed_dictionaries(
        {
            "run": st.sampled_from(["0", "1", "2"]),
            "smart_scan": st.sampled_from(["0", "1", None]),
            "use_zero_pages": st.sampled_from(["0", "1", None]),
            "advisor_mode": st.sampled_from(["none", "scan-time", None]),
            "sleep_millisecs": st.sampled_from(["0", "20", "5000"]),
        }
    ),
)
def test_no_two_recommendations_oppose_each_other(verdict, changes, tunables):
    """Nothing is said beside what turns KSM on or off, no file is written twice, and what does not
    matter is left alone."""
    given = _given(_document(**changes, **{f"{BALANCE}verdict": verdict}), **tunables)
    if given.keys() & {"switch_on", "declare_memory", "stop"}:
        assert len(given) == 1
    written = [file for one in given.values() for file in set(re.findall(r"> (\S+)", one.command))]
    assert len(written) == len(set(written))
    if verdict == "too little to matter":
        assert not given.keys() & {"stop", "scan_slower"}
    if verdict == "worth it" and changes.get(f"{BALANCE}total__net_saved_bytes", 1) == 1 << 40:
        assert "stop" not in given


ALL = ("stable_tree", "balance", "scan_cost", "advice")


def test_the_writer_of_the_story_is_found_by_the_whole_pipeline():
    fault = {"kind": 16, "mm": 0xFFFF888000001000, "aux": 2000}
    snapshot = analyse([*story()[:-12], *[fault] * 200, *story()[-12:]], *ALL)
    given = snapshot.document["analyzers"]["advice"]["recommendations"]
    assert [one["rule"] for one in given] == ["unmerge_writers"]
    assert "java (pid 815)" in given[0]["advice"]
    assert given[0]["evidence"].startswith("it wrote to 203 merged pages")
    (section,) = [section for name, section in snapshot.sections if name == "advice"]
    assert section.tables[0].rows[-1] == (given[0]["command"],)


@pytest.mark.parametrize("variant", ["pksm", "zero-page", "uksm"])
def test_what_is_not_ksm_is_given_no_advice_about_its_files(variant):
    contents = {"process": "a", "region": "r"}
    steps = (
        Step("spawn", {"process": "a"}),
        Step("map", {**contents, "pages": 4, "huge": False}),
        Step("fill", {**contents, "first": 0, "pages": 4, "content": Content.parse("unique:1")}),
        Step("scan", {"passes": 4}),
    )
    source = EngineSource(Workload("w", variant, {}, steps))
    names = {name: plugin(name) for name in ALL}
    snapshot = runner(list(source.batches()), names, of=source.session).run()
    assert snapshot.document["analyzers"]["advice"] == {"recommendations": None}
    assert not [key for key in series(snapshot.metrics) if key[0] == "ksmtrace_advice"]
    (section,) = [section for name, section in snapshot.sections if name == "advice"]
    assert (section.tables, section.exactness) == ((), "absent")


@pytest.mark.parametrize("first", ["metrics", "panels", "sections"])
def test_whatever_is_asked_for_first_the_conclusion_comes_before_it(first):
    from ksmtrace.pipeline.snapshot import Snapshot

    run = runner([events(*story())], {name: plugin(name) for name in ALL}, interval=3600)
    seen = []

    class Watch:
        @hookimpl
        def ksmtrace_conclude(self, document):
            seen.append("conclude")
            assert document["analyzers"]["balance"]["verdict"]
            return {"concluded": True}

        @hookimpl
        def ksmtrace_metrics(self):
            seen.append("metrics")
            return ()

        @hookimpl
        def ksmtrace_panels(self):
            seen.append("panels")
            return ()

        @hookimpl
        def ksmtrace_sections(self):
            seen.append("sections")
            return ()

    run.calls._manager.register(Watch(), name="watch")
    run.calls.seconds["watch"] = 0.0
    run.run()
    seen.clear()
    snapshot = Snapshot(run.state, run.calls, final=True)
    getattr(snapshot, first)
    assert seen == ["conclude", first]
    assert snapshot.document["analyzers"]["watch"] == {"concluded": True}
    assert seen == ["conclude", first]


def test_a_plugin_that_fails_to_conclude_is_named():
    class Broken:
        @hookimpl
        def ksmtrace_conclude(self):
            raise ValueError("no")

    run = runner([events(*story())], {"broken": Broken()}, fail_fast=False)
    assert "ksmtrace_conclude: no" in run.run().document["plugins_failed"]["broken"]
    strict = runner([events(*story())], {"broken": Broken()})
    with pytest.raises(KsmtraceError, match="broken"):
        strict.run().document  # noqa: B018


def test_rules_that_speak_are_metrics_and_the_panel_is_plain():
    writes = [{"kind": 16, "mm": 1, "aux": 1}] * 300
    evil = [{"kind": 12, "mm": 1, "aux": 9, "pfn": int.from_bytes(b"[red]\x1b[m", "little")}]
    snapshot = analyse([*story(), *evil, *writes], *ALL)
    found = series(snapshot.metrics)
    assert found["ksmtrace_advice", (("rule", "unmerge_writers"),)] == 1
    assert sum(v for (name, _), v in found.items() if name == "ksmtrace_advice") == 1
    console = Console(width=80, file=io.StringIO(), color_system=None)
    for name, panel in snapshot.panels:
        if name == "advice":
            console.print(panel)
    drawn = console.file.getvalue()
    assert "[red]?[m" in drawn
    assert "\x1b" not in drawn
    quiet = analyse([], *ALL)
    assert quiet.document["analyzers"]["advice"] == {"recommendations": []}
    ((_, section),) = [told for told in quiet.sections if told[0] == "advice"]
    assert section.lead == "Nothing to recommend."
