"""`why` names each of its reasons right, provoked on a real kernel."""

import itertools
import subprocess
import sys
import threading
from contextlib import closing, contextmanager

import pytest

from ksmtrace.estimate.targets import find_targets
from ksmtrace.sources.capture import CaptureSource
from ksmtrace.why.decisions import Decisions
from ksmtrace.why.reason import Reason
from ksmtrace.why.result import document
from ksmtrace.why.survey import Range
from ksmtrace.why.why import Wishes, explain
from support.tracing import trace

PAGE = 4096
PAGES = 10

MAPPER = """
import ctypes, mmap, os, sys
PRIVATE, SHARED, ANONYMOUS, NORESERVE, HUGETLB = 2, 1, 0x20, 0x4000, 0x40000
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
size, kind = int(sys.argv[2]) * 4096, sys.argv[1]
flags, file = {"shared": SHARED | ANONYMOUS, "hugetlb": PRIVATE | ANONYMOUS | HUGETLB}.get(
    kind, PRIVATE | ANONYMOUS), -1
if kind == "file":
    flags, file = PRIVATE, os.open(sys.executable, os.O_RDONLY)
address = libc.mmap(None, size, 3, flags | NORESERVE, file, 0)
assert address not in (None, 2**64 - 1), os.strerror(ctypes.get_errno())
libc.madvise(address, size, 15)
if kind in ("shared", "plain", "swapped"):
    for page in range(10):
        ctypes.memset(address + page * 4096, 65 + page, 4096)
if kind in ("file", "zero"):
    for page in range(10):
        ctypes.string_at(address + page * 4096, 1)
if kind not in ("plain",):
    libc.madvise(address, size, 12)
if kind == "swapped":
    libc.madvise(address, size, 21)
print(address, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def mapped():
    """Starts a process with one mapping of a kind, of so many pages; gives its pid and address."""
    started = []

    def start(kind, pages=PAGES):
        command = [sys.executable, "-c", MAPPER, kind, str(pages)]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(child)
        return child.pid, int(child.stdout.readline())

    yield start
    for child in started:
        child.kill()
        child.communicate()


def asked(pid, address, pages=PAGES, between=lambda: None, decisions=None):
    """The answer for a range; `between` is called before the second look."""

    @contextmanager
    def bar(what, _pages):
        if what.startswith("look 2"):
            between()
        yield lambda _: None

    (target,) = find_targets([pid])
    wanted = Range(address, address + pages * PAGE)
    answer = explain(target, wanted, Wishes(2, 0.01), lambda: False, bar, decisions)
    return answer, document(answer, pages=True)


def reasons(found):
    """Pages by reason, those of the document's mappings and those of its runs being the same."""
    total = {one["reason"]: one["pages"] for one in found["reasons"] if one["pages"]}
    runs = {}
    for run in found["pages"]:
        runs[run["reason"]] = runs.get(run["reason"], 0) + run["pages"]
    assert runs == total
    for one in found["mappings"]:
        assert sum(one["reasons"].values()) == one["pages"]
    return total


BY_KIND = {
    "shared": {"shared": PAGES},
    "plain": {"not_advised": PAGES},
    "file": {"file": PAGES},
    "zero": {"zero_page": PAGES},
    "untouched": {"never_touched": PAGES},
}


@pytest.mark.live
@pytest.mark.parametrize("kind", BY_KIND)
def test_a_mapping_of_a_kind_here(kind, mapped):
    assert reasons(asked(*mapped(kind))[1]) == BY_KIND[kind]


@pytest.mark.guest
def test_mappings_of_every_kind_in_a_guest(mapped):
    for kind, expected in BY_KIND.items():
        assert reasons(asked(*mapped(kind))[1]) == expected, kind


@pytest.mark.live
def test_hugetlb(mapped):
    pid, address = mapped("hugetlb", 512)
    assert reasons(asked(pid, address, 512)[1]) == {"hugetlb": 512}


@pytest.mark.live
def test_the_kernels_own_mappings(mapped):
    pid, _ = mapped("plain")
    with open(f"/proc/{pid}/maps") as maps:
        (vvar,) = [line for line in maps if line.endswith("[vvar]\n")]
    start, end = (int(one, 16) for one in vvar.split()[0].split("-"))
    pages = (end - start) // PAGE
    _, found = asked(pid, start, pages)
    assert reasons(found) == {"special": pages}
    assert found["mappings"][0]["refused_by"] in ("VM_PFNMAP", "VM_IO", "VM_DONTEXPAND")


class Case:
    """Two processes whose memory merges; `why` is asked about a region of the first."""

    def __init__(self, ksm, processes, **tunables):
        self.ksm, self.processes, self.at = ksm, processes, {}
        for name, value in tunables.items():
            ksm.write(name, value)
        if ksm.has("smart_scan"):
            ksm.write("smart_scan", 0)
        ksm.start_stepping()
        for name in ("a", "b"):
            processes.spawn(name)

    def region(self, process, region, content, pages=PAGES, huge=False, advised=True):
        do = self.processes.do
        made = do(process, "map", region=region, pages=pages, huge=huge)
        self.at[process, region] = made["address"], pages
        do(process, "fill", region=region, content=content)
        if advised:
            do(process, "mergeable", region=region)

    def ask(self, process, region, **how):
        return asked(*self.place(process, region), **how)

    def place(self, process, region):
        """Pid, address and pages of a region."""
        return self.processes.pids[process], *self.at[process, region]


