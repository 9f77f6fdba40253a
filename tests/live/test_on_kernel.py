"""Workloads on this machine's kernel: its counters, what it shares, and nothing left behind."""

import errno
import json
import mmap
import os
import resource
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ksmtrace.errors import HostError
from ksmtrace.kernel.mergeable import find_mergeable
from ksmtrace.kernel.sysfs import read_tunables
from ksmtrace.workload import on_kernel
from ksmtrace.workload.on_kernel import run_on_kernel
from ksmtrace.workload.run import WorkloadRun
from ksmtrace.workload.tunables import RefusedError
from support.command import KSMTRACE, assert_one_line, ksmtrace
from support.oracle import differences
from support.oracle import on_kernel as outcome_on_kernel
from support.random_workloads import sample_workloads
from support.workload_steps import workload, workload_toml

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("clean_ksm")]

KSM = Path("/sys/kernel/mm/ksm")
TWELVE = (
    *("spawn a", "map a r 12", "fill a r 10 content=byte:97"),
    *("fill a r first=10 1 content=unique:1", "fill a r first=11 content=zero", "mergeable a r"),
)
"""The pages of the golden timeline: 10 equal, 1 unique, 1 zero."""


def silent(line):
    raise AssertionError(line)


def counters(document, *names):
    return [tuple(row["counters"][name] for name in names) for row in document["snapshots"]]


def gauges(document):
    return counters(document, "pages_shared", "pages_sharing", "pages_unshared", "pages_volatile")


def tunables():
    return {name: text for name, text in read_tunables().items() if name != "run"}


def test_golden_timeline():
    """The table that four kernels agree on, except for the late twin, which takes two passes since
    6.11."""
    document = run_on_kernel(
        workload(
            *TWELVE,
            *("scan 1", "scan 1", "poke a r 1 offset=0 value=1", "snapshot written"),
            *("scan 1", "scan 1"),
            *(
                "map a late 1",
                "fill a late content=byte:97",
                "mergeable a late",
                "scan 1",
                "scan 1",
            ),
            *("fork a b", "scan 1", "exit b", "snapshot exited", "scan 1"),
            *("unmap a r", "unmap a late", "snapshot unmapped", "scan 1"),
            **{"smart_scan": 0, "pages_to_scan": 100_000},
        ),
        silent,
    )
    assert gauges(document) == [
        *((0, 0, 0, 12), (1, 9, 2, 0), (1, 9, 2, 0)),
        *((1, 8, 2, 1), (1, 8, 3, 0)),
        *((1, 8, 3, 1), (1, 9, 3, 0)),
        *((1, 19, 3, 3), (1, 19, 3, 3), (1, 9, 3, 0)),
        *((1, 9, 3, 0), (0, 0, 0, 0)),
    ]
    assert document["snapshots"][1] == {
        "step": 7,
        "name": "scan",
        "counters": {
            **{"full_scans": 2, "pages_scanned": 24, "pages_skipped": 0},
            **{"pages_shared": 1, "pages_sharing": 9, "pages_unshared": 2, "pages_volatile": 0},
            **{"ksm_zero_pages": 0, "stable_node_chains": 0, "stable_node_dups": 0},
            "general_profit": 36096,
        },
        "groups": None,
    }
    del document["snapshots"]
    release = os.uname().release
    versions = {name: document.pop(name) for name in ("schema_version", "version")}
    assert all(versions.values())
    assert document == {"name": "test", "on": "kernel", "variant": None, "kernel": release}


def test_batches_stop_mid_pass():
    """Five candidates a batch, and the batch that reaches the end of the pass ends there."""
    document = run_on_kernel(
        workload(
            *TWELVE,
            *("scan batches=1", "scan batches=1", "scan batches=1", "scan batches=1"),
            *("scan 1", "set tunables={pages_to_scan=7}", "scan batches=2", "scan 2"),
            **{"smart_scan": 0, "pages_to_scan": 5},
        ),
        silent,
    )
    assert counters(document, "pages_scanned", "full_scans") == [
        *((5, 0), (10, 0), (12, 1), (17, 1)),
        *((24, 2), (36, 3), (60, 5)),
    ]
    # each item is in the second pass what it was in the first, until that pass comes to it
    assert gauges(document)[3] == (1, 4, 0, 7)


