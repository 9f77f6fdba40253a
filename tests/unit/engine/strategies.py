"""Hypothesis strategies of random workloads."""

from hypothesis import strategies as st

from ksmtrace.engine.variants import KERNELS, NEWEST
from ksmtrace.workload.content import Content
from ksmtrace.workload.file import Step, Workload
from ksmtrace.workload.footprint import Footprint

CONTENTS = [
    Content("zero"),
    Content("byte", 1),
    Content("byte", 2),
    Content("twin", 1 << 63),
    Content("unique", 7),
]
MOST_PAGES = 7
BATCHES = {"huge": [2000], "wide": [100, 700, 1500, 5000], "small": [1, 3, 5, 1000]}
"""Choices of pages_to_scan."""


def step(op, **arguments):
    """A step with the defaults that the parser fills in."""
    return Step(op, arguments)


@st.composite
def workloads(draw, variants=(NEWEST,), most_steps=25, *, huge=False, wide=False):
    """Workloads that every kernel can carry out, except for tunables that it refuses with EBUSY.

    With `huge` there is a huge page; `wide` regions have more than one block of their page table
    each.
    """
    variant = draw(st.sampled_from(variants))
    batch = draw(st.sampled_from(BATCHES["huge" if huge else "wide" if wide else "small"]))
    tunables = {"pages_to_scan": batch}
    tunables |= draw(_tunables(variant))
    footprint = Footprint()
    steps = draw(_huge_beginning() if huge else _wide_beginning() if wide else _beginning())
    for made in steps:
        footprint.apply(made.op, made.arguments)
    begun = len(steps)
    for number in range(begun, begun + draw(st.integers(5, most_steps))):
        made = draw(_step(footprint, number))
        footprint.apply(made.op, made.arguments)
        steps.append(made)
    steps.append(step("scan", passes=2))
    return Workload("random", variant, tunables, tuple(steps))


@st.composite
def _beginning(draw):
    """Two processes with mergeable memory, most of it alike, in their second or third pass."""
    steps = []
    for process in ("a", "b"):
        contents = draw(st.lists(st.sampled_from(CONTENTS), min_size=3, max_size=MOST_PAGES))
        reach = {"process": process, "region": "r"}
        steps += [step("spawn", process=process)]
        steps += [step("map", **reach, pages=len(contents), huge=False)]
        steps += [
            step("fill", **reach, first=index, pages=1, content=content)
            for index, content in enumerate(contents)
        ]
        steps += [step("mergeable", **reach, first=0, pages=len(contents))]
    return [*steps, step("scan", passes=draw(st.integers(1, 3)))]


@st.composite
def _wide_beginning(draw):
    """Two processes with two or three blocks of pages.

    Stretches of pages are equal to one another, or page by page to the other's.
    """
    steps = []
    for process in ("a", "b"):
        pages = draw(st.integers(513, 1100))
        reach = {"process": process, "region": "r"}
        steps += [step("spawn", process=process), step("map", **reach, pages=pages, huge=False)]
        for number in range(draw(st.integers(1, 6))):
            first = draw(st.integers(0, pages - 1)) if number else 0
            count = draw(st.integers(1, pages - first)) if number else pages
            content = draw(st.sampled_from([*CONTENTS, Content("unique", 8), Content("unique", 9)]))
            steps += [step("fill", **reach, first=first, pages=count, content=content)]
        first = draw(st.sampled_from([0, 0, 0, 500]))
        steps += [step("mergeable", **reach, first=first, pages=pages - first)]
    return [*steps, step("scan", passes=draw(st.integers(1, 3)))]


def _tunables(variant):
    known = {}
    if variant in KERNELS and KERNELS[variant].chains:
        known |= {
            "max_page_sharing": [2, 3, 256, 10**6],
            "use_zero_pages": [0, 1],
            "stable_node_chains_prune_millisecs": [0, 10**9],
        }
    if variant in KERNELS and "smart_scan" not in KERNELS[variant].absent_tunables:
        known["smart_scan"] = [0, 1]
    return st.fixed_dictionaries(
        {}, optional={name: st.sampled_from(values) for name, values in known.items()}
    )


@st.composite
def _huge_beginning(draw):
    """A process with a huge page and some more, and one with a page that may equal a part."""
    reach = {"process": "h", "region": "r"}
    steps = [
        step("spawn", process="h"),
        step("map", **reach, pages=520, huge=True),
        step("fill", **reach, first=0, pages=520, content=Content("unique", 7)),
    ]
    for content in draw(st.lists(st.sampled_from(CONTENTS), max_size=3)):
        first = draw(st.integers(0, 519))
        pages = draw(st.integers(1, min(3, 520 - first)))
        steps += [step("fill", **reach, first=first, pages=pages, content=content)]
    first, end = draw(st.sampled_from([(0, 520), (0, 512), (100, 400)]))
    steps += [step("mergeable", **reach, first=first, pages=end - first)]
    other = {"process": "a", "region": "r", "first": 0, "pages": 1}
    return [
        *steps,
        step("spawn", process="a"),
        step("map", process="a", region="r", pages=1, huge=False),
        step("fill", **other, content=draw(st.sampled_from(CONTENTS))),
        step("mergeable", **other),
        step("scan", passes=draw(st.integers(1, 3))),
    ]


@st.composite
def _step(draw, footprint, number):
    living = sorted(footprint.processes)
    if not living or (len(living) < 3 and draw(st.integers(0, 9)) == 0):
        return step("spawn", process=f"p{number}")
    process = draw(st.sampled_from(living))
    regions = {name: r for name, r in footprint.processes[process].items() if r.mapped}
    ops = ["map"] * (len(regions) < 2) + ["scan"] * 6 + ["run", "set", "exit"]
    ops += ["fork"] * (2 if len(living) < 4 else 0)
    if regions:
        ops += ["fill"] * 5 + ["mergeable"] * 2
        ops += ["poke", "poke", "read", "unmergeable", "discard", "discard", "unmap"]
    op = draw(st.sampled_from(ops))
    if op in ("map", "fork", "exit"):
        return _process_step(op, process, number, draw)
    if op in ("scan", "run", "set"):
        return _ksmd_step(op, draw)
    name = draw(st.sampled_from(sorted(regions)))
    start, end = draw(st.sampled_from(regions[name].mapped))
    first = draw(st.integers(start, end - 1))
    pages = draw(st.integers(1, end - first))
    arguments = {"process": process, "region": name, "first": first, "pages": pages}
    if op == "fill":
        arguments["content"] = draw(st.sampled_from(CONTENTS))
    elif op == "poke":
        arguments |= {"offset": draw(st.sampled_from([0, 4095])), "value": draw(st.integers(0, 2))}
    return step(op, **arguments)


def _process_step(op, process, number, draw):
    if op == "map":
        pages = draw(st.integers(1, MOST_PAGES))
        return step("map", process=process, region=f"r{number}", pages=pages, huge=False)
    if op == "fork":
        return step("fork", process=process, child=f"p{number}")
    return step("exit", process=process)


def _ksmd_step(op, draw):
    if op == "scan":
        return step(
            "scan", **{draw(st.sampled_from(["passes", "batches"])): draw(st.integers(1, 4))}
        )
    if op == "run":
        return step("run", value=draw(st.sampled_from([0, 2])))
    return step("set", tunables={"pages_to_scan": draw(st.sampled_from([1, 2, 3, 1000]))})
