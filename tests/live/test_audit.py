"""What `audit` finds of processes, against what the test has written into which of them."""

import itertools
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from ksmtrace.audit.domains import load_policy
from ksmtrace.audit.result import document
from ksmtrace.audit.sharing import read_sharing
from ksmtrace.estimate.targets import find_targets
from ksmtrace.kernel.host import read_kernel
from support.command import ksmtrace

WRITTEN = {
    "a": {"x": ("twin:1", 30), "y": ("unique:5", 12), "z": ("unique:71", 9)},
    "b": {"x": ("twin:1", 8), "y": ("unique:5", 7)},
    "c": {"y": ("unique:5", 12), "w": ("byte:7", 6)},
    "d": {"w": ("byte:7", 5)},
    "e": {"v": ("unique:90", 10)},
}
"""By process and region: contents, and pages of it; "unique" in two regions of one name is equal
page by page."""

COMMON = {("a", "b"): 1 + 7, ("a", "c"): 12, ("b", "c"): 7, ("c", "d"): 1}
"""KSM pages that each two have in common; other pairs have none. "twin:1" and "byte:7" are one page
each, whatever the number of pages."""


def populate(ksm, processes):
    ksm.start_stepping()
    for process, regions in WRITTEN.items():
        processes.spawn(process)
        for region, (content, pages) in regions.items():
            processes.do(process, "map", region=region, pages=pages)
            processes.do(process, "fill", region=region, content=content)
            processes.do(process, "mergeable", region=region)
    ksm.scan(4)


def audited(pids, policy=None):
    kernel = read_kernel()
    sharing = read_sharing(find_targets(pids))
    return document(sharing, policy, kernel, kernel.page_size_bytes)


def check(ksm, processes):
    populate(ksm, processes)
    name_of = {pid: name for name, pid in processes.pids.items()}
    found = audited(list(name_of))
    pairs = {}
    for pair in found["processes"]["pairs"]:
        ends = sorted(name_of[int(pair[end].rpartition("(")[2][:-1])] for end in ("one", "other"))
        pairs[tuple(ends)] = pair["ksm_pages"]
        assert pair["bytes"] == pair["ksm_pages"] * found["kernel"]["page_size_bytes"]
    assert pairs == COMMON
    assert found["processes"]["pairs_sharing"] == len(COMMON)
    # a's 30 equal pages are one KSM page, 12 are shared page by page; its others are its own
    (own,) = [
        one for one in found["processes"]["groups"] if f"({processes.pids['a']})" in one["name"]
    ]
    assert (own["ksm_pages"], own["pages"]) == (1 + 12, 30 + 12)
    assert found["processes_sharing"] == 4
    # a fork maps all that its parent does, before ksmd has come by
    processes.do("d", "fork", child="f")
    again = audited([*name_of, processes.pids["f"]])
    assert again["processes"]["pairs_sharing"] == len(COMMON) + 2


@pytest.mark.live
def test_pairs_are_those_that_were_written_here(ksm, processes):
    check(ksm, processes)


@pytest.mark.guest
def test_pairs_are_those_that_were_written_in_a_guest(ksm, processes):
    check(ksm, processes)


POLICY = """
[[domain]]
name = "ours"
users = ["root"]
each = "{each}"
[[domain]]
name = "nobody's"
users = ["nobody", "no-such*"]
"""


