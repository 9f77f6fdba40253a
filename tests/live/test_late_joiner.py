"""What was merged before the trace began is somebody's: named, shared out, and in the replay."""

import json
from contextlib import contextmanager
from pathlib import Path

import pytest

from ksmtrace.kernel.address_spaces import read_address_spaces
from ksmtrace.kernel.btf import Btf
from ksmtrace.kernel.processes import read_cgroup
from support.cgroups import memory_root
from support.command import ksmtrace
from support.tracing import trace

pytestmark = pytest.mark.live

NAMES = tuple(f"early{number}" for number in range(9))
TWINS, PAIRS, PAGE = 120, 40, 4096


@pytest.fixture
def cgroups(request):
    """Two cgroups that memory is charged to; gone afterwards."""
    root = memory_root(request)
    made = [root / f"ksmtrace-late-{name}.service" for name in ("a", "b")]
    for one in made:
        one.mkdir()
    yield made
    for one in made:
        one.rmdir()


@pytest.fixture(params=["tracepoint", "auto"])
def probes(request):
    """What `--probes` asks for."""
    with btf() as found:
        if request.param == "tracepoint" and not found.has_typedef(
            "btf_trace_ksm_merge_with_ksm_page"
        ):
            pytest.skip("this kernel has no tracepoints of KSM (6.4)")
    return request.param


@contextmanager
def btf():
    found = Btf()
    try:
        yield found
    finally:
        found.close()


def share(do, name, number):
    """Twins of everybody's, and pairs of two neighbours'; the ninth has no neighbour."""
    for region, pages, content in (
        ("twins", TWINS, "twin:1"),
        ("pairs", PAIRS, f"unique:{1000 * (number // 2 + 1)}"),
    ):
        do(name, "map", region=region, pages=pages)
        do(name, "fill", region=region, content=content)
        do(name, "mergeable", region=region)


def merging_pages(pid):
    path = Path(f"/proc/{pid}/ksm_merging_pages")
    return int(path.read_text()) if path.exists() else None


def merged_before(ksm, processes, cgroups):
    for number, name in enumerate(NAMES):
        processes.spawn(name)
        if number < 6:
            where = cgroups[number % 2] / "cgroup.procs"
            where.write_text(str(processes.pids[name]))
        share(processes.do, name, number)
    ksm.start_stepping()
    ksm.write("max_page_sharing", 5000)
    ksm.scan(4)


def sums(document):
    """Bytes saved: by processes (those that exited too), by groups, and by the kernel."""
    balance, groups = (document["analyzers"][name] for name in ("balance", "groups"))
    rows = [*balance["processes"], balance["exited"]]
    return (
        sum(row["saved_bytes"] for row in rows),
        sum(row["saved_bytes"] for row in [*groups["groups"], groups["other"]]),
        document["counters"]["pages_sharing"] * PAGE,
    )


def test_whoever_merged_before_is_named_and_shares_add_up(cgroups, ksm, processes, probes):
    """Nobody merges or leaves meanwhile: equal to the kernel's accounts to the page."""
    merged_before(ksm, processes, cgroups)
    of = {pid: (read_cgroup(pid), merging_pages(pid)) for pid in processes.pids.values()}
    document = trace(lambda: None, probes=probes)
    balance = document["analyzers"]["balance"]
    rows = {row["pid"]: row for row in balance["processes"]}
    assert {rows[pid]["comm"] for pid in of} == set(NAMES)
    assert {pid: rows[pid]["cgroup"] for pid in of} == {pid: one for pid, (one, _) in of.items()}
    if document["tier"] != "tracepoint":
        return  # a pass has to be seen first
    assert balance["attribution"] == "derived"
    assert balance["unattributed_saved_bytes"] == 0
    by_process, by_group, kernels = sums(document)
    assert by_process == by_group == kernels > 0
    for pid, (_, merging) in of.items():
        assert rows[pid]["merged_pages"] == merging
        assert merging == TWINS + PAIRS * (rows[pid]["comm"] != NAMES[-1])
        assert rows[pid]["joined_pages"] == 0
    for gauge in ("pages_shared", "pages_sharing"):
        assert document["reconciliation"][gauge]["difference"] == 0
    by_cgroup = {row["cgroup"]: row["saved_bytes"] for row in balance["cgroups"]}
    assert len({by_cgroup[read_cgroup(pid)] for pid in list(of)[:6]}) <= 2
    for group in document["analyzers"]["groups"]["groups"]:
        assert group["saved_bytes"] == by_cgroup[group["cgroup"]]


def test_exits_writes_and_newcomers_meanwhile(cgroups, ksm, processes, probes, tmp_path):
    """One exits, one writes to pages, which no tracepoint shows, another to pages that then merge
    with each other, one joins; the kernel's count of each process stays ours, and the replay has
    the same."""
    merged_before(ksm, processes, cgroups)
    truth = {}

    def workload():
        processes.exit("early0")
        processes.do("early4", "poke", region="pairs", first=0, pages=30, offset=64, value=9)
        processes.do("early2", "poke", region="twins", first=5, pages=7, offset=64, value=9)
        processes.spawn("late")
        share(processes.do, "late", 8)
        ksm.scan(5)
        truth.update({pid: merging_pages(pid) for pid in processes.pids.values()})
        truth["sharing"] = ksm.counter("pages_sharing")

    capture = tmp_path / "late.ksmtrace"
    document = trace(workload, probes=probes, record=str(capture))
    balance = document["analyzers"]["balance"]
    rows = {row["comm"]: row for row in balance["processes"]}
    assert set(rows) == {*NAMES[1:], "late"}
    sharing = truth.pop("sharing")
    assert balance["total"]["saved_bytes"] == sharing * PAGE
    assert (truth[processes.pids["early4"]] or 0) < TWINS + PAIRS - 20
    assert {row["pid"]: row["merged_pages"] for row in rows.values()} == {
        pid: count for pid, count in truth.items() if count is not None
    } or None in truth.values()
    by_process, by_group, kernels = sums(document)
    assert by_group == kernels == sharing * PAGE
    # which pages the writes were to is not known by tracepoints: pairs are saved by half
    assert 0 <= kernels - by_process <= 30 * PAGE
    assert rows["late"]["joined_pages"] == TWINS + PAIRS
    ran = ksmtrace("replay", capture, "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["analyzers"] == document["analyzers"]


def test_the_address_space_of_a_process_is_what_events_name(ksm, processes):
    """Those that the iterator finds, against the mm of the very processes' events."""
    seen = {}

    def workload():
        for name in ("one", "two"):
            processes.spawn(name)
            processes.do(name, "map", region="r", pages=20)
            processes.do(name, "fill", region="r", content="twin:3")
            processes.do(name, "mergeable", region="r")
        ksm.start_stepping()
        ksm.scan(3)
        with btf() as types:
            seen.update(read_address_spaces(types))

    document = trace(workload)
    rows = {row["pid"]: row for row in document["analyzers"]["balance"]["processes"]}
    for name in ("one", "two"):
        pid = processes.pids[name]
        assert rows[pid]["mm"] == f"{seen[pid].mm:#x}"
        assert seen[pid].comm.rstrip(b"\0").decode() == name
    assert 2 not in seen, "a kernel thread has no address space"