def check_merged(ksm, processes):
    case = Case(ksm, processes)
    case.region("a", "r", "twin:1")
    case.region("b", "r", "twin:1")
    ksm.scan(3)
    answer, found = case.ask("a", "r")
    assert reasons(found) == {"merged": PAGES}
    assert found["merged"] == {
        "pages": PAGES, "frames": 1, "mappings": 2 * PAGES, "most_mappings": 2 * PAGES,
        "sharers": [{"pid": processes.pids["b"], "name": "b", "frames": 1}],
    }  # fmt: skip
    assert answer.sharers[0].target.pid == processes.pids["b"]
    assert [run["merged_with_pids"] for run in found["pages"]] == [[processes.pids["b"]]]


def check_waiting(ksm, processes):
    case = Case(ksm, processes)
    case.region("a", "r", "twin:1")
    case.region("b", "r", "twin:1")
    _, found = case.ask("a", "r")
    assert reasons(found) == {"waiting": PAGES}
    assert {run["equal_pages"] for run in found["pages"]} == {2 * PAGES - 1}


def check_unique(ksm, processes):
    case = Case(ksm, processes)
    case.region("a", "r", "unique:1")
    case.region("b", "r", "unique:2")
    case.region("b", "s", "unique:1", advised=False)
    ksm.scan(3)
    assert reasons(case.ask("a", "r")[1]) == {"unique": PAGES}


def check_would_merge(ksm, processes):
    case = Case(ksm, processes)
    case.region("a", "r", "twin:1", advised=False)
    case.region("b", "r", "twin:1")
    _, found = case.ask("a", "r")
    assert reasons(found) == {"not_advised": PAGES}
    assert found["mappings"][0]["equal_pages"] == PAGES


def check_changing(ksm, processes):
    case = Case(ksm, processes)
    case.region("a", "r", "twin:1")
    case.region("b", "r", "twin:1")

    def write():
        processes.do("a", "poke", region="r", first=0, pages=3, offset=99, value=7)

    assert reasons(case.ask("a", "r", between=write)[1]) == {"changing": 3, "waiting": PAGES - 3}


def check_unread(ksm, processes):
    """Pages that are given back between the looks."""
    case = Case(ksm, processes)
    case.region("a", "r", "unique:1")

    def discard():
        processes.do("a", "discard", region="r", first=0, pages=3)

    assert reasons(case.ask("a", "r", between=discard)[1]) == {"unread": 3, "unique": PAGES - 3}


def check_huge(ksm, processes):
    case = Case(ksm, processes)
    case.region("a", "r", "unique:1", pages=512, huge=True)
    case.region("b", "r", "unique:1", pages=1)
    _, found = case.ask("a", "r")
    if reasons(found) == {"unique": 511, "waiting": 1}:
        pytest.skip("the kernel gave no huge page")
    assert reasons(found) == {"huge": 512}
    assert found["mappings"][0]["equal_pages"] == 1


def check_forked(ksm, processes):
    case = Case(ksm, processes)
    case.region("a", "r", "unique:1")
    processes.do("a", "fork", child="c")
    _, found = case.ask("a", "r")
    assert reasons(found) == {"forked": PAGES}
    assert {run["mappings"] for run in found["pages"]} == {2}
    ksm.scan(3)
    assert reasons(case.ask("a", "r")[1]) == {"forked": PAGES}


def check_chain_full(ksm, processes):
    case = Case(ksm, processes, max_page_sharing=3)
    case.region("a", "r", "twin:1", pages=6)
    case.region("b", "r", "twin:1", pages=1)
    ksm.scan(5)
    _, found = case.ask("a", "r")
    _, other = case.ask("b", "r")
    both = [reasons(found), reasons(other)]
    assert sorted(both, key=str) in (
        [{"chain_full": 1}, {"merged": 6}],
        [{"merged": 1}, {"merged": 5, "chain_full": 1}],
        [{"merged": 5, "chain_full": 1}, {"merged": 1}],
    )
    case.region("b", "s", "twin:1", pages=1)
    waiting = [reasons(case.ask(*one)[1]) for one in (("a", "r"), ("b", "r"), ("b", "s"))]
    assert sum(one.get("waiting", 0) for one in waiting) == 2


def check_held(ksm, processes):
    case = Case(ksm, processes)
    case.region("a", "r", "twin:1", pages=4)
    ksm.scan(3)
    case.region("a", "s", "twin:1", pages=1)
    processes.do("a", "pin", region="s", first=0, pages=1)
    _, found = case.ask("a", "s", between=lambda: ksm.scan(5))
    assert reasons(found) == {"held": 1}
    assert reasons(case.ask("a", "r")[1]) == {"merged": 4}
    # without ksmd's passes it is not known why the page still waits
    assert reasons(case.ask("a", "s")[1]) == {"waiting": 1}