@pytest.mark.live
def test_a_policy_that_passes_and_one_that_fails(ksm, processes, tmp_path):
    populate(ksm, processes)
    pids = [str(pid) for pid in processes.pids.values()]
    passes = tmp_path / "passes.toml"
    passes.write_text(POLICY.format(each=""))
    ran = ksmtrace("audit", "--pid", *pids, "--policy", passes)
    assert ran.returncode == 0
    assert "No domains share pages that must not." in ran.stdout
    assert "takes nobody in" in ran.stderr
    fails = tmp_path / "fails.toml"
    fails.write_text(
        '[[domain]]\nname = "root"\nusers = ["root"]\n'
        '[[domain]]\nname = "others"\nusers = ["daemon"]\n'
    )
    os.seteuid(0)
    if (pid := os.fork()) == 0:
        _merge_as_daemon()
    try:
        _wait_until_merging(ksm, pid)
        ran = ksmtrace("audit", "--pid", *pids, str(pid), "--policy", fails, "--json")
        assert ran.returncode == 1, ran.stderr
        policy = json.loads(ran.stdout)["policy"]
        (bad,) = policy["violations"]
        assert {bad["one"], bad["other"]} == {"root", "others"}
        assert bad["ksm_pages"] == 1
        assert any("UNMERGEABLE" in one["what"] for one in policy["remedies"])
        fails.write_text(fails.read_text() + '[[allow]]\ndomains = ["others", "root"]\n')
        assert ksmtrace("audit", "--pid", *pids, str(pid), "--policy", fails).returncode == 0
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _merge_as_daemon():
    """A process of user daemon that has pages as "byte:7" has them."""
    import mmap

    memory = mmap.mmap(-1, 4 * mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory[:] = bytes([7]) * len(memory)
    memory.madvise(mmap.MADV_MERGEABLE)
    os.setgid(1)
    os.setuid(1)
    while True:
        signal.pause()


def _wait_until_merging(ksm, pid):
    for _ in range(10):
        ksm.scan(3)
        with open(f"/proc/{pid}/ksm_merging_pages", encoding="ascii") as file:
            if int(file.read()) == 4:
                return
    raise AssertionError("the pages of user daemon do not merge")


CROWD = """
import mmap, os, signal, sys
pids = []
for number in range(int(sys.argv[1])):
    if (pid := os.fork()) == 0:
        memory = mmap.mmap(-1, 3 * 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(mmap.MADV_MERGEABLE)
        for at, word in enumerate((1, 2 + number % 2, 1000 + number)):
            memory[at * 4096 : (at + 1) * 4096] = word.to_bytes(8, "little") * 512
        os.close(2)
        os.write(1, b".")
        signal.pause()
    pids.append(pid)
os.write(2, " ".join(map(str, pids)).encode())
os.close(2)
signal.pause()
"""


@pytest.mark.live
def test_two_thousand_processes(ksm):
    """Each has a page of everybody's, one of its half's, and one of its own."""
    ksm.start_stepping()
    count = 2000
    crowd = subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", CROWD, str(count)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0,
    )  # fmt: skip
    try:
        pids = [int(word) for word in crowd.stderr.read().split()]
        assert len(pids) == count
        for _ in range(count):
            crowd.stdout.read(1)
        ksm.write("max_page_sharing", 100_000)
        ksm.scan(4)
        assert ksm.counter("pages_sharing") == count - 1 + 2 * (count // 2 - 1)
        found = audited(pids)
        # a thousand are told apart, the others are one
        assert len(found["processes"]["groups"]) == 1000
        assert found["processes"]["pairs_sharing"] == 1001 * 1000 // 2
        most = found["processes"]["pairs"][0]
        assert most["ksm_pages"] == 2
        assert found["users"]["groups"][0]["ksm_pages"] == 3
        assert found["users"]["groups"][0]["pages"] == 2 * count
    finally:
        os.killpg(crowd.pid, signal.SIGKILL)
        crowd.communicate()


@pytest.mark.filterwarnings("ignore:.*deprecated.*:DeprecationWarning")  # pydot's, of its parser
@pytest.mark.live
def test_a_graph_is_read_by_others(ksm, processes, tmp_path):
    import networkx
    import pydot

    populate(ksm, processes)
    pids = [str(pid) for pid in processes.pids.values()]
    for ending in ("graphml", "dot"):
        ran = ksmtrace("audit", "--pid", *pids, "--graph", tmp_path / f"g.{ending}")
        assert ran.returncode == 0, ran.stderr
    graph = networkx.read_graphml(tmp_path / "g.graphml")
    assert sorted(data["ksm_pages"] for *_, data in graph.edges(data=True)) == sorted(
        COMMON.values()
    )
    (dot,) = pydot.graph_from_dot_file(str(tmp_path / "g.dot"))
    assert len(dot.get_edges()) == len(COMMON)


@pytest.mark.live
def test_without_frames_it_is_refused():
    if (pid := os.fork()) == 0:
        os.setgid(65534)
        os.setuid(65534)
        os._exit(0 if _refused() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _refused():
    from ksmtrace.errors import HostError

    try:
        read_sharing(find_targets([os.getpid()]))
    except HostError as error:
        return "CAP_SYS_ADMIN" in str(error)
    return False


@pytest.mark.live
def test_a_page_of_it_is_drawn(ksm, processes, tmp_path):
    populate(ksm, processes)
    pids = [str(pid) for pid in processes.pids.values()]
    page = tmp_path / "audit.html"
    ran = ksmtrace("audit", "--pid", *pids, "-o", page)
    assert ran.returncode == 0, ran.stderr
    text = page.read_text()
    assert "KSM pages that each two have in common" in text
    assert text.count("<svg") >= 2


def test_the_order_of_rules_decides(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text(
        '[[domain]]\nname = "one"\nvms = ["w*"]\n'
        '[[domain]]\nname = "two"\nvms = ["*"]\neach = "vm"\n'
    )
    policy = load_policy(str(path))
    assert [rule.name for rule in policy.rules] == ["one", "two"]
    pairs = list(itertools.product([("two", "two: a"), ("two", "two: b")], repeat=2))
    assert [policy.may_share(*pair) for pair in pairs] == [True, False, False, True]
    assert np.all([policy.may_share(("one", "one"), ("one", "one"))])