def test_a_thousand_batches_are_a_thousand():
    """Twelve batches of a page each, and one that finds the end of the pass; never one more or
    less."""
    document = run_on_kernel(
        workload(*TWELVE, *["scan batches=1"] * 999, smart_scan=0, pages_to_scan=1), silent
    )
    assert counters(document, "pages_scanned", "full_scans") == [
        (number - number // 13, number // 13) for number in range(1, 1000)
    ]


def test_run_2_unmerges_at_once_and_scanning_begins_anew():
    document = run_on_kernel(
        workload(
            *(*TWELVE, "scan 2", "run value=2", "snapshot unmerged", "run value=0", "scan 1"),
            *("scan 1", "unmergeable a r", "snapshot unmergeable", "scan 1"),
            smart_scan=0,
        ),
        silent,
    )
    assert gauges(document) == [
        *((1, 9, 2, 0), (0, 0, 0, 0), (0, 0, 0, 12), (1, 9, 2, 0)),
        *((1, 9, 2, 0), (0, 0, 0, 0)),
    ]
    assert counters(document, "full_scans") == [(2,), (0,), (1,), (2,), (2,), (3,)]


def test_chains_and_zero_pages_and_smart_scan():
    seven = ("spawn a", "map a r 7", "fill a r content=twin:1", "mergeable a r", "scan 2")
    document = run_on_kernel(workload(*seven, max_page_sharing=2), silent)
    assert gauges(document) == [(3, 3, 1, 0)]
    assert counters(document, "stable_node_chains", "stable_node_dups") == [(1, 3)]

    five = ("spawn a", "map a r 5", "fill a r content=zero", "mergeable a r")
    document = run_on_kernel(
        workload(*five, "scan 1", "scan 1", "scan 1", "poke a r 1 offset=0 value=1", "snapshot w",
                 use_zero_pages=1),
        silent,
    )  # fmt: skip
    assert counters(document, "ksm_zero_pages", "pages_volatile") == [
        *((0, 5), (5, 5), (5, 0), (4, 0)),
    ]

    one = ("spawn a", "map a r 1", "fill a r content=unique:1", "mergeable a r")
    document = run_on_kernel(workload(*one, *["scan 1"] * 33), silent)
    scanned = [0, *(row[0] for row in counters(document, "pages_scanned"))]
    passes = [number for number in range(1, 34) if scanned[number] != scanned[number - 1]]
    assert passes == [1, 2, 3, 4, 6, 9, 14, 23, 32]


def test_huge_regions():
    """A huge page is split in its second pass, and khugepaged does not rebuild it."""
    khugepaged = Path("/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs")
    before = khugepaged.read_text()
    document = run_on_kernel(
        workload(
            *("spawn a", "map a r 512 huge=true", "fill a r content=byte:97", "mergeable a r"),
            *("scan 1", "scan 1", "scan 1"),
            **{"smart_scan": 0, "pages_to_scan": 1000},
        ),
        silent,
    )
    assert gauges(document) == [(0, 0, 0, 512), (2, 509, 0, 1), (2, 510, 0, 0)]
    assert khugepaged.read_text() == before


def test_groups():
    """Pages across processes; one that is left with a single mapper; never zero pages."""
    document = run_on_kernel(
        workload(
            *("spawn b", "spawn a", "map b r 4", "map a r 4"),
            *("fill b r 2 content=twin:1", "fill a r 2 content=twin:1"),
            *("fill b r first=2 content=zero", "fill a r first=2 1 content=unique:3"),
            *("mergeable a r", "mergeable b r", "scan 2", "snapshot one groups=true"),
            *("poke a r offset=0 value=9", "poke b r first=1 1 offset=0 value=9"),
            *("snapshot two groups=true", "unmap b r 1", "snapshot three groups=true"),
            **{"use_zero_pages": 1, "smart_scan": 0},
        ),
        silent,
    )
    groups = [row["groups"] for row in document["snapshots"]]
    assert groups == [None, [["a/r/0", "a/r/1", "b/r/0", "b/r/1"]], [["b/r/0"]], []]


def test_fork_carries_pages_into_regions_that_are_not_mergeable():
    """A page that is still shared with a forked process becomes a KSM page there too, and run=2
    leaves it so."""
    rows = (
        *("spawn a", "map a r 2", "fill a r content=twin:1", "fork a b", "mergeable a r"),
        *("spawn c", "map c r 1", "fill c r content=twin:1", "mergeable c r"),
        *("scan 2", "snapshot merged groups=true", "run value=2", "snapshot unmerged groups=true"),
    )
    document = run_on_kernel(workload(*rows, smart_scan=0), silent)
    merged, unmerged = (row["groups"] for row in document["snapshots"][1:])
    assert {page for group in merged for page in group} >= {"a/r/0", "a/r/1", "c/r/0"}
    assert {page.split("/")[0] for group in unmerged for page in group} == {"b"}
    with pytest.raises(RefusedError) as caught:
        run_on_kernel(workload(*rows, "set tunables={max_page_sharing=7}"), silent)
    assert (caught.value.name, caught.value.number) == ("max_page_sharing", errno.EBUSY)


def test_regions_lie_at_the_same_addresses_in_every_process(processes):
    for name in ("a", "b"):
        processes.spawn(name)
    sizes = (1, 512, 513, 3)
    addresses = {
        name: [
            processes.do(name, "map", region=str(index), pages=pages)["address"]
            for index, pages in enumerate(sizes)
        ]
        for name in ("a", "b")
    }
    assert addresses["a"] == addresses["b"] == sorted(addresses["a"])
    assert all(address % (2 << 20) == 0 for address in addresses["a"])


def test_scan_ends_early_when_nobody_is_registered(tmp_path):
    """ksmd stops once the last process is gone; the snapshot is taken all the same."""
    (tmp_path / "w.toml").write_text(
        workload_toml(*TWELVE, "scan 2", "exit a", "scan 3", "scan batches=2", smart_scan=0)
    )
    ran = ksmtrace("simulate", tmp_path / "w.toml", "--on-kernel", "--json")
    assert ran.returncode == 0
    assert ran.stderr.splitlines() == [
        "ksmtrace: step 8 (scan): ended after 1 of 3 passes: no process is registered any more",
        "ksmtrace: step 9 (scan): ended after 0 of 2 batches: no process is registered any more",
    ]
    document = json.loads(ran.stdout)
    assert gauges(document) == [(1, 9, 2, 0), (0, 0, 0, 0), (0, 0, 0, 0)]
    assert counters(document, "full_scans", "pages_scanned") == [(2, 24), (3, 24), (3, 24)]


def test_table(tmp_path):
    (tmp_path / "w.toml").write_text(
        workload_toml(*TWELVE, "scan 2", "snapshot end groups=true", name="ten equal")
    )
    ran = ksmtrace("simulate", tmp_path / "w.toml", "--on-kernel", "--set", "smart_scan=0")
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == [
        f"ten equal on kernel {os.uname().release}",
        "step snapshot  scans scanned shared sharing unshared",
        "   6 scan          2      24      1       9        2",
        "   7 end           2      24      1       9        2",
        "      10 pages share: a/r/0, a/r/1, a/r/2, a/r/3, a/r/4, a/r/5, a/r/6, a/r/7,...",
    ]


def test_more_pages_are_pinned_than_a_shells_limit_of_files_has_pipes_for(tmp_path):
    file = tmp_path / "w.toml"
    file.write_text(workload_toml("spawn a", "map a r 40000", "mergeable a r", "pin a r", "scan 1"))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)

    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, most))

    ran = ksmtrace("simulate", file, "--on-kernel", preexec_fn=limit)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_three_runs_are_identical():
    for one in sample_workloads(5, number=3, huge=True):
        first, *others = (outcome_on_kernel(one) for _ in range(3))
        assert others == [first, first]


