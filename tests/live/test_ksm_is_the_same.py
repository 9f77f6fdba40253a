"""KSM does the same with ksmtrace attached as without, step by step, and is whole afterwards.

The cases are what the kernel's own selftests of KSM are about, written anew: merging, unmerging by
madvise and by run, zero pages, NUMA nodes, a process merging all of its memory, copies on write.
"""

import hashlib
import platform
from pathlib import Path

import pytest

from ksmtrace.errors import KsmtraceError
from support.tracing import trace

pytestmark = [pytest.mark.guest, pytest.mark.slow]

PAGES = 16
PAGE = 4096
GAUGES = ("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile", "ksm_zero_pages")
COUNTERS = ("full_scans", "pages_scanned", "pages_skipped")
OTHERS = ("stable_node_chains", "stable_node_dups", "general_profit")
VMSTAT = ("cow_ksm", "ksm_swpin_copy")


class Seen:
    """What the kernel shows after each step of the cases; what only grows, since they began."""

    def __init__(self, ksm, processes):
        self.ksm = ksm
        self.processes = processes
        self.steps = {}
        self._places = {}
        self._before = self._growing()

    def start(self, *names):
        """Processes, forked by one that has no memory: to start one takes seconds in a guest."""
        for name in names:
            self.processes.do("mother", "fork", child=name)

    def hold(self, name, content, *, region="r", node=None, advised=True):
        """Have a process fill a region, and advise that it is to be merged."""
        answer = self.processes.do(name, "map", region=region, pages=PAGES)
        self._places[name, region] = answer["address"]
        if node is not None:
            self.processes.do(name, "place", region=region, node=node)
        self.processes.do(name, "fill", region=region, content=content)
        if advised:
            self.processes.do(name, "mergeable", region=region)

    def inherit(self, parent, child):
        """Regions that a fork has taken over."""
        self.processes.do(parent, "fork", child=child)
        inherited = {place: at for place, at in self._places.items() if place[0] == parent}
        self._places |= {(child, region): at for (_, region), at in inherited.items()}

    def after(self, step, *, scans=0, **expected):
        """Let ksmd make passes, and keep what is there then; `expected` are gauges."""
        if scans:
            self.ksm.scan(scans)
        grown = {name: value - self._before[name] for name, value in self._growing().items()}
        gauges = {name: self.ksm.counter(name) for name in GAUGES + OTHERS if self.ksm.has(name)}
        self.steps[step] = gauges | grown | self._processes()
        for name, value in expected.items():
            assert self.steps[step].get(name, value) == value, (step, name, self.steps[step])

    def end(self):
        """No process, merged page or tunable is left of a case."""
        for name in sorted(self.processes.pids.keys() - {"mother"}):
            self.processes.exit(name)
        self._places.clear()
        self.ksm.write("run", 2)
        self.ksm.write("run", 0)
        self.ksm.write_defaults("use_zero_pages", "merge_across_nodes", "max_page_sharing")
        self.after(f"end of {len(self.steps)} steps", pages_shared=0, pages_sharing=0)

    def _growing(self):
        lines = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
        found = {name: self.ksm.counter(name) for name in COUNTERS if self.ksm.has(name)}
        return found | {name: int(lines[name]) for name in VMSTAT if name in lines}

    def _processes(self):
        """Of each process its content, and what the kernel counts of it."""
        found = {}
        for (name, region), at in self._places.items():
            proc = Path("/proc", str(self.processes.pids[name]))
            with (proc / "mem").open("rb") as memory:
                memory.seek(at)
                found[name, region] = hashlib.sha256(memory.read(PAGES * PAGE)).hexdigest()
            for file in ("ksm_stat", "ksm_merging_pages"):
                if (proc / file).exists():
                    found[name, file] = (proc / file).read_text()
        return found


def merge_and_unmerge(seen):
    """Equal pages of two processes and within one become one; madvise undoes one side, run all."""
    seen.start("a", "b")
    seen.hold("a", "unique:1")
    seen.hold("b", "unique:1")
    seen.hold("b", "byte:7", region="same")
    seen.after("merged", scans=3, pages_shared=PAGES + 1, pages_sharing=2 * PAGES - 1)
    seen.processes.do("a", "unmergeable", region="r")
    seen.after("one unmerged")
    seen.after("and scanned", scans=2, pages_shared=PAGES + 1, pages_sharing=PAGES - 1)
    seen.processes.do("a", "mergeable", region="r")
    seen.after("merged again", scans=3, pages_shared=PAGES + 1, pages_sharing=2 * PAGES - 1)
    seen.ksm.write("run", 2)
    seen.after("unmerged by run", pages_shared=0, pages_sharing=0, pages_unshared=0)
    seen.ksm.write("run", 0)


