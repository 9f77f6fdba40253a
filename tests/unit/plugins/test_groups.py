"""The groups analyzer: sums that hold, series that never fall, a number of them that is bounded,
and names that do no harm."""

from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from ksmtrace import hookimpl
from ksmtrace.events import EventBatch, EventKind, Flag, ProcessText
from ksmtrace.events.cgroup import unit_of
from ksmtrace.model.processes import text_records
from ksmtrace.plugins.groups.group import Group
from ksmtrace.plugins.groups.group_accounts import HOLD_NS, LEAD
from ksmtrace.session import Exactness, Knowledge, Probe
from support.command import ksmtrace
from support.hosts import Host
from support.runs import (
    EMPTY,
    TO_STABLE,
    TO_UNSTABLE,
    analyse,
    appended,
    cut_streams,
    examined,
    exit_of,
    plugin,
    process,
    removed,
    runner,
    series,
)
from support.story import story
from support.streams import events, sample, session

SERIES_A_GROUP = 10
"""As docs/PROMETHEUS.md has it."""

MOST = 2
SECOND = 10**9

TOTALS = {
    "ksmtrace_group_examined_pages_total": "ksmtrace_examined_pages_total",
    "ksmtrace_group_merged_pages_total": "ksmtrace_merged_pages_total",
    "ksmtrace_group_cow_faults_total": "ksmtrace_cow_faults_total",
    "ksmtrace_group_cow_seconds_total": "ksmtrace_balance_cow_seconds_total",
    "ksmtrace_group_ksmd_cpu_seconds_total": "ksmtrace_scan_ksmd_cpu_seconds_total",
    "ksmtrace_group_metadata_bytes": "ksmtrace_balance_metadata_bytes",
}
"""What the groups sum up to, by what other analyzers say of the run."""


def named(mm, cgroup, vm="", pid=None):
    """Rows that say what a process is."""
    rows = [process(mm, pid or mm, b"p")]
    for which, text in ((ProcessText.CGROUP, cgroup), (ProcessText.VM, vm)):
        rows += [
            {name: record[name] for name in ("kind", "mm", "address", "pfn", "rmap_item", "aux")}
            for record in text_records(mm, which, text)
        ]
    return rows


def reading(seconds, **gauges):
    return sample(ts=int(seconds * SECOND), **(gauges or {"full_scans": 1}))


def merged(mm, pages, first=1):
    """`pages` pages of a process, each with a twin of its own in the same process."""
    rows = []
    for page in range(first, first + pages):
        for twin in (0, 1):
            item = (mm << 32) + 128 * page + 64 * twin
            node = (mm << 20) + page
            rows += [
                examined(item, mm=mm, new=5),
                appended(item, node, new=not twin, mm=mm),
                examined(item, TO_STABLE, mm=mm, old=5, new=5, node=node),
            ]
    return rows


def groups_of(rows, **how):
    return analyse(rows, "groups", **how).document["analyzers"]["groups"]


class Watcher:
    """Looks at every publication as a scraper does."""

    def __init__(self, most, totals=TOTALS):
        self.most = most
        self.totals = totals
        self.before = {}
        self.scrapes = 0

    @hookimpl
    def ksmtrace_publish(self, snapshot):
        found = {k: v for k, v in series(snapshot.metrics).items() if "group" in k[0]}
        own = [key for key in found if key[0].startswith("ksmtrace_group_")]
        assert len(own) <= SERIES_A_GROUP * (self.most + 1)
        evictions = ("ksmtrace_groups_evicted_total", ())
        for key, before in self.before.items():
            if key[0].endswith("_total") and found.get(key, 0) < before:
                # evicted; it may have come back in the meantime, and then counts from 0 as after a
                # restart
                assert found[evictions] > self.before[evictions]
                assert ("cgroup", "other") not in key[1]
        self._sums(series(snapshot.metrics))
        self.before = found
        self.scrapes += 1

    def _sums(self, found):
        for part, whole in self.totals.items():
            sums, total = defaultdict(float), defaultdict(float)
            for (name, labels), value in found.items():
                if name == part:
                    sums[dict(labels).get("by")] += value
                if name == whole:
                    total[dict(labels).get("by")] += value
            for by in sums:
                assert sums[by] == pytest.approx(total[by]), (part, by)


class GroupHost(Host):
    """A host whose processes are in cgroups, and whose readings come at times of their own."""

    def __init__(self):
        super().__init__()
        self.ns = 0

    def enter(self, mm):
        before = len(self.lives)
        super().enter(mm)
        if len(self.lives) > before:
            self.rows += named(mm, f"/c{before % 5}", pid=100 + before)

    def wait(self, ns):
        self.ns += ns
        self.counts["cpu"] += ns // 100
        self.rows += sample(ts=self.ns, ksmd_cpu_ns=self.counts["cpu"])