def test_random_workloads_repeat():
    for one in sample_workloads(20, number=4):
        assert differences(outcome_on_kernel(one), outcome_on_kernel(one)) == []


def test_refused_tunable(tmp_path):
    """EBUSY is known only when it happens: exit 1, and everything is put back."""
    before = tunables()
    (tmp_path / "w.toml").write_text(
        workload_toml(*TWELVE, "scan 2", "set tunables={max_page_sharing=2}", smart_scan=0)
    )
    ran = ksmtrace("simulate", tmp_path / "w.toml", "--on-kernel")
    assert_one_line(ran, 1, "step 7", "max_page_sharing = 2", "EBUSY")
    assert tunables() == before


def test_refuses_where_others_have_mergeable_memory(tmp_path):
    (tmp_path / "w.toml").write_text(workload_toml(*TWELVE, "scan 2"))
    with mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as own:
        own.madvise(mmap.MADV_MERGEABLE)
        assert os.getpid() in find_mergeable()
        ran = ksmtrace("simulate", tmp_path / "w.toml", "--on-kernel")
        assert_one_line(ran, 3, str(os.getpid()), "mergeable")
    assert os.getpid() not in find_mergeable()


def test_refuses_what_does_not_fit(monkeypatch):
    monkeypatch.setattr(on_kernel, "_WORKER_BYTES", 1 << 50)
    with pytest.raises(HostError, match="MiB"):
        run_on_kernel(workload("spawn a"), silent)


