"""Hypothesis strategies of valid workloads, small enough to meet every case of ksmd often."""

from collections.abc import Collection, Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from ksmtrace.engine.variants import NEWEST
from ksmtrace.workload.content import Content
from ksmtrace.workload.file import Step, Workload
from ksmtrace.workload.footprint import Footprint
from ksmtrace.workload.steps import parse_arguments

CONTENTS = st.sampled_from(
    ["zero", "byte:0", "byte:97", "twin:1", "twin:1", "twin:2", "unique:1", "unique:2"]
)
"""Few, so that pages are equal within a process, across processes, and page by page ("unique" in
two regions)."""

FIRST_TUNABLES = {
    "pages_to_scan": [1, 2, 3, 5, 11, 29, 1000],
    "smart_scan": [0, 1],
    "use_zero_pages": [0, 1],
    "max_page_sharing": [2, 3, 5],
}
LATER_TUNABLES = {
    "pages_to_scan": [1, 3, 7, 1000],
    "smart_scan": [0, 1],
    "use_zero_pages": [0, 1],
    "max_page_sharing": [2, 3, 256],
}
"""The kernel refuses max_page_sharing while pages are merged: a run then ends there, on engine and
kernel alike."""

_OPS = [
    *["scan"] * 5,
    *["fill", "poke", "discard", "unmap", "mergeable"] * 2,
    *["unmergeable", "read", "fork", "fork", "exit", "map", "spawn", "set", "run", "snapshot"],
]

_NEW_REGION = [("fill", "mergeable"), ("fill", "mergeable"), ("mergeable", "fill"), ("fill",)]
"""Mostly filled and mergeable, in either order."""


class _Maker:
    def __init__(self, draw: Any, *, huge: bool, without: Collection[str], nodes: int = 1) -> None:
        self.draw = draw
        self.huge = huge
        self.without = without
        self.nodes = nodes
        self.footprint = Footprint()
        self.steps: list[Step] = []
        self._names = 0

    def add(self, op: str, **arguments: Any) -> None:
        checked = parse_arguments(op, arguments)
        self.footprint.apply(op, checked)
        self.steps.append(Step(op, checked))

    def name(self, prefix: str) -> str:
        self._names += 1
        return f"{prefix}{self._names}"

    def process(self) -> str | None:
        names = list(self.footprint.processes)
        return self.draw(st.sampled_from(names)) if names else None

    def spawn(self) -> None:
        self.add("spawn", process=self.name("p"))

    def map(self, process: str) -> None:
        """A new region and its first steps."""
        huge = self.huge and self.draw(st.integers(0, 3)) == 0
        pages = 512 if huge else self.draw(st.integers(1, 12))
        region = self.name("r")
        self.add("map", process=process, region=region, pages=pages, huge=huge)
        if self.nodes > 1:
            node = self.draw(st.integers(0, self.nodes - 1))
            self.add("place", process=process, region=region, node=node)
        target = {"process": process, "region": region}
        steps = self.draw(st.sampled_from(_NEW_REGION))
        for op in steps:
            content = {"content": self.draw(CONTENTS)} if op == "fill" else {}
            self.add(op, **target, **content)

    def reach(self, op: str, process: str) -> None:
        """A step on some mapped pages; none if the process has none."""
        places = [
            (region, start, end)
            for region, of in self.footprint.processes[process].items()
            for start, end in of.mapped
        ]
        if not places:
            return
        region, start, end = self.draw(st.sampled_from(places))
        first = self.draw(st.integers(start, end - 1))
        pages = self.draw(st.integers(1, end - first))
        rest: dict[str, Any] = {}
        if op == "fill":
            rest["content"] = self.draw(CONTENTS)
        elif op == "poke":
            rest = {"offset": self.draw(st.sampled_from([0, 7, 4095])), "value": 1}
        self.add(op, process=process, region=region, first=first, pages=pages, **rest)

    def scan(self) -> None:
        unit, most = self.draw(
            st.sampled_from([("passes", 2), ("passes", 6), ("batches", 3), ("batches", 9)])
        )
        self.add("scan", **{unit: self.draw(st.integers(1, most))})

    def set(self) -> None:
        name = self.draw(st.sampled_from(sorted(LATER_TUNABLES.keys() - set(self.without))))
        self.add("set", tunables={name: self.draw(st.sampled_from(LATER_TUNABLES[name]))})

    def merge_any(self, process: str, op: str) -> None:
        if op == "advise":
            self.add("merge_any", process=process, by="madvise")
        else:
            on = self.draw(st.sampled_from([True, True, False]))
            self.add("merge_any", process=process, on=on, by="prctl")

    def first_tunables(self) -> dict[str, int]:
        optional = {
            name: st.sampled_from(values)
            for name, values in FIRST_TUNABLES.items()
            if name not in self.without
        }
        # no value on which time has an influence
        prune = {"stable_node_chains_prune_millisecs": st.sampled_from([0, 10**9])}
        return self.draw(st.fixed_dictionaries(prune, optional=optional))

    def step(self, op: str) -> None:
        process = self.process()
        match op:
            case "scan":
                self.scan()
            case "set":
                self.set()
            case "run":
                self.add("run", value=self.draw(st.sampled_from([0, 2, 2])))
            case "snapshot":
                self.add("snapshot", name="between", groups=self.draw(st.booleans()))
            case "spawn":
                self.spawn()
            case _ if process is None:
                self.spawn()
            case "map":
                self.map(process)
            case "fork" | "exit":
                child = {"child": self.name("c")} if op == "fork" else {}
                self.add(op, process=process, **child)
            case "prctl" | "advise":
                self.merge_any(process, op)
            case _:
                self.reach(op, process)


@st.composite
def random_workloads(
    draw: Any,
    *,
    huge: bool = False,
    most_steps: int = 40,
    without: Collection[str] = (),
    more: Sequence[str] = (),
    nodes: int = 1,
) -> Workload:
    """Workloads that end with two full passes and a snapshot with groups; none sets a tunable of
    `without`. `more` are further steps: "pin", and "prctl" and "advise" for merge_any; each
    region is bound to one of `nodes`."""
    maker = _Maker(draw, huge=huge, without=without, nodes=nodes)
    tunables = maker.first_tunables()
    if nodes > 1:
        tunables["merge_across_nodes"] = draw(st.sampled_from([0, 0, 1]))
    for _ in range(draw(st.integers(1, 3))):
        maker.spawn()
    for process in list(maker.footprint.processes):
        for _ in range(draw(st.integers(1, 3))):
            maker.map(process)
    # a list's length would be drawn to be short most of the time
    for _ in range(draw(st.integers(most_steps // 3, most_steps))):
        maker.step(draw(st.sampled_from([*_OPS, *more])))
    maker.add("scan", passes=2)
    maker.add("snapshot", name="end", groups=True)
    return Workload("random", NEWEST, tunables, tuple(maker.steps), nodes)


def sample_workloads(count: int, *, number: int = 0, **options: Any) -> list[Workload]:
    """So many different random workloads, always the same ones for the same `number`; options as
    above."""
    made: list[Workload] = []

    @seed(number)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(random_workloads(**options))
    def collect(workload: Workload) -> None:
        made.append(workload)

    collect()
    return made


def contents() -> st.SearchStrategy[Content]:
    """Every content that a file can name."""
    return st.one_of(
        st.just(Content("zero")),
        st.integers(0, 2**8 - 1).map(lambda number: Content("byte", number)),
        st.integers(0, 2**64 - 1).map(lambda number: Content("twin", number)),
        st.integers(0, 2**32 - 1).map(lambda number: Content("unique", number)),
    )