@st.composite
def group_hosts(draw):
    host = GroupHost()
    mm = st.integers(1, 6)
    for _ in range(draw(st.integers(0, 80))):
        kinds = ["enter", "enter", "page", "page", "write", "wait", "wait", "leave"]
        kinds += ["join", "join", "join", "part", "free"] if host.items else []
        kind = draw(st.sampled_from(kinds))
        if kind in ("join", "part", "free"):
            address = draw(st.sampled_from(sorted(host.items)))
            node = (draw(st.integers(1, 3)),) if kind == "join" else ()
            getattr(host, kind)(address, *node)
        elif kind == "write":
            flags = draw(st.sampled_from((0, Flag.BY_KERNEL)))
            host.write(draw(mm), draw(st.integers(0, 9999)), flags)
        elif kind == "wait":
            host.wait(draw(st.sampled_from((SECOND, 15 * SECOND, HOLD_NS))))
        else:
            getattr(host, kind)(draw(mm))
    return host.rows, draw(st.lists(st.integers(1, len(host.rows)), max_size=20, unique=True))


def batches(rows, cuts):
    whole = events(*rows)
    edges = [0, *sorted(cuts), len(rows)]
    return [EventBatch(whole.events[a:b]) for a, b in pairwise(edges) if a < b]


@settings(deadline=None, max_examples=80)
@given(group_hosts())
def test_groups_sum_up_to_the_run_and_no_series_falls_whoever_comes_and_goes(stream):
    rows, cuts = stream
    watcher = Watcher(MOST)
    names = ("groups", "balance", "stable_tree", "volatile", "scan_cost")
    plugins = {name: plugin(name) for name in names}
    runner(batches(rows, cuts), {**plugins, "watcher": watcher}, groups=MOST).run()
    assert watcher.scrapes == len(cuts) + 1 + (len(rows) not in cuts)


@settings(deadline=None, max_examples=30)
@given(group_hosts())
def test_neither_cuts_nor_questions_in_between_change_anything(stream):
    rows, cuts = stream
    whole = runner(batches(rows, []), {"groups": plugin("groups")}, groups=MOST, interval=3600)
    cut = {"groups": plugin("groups"), "watcher": Watcher(MOST, totals={})}
    asked = runner(batches(rows, cuts), cut, groups=MOST)
    first, second = whole.run(), asked.run()
    assert first.document["analyzers"]["groups"] == second.document["analyzers"]["groups"]


@settings(deadline=None, max_examples=30)
@given(cut_streams())
def test_no_stream_however_odd_breaks_it(stream):
    rows, cuts = stream
    assert analyse(rows, "groups", cuts=cuts).metrics


@settings(deadline=None, max_examples=60)
@given(cut_streams())
def test_wasted_examinations_are_those_of_volatile(stream):
    """But for full chains, which only the end of a pass tells, and for the zero page, of which an
    account sees only the checksum."""
    rows = [row for row in stream[0] if not (_is_attempt(row) and row["flags"] & Flag.ZERO_PAGE)]
    found = analyse(rows, "groups", "volatile").document["analyzers"]
    full = found["volatile"]["causes"]["chain_full"]["examined_pages"]
    wasted = [row["wasted_pages"] for row in (*found["groups"]["groups"], found["groups"]["other"])]
    assert sum(wasted) == found["volatile"]["wasted_pages"] - full


def _is_attempt(row):
    return row["kind"] == EventKind.TRY_TO_MERGE_ONE_PAGE


def test_a_group_counts_from_its_admission_on():
    rows = [*EMPTY, *named(1, "/a.slice/b.service"), *merged(1, 1), *reading(1), *merged(1, 2, 10)]
    found = groups_of(rows)
    (group,) = found["groups"]
    assert (group["cgroup"], group["unit"], group["vm"]) == ("/a.slice/b.service", "b.service", "")
    assert (group["merged_pages"], found["other"]["merged_pages"]) == (4, 2)
    assert group["saved_bytes"] == 3 * 4096
    assert group["metadata_bytes"] == 6 * 64 + 3 * 64
    assert found["other"]["saved_bytes"] == 0


def test_guests_in_one_cgroup_are_apart_and_what_is_not_known_is_other():
    rows = [
        *EMPTY,
        *named(1, "/m", "red"),
        *named(2, "/m", "blue"),
        process(3, 3, b"p"),
        *reading(1),
    ]
    rows += [*merged(1, 1), *merged(2, 2), *merged(3, 3)]
    found = groups_of(rows)
    assert [(g["vm"], g["merged_pages"]) for g in found["groups"]] == [("blue", 4), ("red", 2)]
    assert found["other"]["merged_pages"] == 6