@pytest.fixture
def odd_tunables():
    """Values that no workload leaves behind, put back afterwards."""
    before = read_tunables()
    odd = {"pages_to_scan": "321", "sleep_millisecs": "123", "max_page_sharing": "99"}
    for name, value in odd.items():
        (KSM / name).write_text(value)
    yield
    for name in odd:
        (KSM / name).write_text(before[name])


@pytest.mark.usefixtures("odd_tunables")
def test_restores_after_an_exception(monkeypatch):
    before = tunables()

    def fail(self, number, name, *, groups):
        assert tunables() != before
        raise RuntimeError("a bug")

    monkeypatch.setattr(WorkloadRun, "_snapshot", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        run_on_kernel(workload(*TWELVE, "scan 2", smart_scan=0), silent)
    assert tunables() == before
    assert (KSM / "pages_shared").read_text() == "0\n"


def processes_named(name):
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if name in (entry / "cmdline").read_text().split("\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def open_files(pid):
    """The names of a process's open files; one that is closed while we look is not."""
    found = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(Path(os.readlink(fd)).name)
    return found


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.usefixtures("odd_tunables")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_restores_when_it_is_ended(number, tmp_path):
    """A signal in the midst of a scan: all processes gone, also forked ones, and everything put
    back."""
    before = tunables()
    (tmp_path / "w.toml").write_text(
        workload_toml("spawn endless", "map endless r 600", "fill endless r content=twin:1",
                      "mergeable endless r", "fork endless child", "scan 1000000",
                      smart_scan=0, pages_to_scan=77)
    )  # fmt: skip
    with subprocess.Popen(
        [KSMTRACE, "simulate", str(tmp_path / "w.toml"), "--on-kernel", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as run:  # fmt: skip
        wait_for(lambda: int((KSM / "pages_sharing").read_text()) > 500)
        assert len(processes_named("endless")) == 2
        run.send_signal(number)
        out, err = run.communicate(timeout=30)
    assert (out, err) == ("", "")
    assert run.returncode == (-number if number == signal.SIGKILL else 130)
    wait_for(lambda: not processes_named("endless"))
    wait_for(lambda: tunables() == before)
    assert (KSM / "run").read_text() == "0\n"
    assert (KSM / "pages_shared").read_text() == "0\n"


def test_a_signal_ends_the_wait_for_ksm(ksm, tmp_path):
    (tmp_path / "w.toml").write_text(workload_toml(*TWELVE, "scan 2"))
    with subprocess.Popen([KSMTRACE, "simulate", str(tmp_path / "w.toml"), "--on-kernel"]) as run:
        try:
            wait_for(lambda: "ksmtrace.lock" in open_files(run.pid))
            run.terminate()
            assert run.wait(timeout=30) == 130
        finally:
            run.kill()