def copies_on_write(seen):
    """A write takes one page out, others keep theirs; a fork shares what is merged."""
    seen.start("a", "b")
    seen.hold("a", "unique:2")
    seen.hold("b", "unique:2")
    seen.after("merged to be written", scans=3, pages_shared=PAGES, pages_sharing=PAGES)
    seen.processes.do("a", "poke", region="r", first=2, pages=5, offset=9, value=1)
    seen.after("written")
    before, after = (seen.steps[step] for step in ("merged to be written", "written"))
    assert after.get("cow_ksm", 5) - before.get("cow_ksm", 0) == 5
    seen.after("written and scanned", scans=3, pages_shared=PAGES, pages_sharing=PAGES - 5)
    seen.inherit("b", "child")
    seen.after("forked", scans=2)
    seen.processes.do("child", "poke", region="r", first=0, pages=PAGES, offset=0, value=3)
    seen.after("the child has written", scans=3)
    seen.processes.do("b", "discard", region="r", first=0, pages=4)
    seen.after("some are discarded", scans=3)


def unlike_and_changing(seen):
    """Pages that are nobody's twin, and pages that never stay as they are."""
    seen.start("a")
    seen.hold("a", "unique:3")
    seen.hold("a", "unique:4", region="changing")
    for beat in range(4):
        seen.processes.do("a", "poke", region="changing", offset=0, value=beat + 1)
        seen.after(f"changed {beat}", scans=1, pages_shared=0, pages_sharing=0)


def zero_pages(seen):
    """With use_zero_pages they are the kernel's zero page, and no KSM pages; 6.6 counts them."""
    seen.ksm.write("use_zero_pages", 1)
    seen.start("a", "b")
    seen.hold("a", "zero")
    seen.hold("b", "zero")
    seen.after("zeros", scans=3, pages_sharing=0, ksm_zero_pages=2 * PAGES)
    seen.processes.do("a", "poke", region="r", first=0, pages=6, offset=0, value=1)
    seen.after("zeros written", ksm_zero_pages=2 * PAGES - 6)
    seen.processes.do("b", "unmergeable", region="r")
    seen.after("zeros unmerged", scans=2, ksm_zero_pages=PAGES - 6)


def nodes(seen, across):
    """Equal pages on two nodes are one page only across nodes. A guest may have one node alone."""
    last = len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))) - 1
    seen.ksm.write("merge_across_nodes", across)
    seen.start("a", "b")
    seen.hold("a", "byte:5", node=0)
    seen.hold("b", "byte:5", node=last)
    shared = 1 if across or last == 0 else 2
    step = f"across nodes {across}"
    seen.after(step, scans=3, pages_shared=shared, pages_sharing=2 * PAGES - shared)


def nodes_apart(seen):
    """merge_across_nodes 0."""
    nodes(seen, 0)


def nodes_together(seen):
    """merge_across_nodes 1, the kernel's default."""
    nodes(seen, 1)


def chains(seen):
    """A page has no more sharers than max_page_sharing; there are more of it then."""
    seen.ksm.write("max_page_sharing", 4)
    seen.start("a", "b")
    seen.hold("a", "byte:9")
    seen.hold("b", "byte:9")
    seen.after("in chains", scans=4, stable_node_chains=1)
    seen.processes.do("b", "unmergeable", region="r")
    seen.after("half of them gone", scans=3)


def all_of_a_process(seen):
    """PR_SET_MEMORY_MERGE, which a fork inherits; kernels before 6.4 refuse it."""
    seen.start("a")
    try:
        seen.processes.do("a", "merge_any", by="prctl", on=True)
    except KsmtraceError as error:
        seen.steps["refused"] = str(error)
        return
    seen.hold("a", "byte:3", advised=False)
    seen.after("merged by prctl", scans=3, pages_shared=1, pages_sharing=PAGES - 1)
    seen.inherit("a", "child")
    seen.after("inherited", scans=3)
    seen.processes.do("a", "merge_any", by="prctl", on=False)
    seen.after("unmerged by prctl", scans=2)


CASES = (
    *(merge_and_unmerge, copies_on_write, unlike_and_changing, zero_pages, nodes_apart),
    *(nodes_together, chains, all_of_a_process),
)


def differing(these, those):
    """What is not the same, by step: both values of each key."""
    found = {}
    for step in these.keys() | those.keys():
        one, other = these.get(step), those.get(step)
        if isinstance(one, dict) and isinstance(other, dict):
            keys = one.keys() | other.keys()
            unlike = {key: (one.get(key), other.get(key)) for key in keys}
            unlike = {key: pair for key, pair in unlike.items() if pair[0] != pair[1]}
        else:
            unlike = {} if one == other else (one, other)
        if unlike:
            found[step] = unlike
    return found


def play(ksm, processes):
    """What every case shows, by step."""
    seen = Seen(ksm, processes)
    for case in CASES:
        case(seen)
        seen.end()
    return seen.steps


def test_every_step_is_the_same_traced_and_untraced(ksm, processes):
    """Counters of the kernel and of each process, and what is in the memory."""
    ksm.start_stepping()
    processes.spawn("mother")
    untraced = play(ksm, processes)
    traced = []
    document = trace(lambda: traced.append(play(ksm, processes)))
    again = play(ksm, processes)
    print(platform.release(), len(untraced), "steps,", document["events"]["total"], "events")
    assert document["tier"] == "full"
    assert document["events"]["lost"] == 0
    assert document["events"]["by_kind"]["STABLE_APPEND"] > 4 * PAGES
    assert differing(traced[0], untraced) == {}
    assert again == untraced