def check_held_by_an_equal_one(ksm, processes):
    """One page that is held keeps all that are equal to it from merging: ksmd meets it first."""
    case = Case(ksm, processes)
    case.region("a", "r", "twin:1", pages=4)
    processes.do("a", "pin", region="r", first=0, pages=1)
    case.region("b", "r", "twin:1", pages=4)
    _, found = case.ask("b", "r", between=lambda: ksm.scan(8))
    assert reasons(found) == {"held": 4}
    assert ksm.counter("pages_sharing") == 0


CHECKS = {
    check.__name__.removeprefix("check_"): check
    for check in (
        *(
            check_merged,
            check_waiting,
            check_unique,
            check_would_merge,
            check_changing,
            check_unread,
        ),
        *(check_huge, check_forked, check_chain_full, check_held),
        check_held_by_an_equal_one,
    )
}


@pytest.mark.live
@pytest.mark.parametrize("name", CHECKS)
def test_the_reason_is_named_here(name, ksm, processes):
    CHECKS[name](ksm, processes)


@pytest.mark.guest
@pytest.mark.parametrize("name", CHECKS)
def test_the_reason_is_named_in_a_guest(name, ksm, processes):
    CHECKS[name](ksm, processes)


@pytest.mark.live
def test_a_capture_tells_which_page_is_held(ksm, processes, tmp_path):
    """Without ksmd's passing by again the capture says that the page is held."""
    file = str(tmp_path / "c.ksmtrace")

    def workload():
        case.region("a", "r", "unique:1", pages=4)
        processes.do("a", "pin", region="r", first=0, pages=1)
        case.region("b", "r", "unique:1", pages=4)
        ksm.scan(4)

    case = Case(ksm, processes)
    trace(workload, record=file)
    (target,) = find_targets([processes.pids["a"]])
    decisions = Decisions(file, target.pid, target.name)
    with closing(CaptureSource(file, speed=None)) as source:
        decisions.follow(source.batches())
    _, found = asked(*case.place("a", "r"), decisions=decisions)
    assert reasons(found) == {"held": 1, "merged": 3}
    (mapping,) = found["mappings"]
    told = {"held", "failed"} & mapping["last_decisions"].keys()  # by what the probes tell
    assert mapping["last_decisions"] == {told.pop(): 1, "merged": 3}
    assert [run["last_decision"] for run in found["pages"]][1:] == ["merged"]
    _, equal = asked(*case.place("b", "r"))
    assert reasons(equal) == {"waiting": 1, "merged": 3}
    assert found["capture"]["knows_process"]


@pytest.fixture
def swap(tmp_path):
    """A swap file while the test runs."""
    file = tmp_path / "swap"
    file.write_bytes(bytes(16 << 20))
    file.chmod(0o600)
    subprocess.run(["mkswap", "-q", file], check=True)
    if subprocess.run(["swapon", file], check=False).returncode:
        pytest.skip("this file system has no swap files")
    yield
    subprocess.run(["swapoff", file], check=True)


@pytest.mark.live
def test_what_is_in_swap(swap, mapped):
    pid, address = mapped("swapped")
    assert reasons(asked(pid, address)[1]) == {"swapped": PAGES}


@pytest.mark.live
def test_what_changes_between_two_looks(ksm, processes):
    case = Case(ksm, processes)
    case.region("a", "r", "unique:1", pages=4)
    turn = itertools.count(1)

    def write():
        value = next(turn)
        processes.do("a", "poke", region="r", first=0, pages=4, offset=99, value=value)

    stop = threading.Event()
    writer = threading.Thread(target=lambda: [write() for _ in iter(stop.is_set, True)])
    writer.start()
    try:
        _, found = case.ask("a", "r")
    finally:
        stop.set()
        writer.join()
    assert reasons(found) == {"changing": 4}
    near = found["near"]
    assert (near["watched_pages"], near["changed_pages"]) == (4, 4)
    (change,) = near["changes"]
    (difference,) = change["differences"]
    assert (difference["offset"], difference["length"]) in ((96, 4), (96, 8))


@pytest.mark.live
def test_the_zero_page_to_be(ksm, processes):
    """With use_zero_pages a page of zeroes alone merges, and without it does not."""
    case = Case(ksm, processes, use_zero_pages=0)
    case.region("a", "r", "zero", pages=1)
    assert reasons(case.ask("a", "r")[1]) == {"unique": 1}
    ksm.write("use_zero_pages", 1)
    assert reasons(case.ask("a", "r")[1]) == {"waiting": 1}
    ksm.scan(3)
    assert reasons(case.ask("a", "r")[1]) == {"zero_page": 1}


@pytest.mark.live
def test_every_reason_is_provoked():
    provoked = {next(iter(one)) for one in BY_KIND.values()} | CHECKS.keys()
    assert {reason.key for reason in Reason} - provoked == {"hugetlb", "special", "swapped"}
