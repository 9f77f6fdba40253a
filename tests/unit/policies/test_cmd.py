"""CMD: with one class it is KSM; with several, pages are where a second count puts them."""

from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.engine.machines import machine, region, repeated, unique
from unit.engine.strategies import step, workloads
from unit.engine.test_random_workloads import (
    after_every_batch,
    check_frames,
    check_order,
    check_state,
)

from ksmtrace.engine.engine import Engine
from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.engine.ksm.watcher import Watcher
from ksmtrace.engine.trace.emitter import Emitter
from ksmtrace.engine.trace.visibility import engine_session
from ksmtrace.policies.cmd import (
    CLASSES,
    CLASSIFY,
    LINE,
    class_by_address,
    class_by_subpages,
    class_by_writes,
    lines_of,
)
from ksmtrace.sources.engine import EngineSource
from ksmtrace.workload.file import parse_workload
from ksmtrace.workload.on_engine import Simulation
from ksmtrace.workload.tunables import RefusedError
from support.runs import plugin, runner
from support.workload_steps import workload, workload_toml

KERNEL_OF = {"cmd": "ksm-4.4", "cmd-7.2": "ksm-7.2"}


@st.composite
def classed_workloads(draw, **tunables):
    """Workloads of CMD that write to every part of a page; of several ways, or as `tunables`.

    Some have chains, zero pages and smart scan, or a huge page.
    """
    huge = draw(st.integers(0, 9)) == 0
    made = draw(workloads(variants=tuple(KERNEL_OF.values()), huge=huge))
    made = replace(made, variant=next(n for n, k in KERNEL_OF.items() if k == made.variant))
    chosen = tunables or {
        "classify": draw(st.sampled_from([*CLASSIFY])),
        "count_passes": draw(st.integers(0, 3)),
    }
    steps = []
    for one in made.steps:
        if one.op == "poke":
            one = step("poke", **{**one.arguments, "offset": draw(st.integers(0, 4095))})
        elif one.op == "set" and not tunables and draw(st.booleans()):
            one = step("set", tunables={"count_passes": draw(st.integers(0, 3))})
        elif one.op == "set" and not tunables and draw(st.booleans()):
            one = step("set", tunables={"classify": draw(st.sampled_from([*CLASSIFY]))})
        steps.append(one)
    return replace(made, tunables={**made.tunables, **chosen}, steps=tuple(steps))


def run(workload, variant):
    """After every step and batch: counters, records, comparisons."""
    emitter = Emitter()
    simulation = Simulation(workload, variant=variant, watcher=emitter, mode="reference")
    emitter.take()  # writes of the initial tunables
    for _ in simulation.run():
        engine = simulation.engine
        yield engine.counters(), emitter.take().events.tobytes(), engine.scanner.comparisons


@settings(max_examples=200, deadline=None)
@given(classed_workloads(classify="none"))
def test_with_one_class_it_is_ksm_event_for_event(workload):
    """The clock of an engine's run counts writes to tunables too: there are as many."""
    shared = {name: v for name, v in workload.tunables.items() if name != "classify"}
    plain = replace(workload, tunables={**shared, "sleep_millisecs": 20})
    runs = (run(workload, workload.variant), run(plain, KERNEL_OF[workload.variant]))
    for ours, theirs in zip(*runs, strict=True):
        assert ours == theirs


@settings(max_examples=200, deadline=None)
@given(classed_workloads())
def test_what_is_merged_is_equal_and_memory_is_untouched(workload):
    try:
        for engine, shadow in after_every_batch(workload, "reference"):
            check_state(engine)
            check_order(engine.ksm)
            check_frames(engine)
            shadow.check(engine)
    except RefusedError as error:
        check_refusal(error)


def check_refusal(error):
    """Pages are shared: nothing else that these workloads write is refused."""
    assert error.name == "classify"