def _contest(first, second, *, after_s=HOLD_NS / SECOND + 1, gone=False):
    """Who is tracked when /first has `first` saved pages and the only place, and /second comes with
    `second`."""
    rows = [*EMPTY, *named(1, "/first"), *merged(1, first), *reading(1)]
    rows += [*named(2, "/second"), *merged(2, second)]
    rows += exit_of_all(1, first) if gone else []
    rows += [*reading(1 + after_s), *merged(2, 1, 10**4), *reading(2 + after_s)]
    run = runner([events(*rows)], {"groups": plugin("groups")}, groups=1, interval=3600)
    return run.run().document["analyzers"]["groups"]


def exit_of_all(mm, pages):
    rows = [exit_of(mm)]
    for page in range(1, 1 + pages):
        for twin in (0, 1):
            item = (mm << 32) + 128 * page + 64 * twin
            rows.append(removed(item, Flag.FREED | Flag.STABLE_BEFORE, mm=mm))
    return rows


@pytest.mark.parametrize(
    ("first", "second", "how", "winner"),
    [
        (20, 30, {}, "/second"),
        (20, 24, {}, "/first"),  # not heavier by as much as it takes
        (20, 30, {"after_s": 60}, "/first"),  # too early
        (20, 1, {"gone": True}, "/second"),
        (20, 1, {"gone": True, "after_s": 60}, "/first"),
    ],
)
def test_a_place_changes_hands_only_for_good_reason(first, second, how, winner):
    assert 24 < 20 * LEAD < 30
    found = _contest(first, second, **how)
    assert [group["cgroup"] for group in found["groups"]] == [winner]
    assert found["evicted"] == (winner == "/second")
    own = {"/first": 0, "/second": 2}[winner]  # what came after admission
    assert found["groups"][0]["merged_pages"] == own
    assert found["other"]["merged_pages"] == 2 * first + 2 * second + 2 - own


def test_a_group_that_is_gone_is_dropped_after_a_while_though_there_is_room():
    rows = [*EMPTY, *named(1, "/a"), *reading(1), *merged(1, 1), *exit_of_all(1, 1), *reading(2)]
    assert len(groups_of(rows)["groups"]) == 1
    later = groups_of([*rows, *reading(3 + HOLD_NS / SECOND)])
    assert (later["groups"], later["evicted"]) == ([], 1)
    assert later["other"]["merged_pages"] == 2


def test_a_group_that_comes_back_within_the_while_goes_on():
    rows = [*EMPTY, *named(1, "/a"), *reading(1), *merged(1, 1), *exit_of_all(1, 1), *reading(2)]
    rows += [{"kind": EventKind.MM_ENTER, "mm": 1}, *named(1, "/a", pid=9), *reading(100)]
    found = groups_of([*rows, *merged(1, 1), *reading(3 + HOLD_NS / SECOND)])
    assert [(g["cgroup"], g["merged_pages"]) for g in found["groups"]] == [("/a", 4)]


def test_with_no_group_at_all_everything_is_other():
    rows = [*EMPTY, *named(1, "/a"), *reading(1), *merged(1, 1), *reading(300)]
    run = runner([events(*rows)], {"groups": plugin("groups")}, groups=0)
    found = run.run().document["analyzers"]["groups"]
    assert (found["groups"], found["most"], found["other"]["merged_pages"]) == ([], 0, 2)


@pytest.mark.parametrize(
    ("unseen", "names"),
    [
        (
            EventKind.CMP_AND_MERGE_PAGE,
            {"examined_pages", "wasted_pages", "metadata_bytes", "ksmd_cpu_seconds"},
        ),
        (EventKind.STABLE_APPEND, {"merged_pages", "saved_bytes", "metadata_bytes"}),
        (EventKind.COW_FAULT, {"cow_seconds"}),  # who wrote is derived
    ],
)
def test_what_a_run_cannot_know_is_absent(unseen, names):
    rows = [*story(), *reading(20, ksmd_cpu_ns=1), *reading(30, ksmd_cpu_ns=9)]
    whole = {family.name for family in analyse(rows, "groups").metrics}
    some = {family.name for family in analyse(rows, "groups", of=session(unseen=[unseen])).metrics}
    gone = {name for name in whole - some if name.startswith("ksmtrace_group_")}
    assert gone == {f"ksmtrace_group_{name}" for name in names}


def test_a_run_that_sees_only_counters_has_no_groups():
    kinds = [kind for kind in EventKind if kind is not EventKind.SAMPLE]
    found = analyse([*EMPTY, *reading(1)], "groups", of=session(unseen=kinds)).metrics
    assert not [family.name for family in found if "group" in family.name]