class SecondCount(Watcher):
    """Writes as a list, and classes computed of it from the beginning for each page examined."""

    def __init__(self):
        self.engine = None
        self.passes = 0
        self.log = defaultdict(list)

    def wrote(self, arguments, offset, length):
        process = self.engine.processes[arguments["process"]]
        start = process.regions[arguments["region"]].first_vpn + arguments["first"]
        for vpn in range(start, start + arguments["pages"]):
            lines = sorted({byte // 64 for byte in range(offset, offset + length)})
            self.log[process.mm.ptes[vpn].pfn] += [(self.passes, line) for line in lines]

    def scan_start(self, seqnr):
        self.passes += 1

    def candidate(self, item, page):
        self.examined = item, page.ksm, self.class_of(page.pfn)

    def candidate_done(self):
        item, was_ksm, expected = self.examined
        if item.tree is Tree.UNSTABLE:
            assert item.nid == expected
        elif item.tree is Tree.STABLE and not was_ksm:
            assert item.head.nid == expected

    def class_of(self, pfn):
        ksm = self.engine.ksm
        counted = self.log[pfn]
        if ksm.count_passes:
            low = (self.passes // ksm.count_passes - 1) * ksm.count_passes
            counted = [one for one in counted if low <= one[0] < low + ksm.count_passes]
        match ksm.classify:
            case "none":
                return 0
            case "address":
                return int(pfn * 2654435769 % 2**32 / 2**28)
            case "writes":
                return min(len(f"{len(counted):b}") if counted else 0, 15)
        quarters = Counter(line // 16 for _, line in counted)
        return sum(2**one for one in quarters if quarters[one] > len(counted) / 4)


@settings(max_examples=200, deadline=None)
@given(classed_workloads())
def test_a_second_count_puts_every_page_into_the_same_class(workload):
    """All that are examined, at the moment at which they are."""
    second = SecondCount()
    simulation = Simulation(workload, watcher=second, mode="reference")
    second.engine = simulation.engine
    done = -1
    try:
        for number in simulation.run():
            for one in workload.steps[done + 1 : number + 1]:
                if one.op == "fill":
                    second.wrote(one.arguments, 0, 4096)
                elif one.op == "poke":
                    second.wrote(one.arguments, one.arguments["offset"], 1)
                elif one.op == "set" and "count_passes" in one.arguments["tunables"]:
                    second.log, second.passes = defaultdict(list), 0
            done = number
    except RefusedError as error:
        check_refusal(error)


@given(st.integers(0, 4095), st.data())
def test_lines_are_those_of_the_bytes(offset, data):
    length = data.draw(st.integers(1, 4096 - offset))
    touched = {byte // LINE for byte in range(offset, offset + length)}
    assert lines_of(offset, length) == tuple(
        sum(line // 16 == number for line in touched) for number in range(4)
    )


@pytest.mark.parametrize(
    ("lines", "subpages", "writes"),
    [
        ((0, 0, 0, 0), 0b0000, 0),
        ((16, 16, 16, 16), 0b0000, 7),
        ((17, 16, 16, 16), 0b0001, 7),
        ((0, 1, 0, 0), 0b0010, 1),
        ((5, 0, 5, 0), 0b0101, 4),
        ((9, 9, 9, 0), 0b0111, 5),
        ((0, 0, 0, 2**40), 0b1000, 15),
    ],
)
def test_classes_of_writes(lines, subpages, writes):
    assert class_by_subpages(lines, 0) == subpages
    assert class_by_writes(lines, 0) == writes


def test_addresses_are_spread_over_all_classes():
    counts = Counter(class_by_address((0, 0, 0, 0), pfn) for pfn in range(0x10000, 0x10000 + 16000))
    assert set(counts) == set(range(CLASSES))
    assert max(counts.values()) - min(counts.values()) < 16


def two_equal_pages(variant, **tunables):
    """Pages 0 and 1 are equal, and what was written to make them differs."""
    engine = machine(variant, **tunables)
    region(engine, "p", "r", [7, 7])
    engine.poke("p", "r", 1, 1, 3000, 8)
    engine.poke("p", "r", 1, 1, 3000, 7)
    return engine


@pytest.mark.parametrize("variant", KERNEL_OF)
@pytest.mark.parametrize(
    ("classify", "sharing"), [("none", 1), ("subpages", 0), ("writes", 1), ("address", 0)]
)
def test_equal_pages_of_two_classes_are_not_merged(variant, classify, sharing):
    """Two writes to one line are few of 66, and many to a subpage that no other has had."""
    engine = two_equal_pages(variant, classify=classify)
    engine.scan_passes(5)
    assert engine.counters()["pages_sharing"] == sharing


@pytest.mark.parametrize(("passes", "apart"), [(1, 1), (2, 3), (3, 1)])
def test_the_class_is_that_of_the_count_that_has_ended(passes, apart):
    """Pages written to before the first pass are apart while that count is the last that has ended.

    A count of three passes ends after they have merged: until then all are in one class.
    """
    engine = two_equal_pages("cmd", count_passes=passes)
    engine.scan_passes(apart)
    assert engine.counters()["pages_sharing"] == 0
    engine.scan_passes(1)
    assert engine.counters()["pages_sharing"] == 1


def test_a_ksm_page_stays_in_the_class_in_which_it_was_merged():
    engine = machine("cmd", count_passes=1)
    region(engine, "p", "r", [7, 7, 7])
    for number in range(3):
        engine.poke("p", "r", 0, 2, 1, 7)  # nothing changes, and a line is written
        engine.scan_passes(1)
        assert engine.counters()["pages_sharing"] == (number > 0)
    engine.scan_passes(3)
    assert engine.counters()["pages_sharing"] == 1
    roots = [number for number, root in enumerate(engine.ksm.stable_roots) if root.rb_node]
    assert roots == [1]


def test_nothing_is_kept_of_pages_that_are_gone():
    engine = machine("cmd")
    for number in range(6):
        name = f"p{number}"
        engine.spawn(name)
        engine.map(name, "r", 1000)
        engine.fill(name, "r", 0, 1000, unique(number))
        engine.mergeable(name, "r", 0, 1000)
        engine.scan_passes(1)
        engine.exit(name)
    engine.spawn("last")
    engine.map("last", "r", 1)
    engine.fill("last", "r", 0, 1, repeated(1))
    engine.mergeable("last", "r", 0, 1)
    engine.scan_passes(1)
    assert len(engine.ksm.writes) <= 2048


def test_files_take_what_they_should_and_classify_only_while_nothing_is_shared():
    engine = machine("cmd")
    for name, value in (
        ("classify", "colour"),
        ("classify", ""),
        ("count_passes", -1),
        ("count_passes", "one"),
        ("count_passes", 2**32),
    ):
        with pytest.raises(OSError, match="EINVAL"):
            engine.write_tunable(name, value)
    with pytest.raises(OSError, match="ENOENT"):
        engine.write_tunable("merge_across_nodes", 0)
    region(engine, "p", "r", [7, 7])
    engine.scan_passes(2)
    engine.write_tunable("classify", "subpages")  # what it is
    with pytest.raises(OSError, match="EBUSY"):
        engine.write_tunable("classify", "none")
    engine.exit("p")
    engine.scan_passes(1)
    engine.write_tunable("classify", "none")
    assert engine.scanner.shown_tunables["classify"] == "none"


def test_the_session_shows_its_files_and_says_what_records_do_not():
    engine = Engine("cmd-7.2", {"classify": "writes", "count_passes": 2})
    session = engine_session(engine.variant, engine.scanner)
    assert session.kernel.release == "cmd-7.2"
    assert (session.tunables["classify"], session.tunables["count_passes"]) == ("writes", "2")
    assert "merge_across_nodes" not in session.tunables
    assert "class" in session.probes[next(iter(session.probes))].note


APART = (
    "spawn a", "map a r 40", "fill a r content=twin:7", "poke a r first=20 offset=3000 value=0",
    "fill a r first=20 content=twin:7", "poke a r first=39 offset=0 value=7", "mergeable a r",
    "scan 4",
)  # fmt: skip
"""Equal pages of two classes, and one of a third, which has nobody."""


def analysed(source, *names):
    plugins = {name: plugin(name) for name in names}
    run = runner(list(source.batches()), plugins, of=source.session, interval=3600).run()
    return run.document, plugins


@pytest.mark.parametrize("variant", KERNEL_OF)
def test_analyzers_say_what_they_say_of_ksm_and_nothing_of_full_chains(variant):
    source = EngineSource(workload(*APART), variant=variant)
    document, plugins = analysed(source, "volatile", "stable_tree", "unstable_tree")
    for gauge in ("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile"):
        assert document["reconciliation"][gauge]["difference"] == 0
    found = document["analyzers"]
    assert found["stable_tree"]["sharing_pages"] == 37
    assert found["unstable_tree"]["unshared_pages"] == 1  # equal to KSM pages of other classes
    assert found["volatile"]["wasted_pages"] == found["volatile"]["changed_pages"] == 0
    causes = found["volatile"]["causes"]
    unknown = {name for name, one in causes.items() if one["examined_pages"] is None}
    assert unknown - {"skipped"} == {"chain_full"}
    assert ("skipped" in unknown) == (variant == "cmd")  # there is no smart scan in 4.4
    families = {one.name: one for one in plugins["volatile"].ksmtrace_metrics(source.session)}
    told = {one.labels["cause"] for one in families["ksmtrace_unplaced_pages"].samples}
    assert "chain_full" not in told
    assert "changed" in told


def test_nor_do_they_of_trees_by_numa_node():
    """An equal page on another node waits as one of another class does."""
    rows = (
        "spawn a", "map a r 4", "place a r node=0", "fill a r content=twin:7", "map a s 1",
        "place a s node=1", "fill a s content=twin:7", "mergeable a r", "mergeable a s", "scan 4",
    )  # fmt: skip
    made = parse_workload(
        ("nodes = 2\n" + workload_toml(*rows, merge_across_nodes=0)).encode(), "test"
    )
    document, _ = analysed(EngineSource(made, variant="ksm-6.12"), "volatile", "unstable_tree")
    assert document["analyzers"]["unstable_tree"]["unshared_pages"] == 1
    assert set(document["analyzers"]["volatile"]["causes"]["chain_full"].values()) == {None}