def test_where_writers_are_not_told_from_the_kernel_all_faults_are_of_users():
    fault = Probe("test", Exactness.DERIVED, lacks=frozenset({Knowledge.WHO_BROKE}))
    facts = session()
    facts.probes[EventKind.COW_FAULT] = fault
    found = series(analyse(story(), "groups", of=facts).metrics)
    shown = {dict(labels)["by"] for name, labels in found if "group_cow" in name}
    assert shown == {"user"}


NASTY = '/a"b\\c{d="e"}\n# HELP x\r[red]\x1b[31m<script>&amp;/\u202e☃.service'


@pytest.mark.parametrize("text", [NASTY, "/" + "x" * 2000, "other", "/\udc80"])
def test_names_do_no_harm(text):
    rows = [*EMPTY, *named(1, text, text), *reading(1), *merged(1, 1)]
    metrics = analyse(rows, "groups").metrics
    (group,) = (g for name, g in _groups_in(metrics) if name == "ksmtrace_group_saved_bytes")
    assert group.cgroup.isprintable()
    registry = CollectorRegistry()
    registry.register(type("Shown", (), {"collect": lambda _: metrics})())
    for written, read in ((generate_latest, parse), (openmetrics, parse_openmetrics)):
        again = list(read(written(registry).decode()))
        assert sorted(_groups_in(again)) == sorted(_groups_in(metrics))
        assert _samples_of(again) >= _samples_of(metrics)


def _samples_of(families):
    return {sample.name for family in families for sample in family.samples}


def _groups_in(families):
    for family in families:
        for one in family.samples:
            labels = one.labels
            if "cgroup" in labels and labels["unit"] != "other":
                yield one.name, Group(labels["cgroup"], labels["unit"], labels["vm"])


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("", ""),
        ("/", ""),
        ("/init.scope", "init.scope"),
        ("/system.slice/ssh.service", "ssh.service"),
        ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
        ("/user.slice/user-0.slice/user@0.service/app.slice/firefox.service", "firefox.service"),
        ("/user.slice/user-0.slice", "user-0.slice"),
        (
            "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator",
            "machine-qemu\\x2d1\\x2dvm.scope",
        ),
        ("/kubepods.slice/kubepods-pod1.slice/cri-containerd-2.scope", "cri-containerd-2.scope"),
        ("/system.slice/_memory.service", "memory.service"),
        ("/docker/0123456789ab", ""),
        ("/a/.service", ""),
        ("other", ""),
    ],
)  # fmt: skip
def test_units(cgroup, unit):
    assert unit_of(cgroup) == unit


@pytest.mark.parametrize("number", ["-1", "1001", "many", "1.5", "", "²"])
def test_a_number_of_groups_that_is_none_is_refused_in_one_line(bundled_capture, number):
    ran = ksmtrace("replay", str(bundled_capture), "--groups", number)
    assert ran.returncode == 2
    assert "--groups" in ran.stderr.splitlines()[-1]


def test_unstable_pages_weigh_too():
    """A group that saves nothing, but costs, is seen before one that neither costs nor saves."""
    rows = [*EMPTY, *named(1, "/small"), *named(2, "/costly")]
    rows += [examined(64 * i, TO_UNSTABLE, mm=2, old=i, new=i) for i in range(1, 9)]
    rows += [examined(6400, TO_UNSTABLE, mm=1, old=5, new=5), *reading(1)]
    run = runner([events(*rows)], {"groups": plugin("groups")}, groups=1, interval=3600)
    found = run.run().document["analyzers"]["groups"]
    assert [group["cgroup"] for group in found["groups"]] == ["/costly"]


def shared(node, *mms):
    """Rows by which a KSM page is mapped by so many processes."""
    rows = []
    for place, mm in enumerate(mms):
        item = (mm << 32) + (node << 8) + 64 * place
        rows += [
            examined(item, mm=mm, new=5),
            appended(item, node, new=not place, mm=mm),
            examined(item, TO_STABLE, mm=mm, old=5, new=5, node=node),
        ]
    return rows


def test_pages_that_several_groups_share_are_counted_and_name_nobody():
    a, b, other = 0x1000, 0x2000, 0x3000
    rows = [
        *named(a, "/a"), *named(b, "/b"), *named(other, "/a"),
        *shared(0x100, a, b), *shared(0x200, a, other), *shared(0x300, a, a),
        *shared(0x400, b, b, other), *shared(0x500, 0x4000, 0x5000), *shared(0x600, 0x4000, a),
    ]  # fmt: skip
    found = analyse(rows, "groups")
    groups = found.document["analyzers"]["groups"]
    assert (groups["shared_across_pages"], groups["shared_within_pages"]) == (3, 3)
    values = {name: value for (name, _), value in series(found.metrics).items()}
    assert values["ksmtrace_groups_shared_across_pages"] == 3
    assert values["ksmtrace_groups_shared_within_pages"] == 3
