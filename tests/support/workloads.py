"""Workloads for a real kernel, stepped pass by pass."""

from ksmtrace.workload.guard import KsmGuard
from ksmtrace.workload.processes import Processes

PINNED = 8


def everything(ksm: KsmGuard, processes: Processes) -> int:
    """Equal, unique, volatile, zero, huge and pinned pages; COW breaks, forks, exits, unmaps,
    discards, chains, zero merges; smart scan where it exists (it is on by default).

    Ends with ksmd stopped at the end of a pass, with pages in every state. Returns the number of
    passes.
    """
    do = processes.do
    for index, name in enumerate(("alpha", "beta", "gamma")):
        processes.spawn(name)
        for region, pages, content in (
            ("equal", 211, "twin:1"),
            ("pairs", 97, "unique:77"),
            ("unique", 151, f"unique:{index + 1}"),
            ("zero", 23, "zero"),
            ("volatile", 31, f"unique:{index + 101}"),
        ):
            do(name, "map", region=region, pages=pages)
            do(name, "fill", region=region, content=content)
            do(name, "mergeable", region=region)

    do("alpha", "map", region="pinned", pages=PINNED)
    do("alpha", "fill", region="pinned", content="unique:55")
    do("alpha", "pin", region="pinned")
    do("alpha", "mergeable", region="pinned")
    do("beta", "map", region="twins of pinned", pages=PINNED)
    do("beta", "fill", region="twins of pinned", content="unique:55")
    do("beta", "mergeable", region="twins of pinned")
    for name in ("alpha", "beta"):
        do(name, "map", region="huge", pages=512, huge=True)
        do(name, "fill", region="huge", content="unique:300")
        do(name, "mergeable", region="huge")

    def passes(count: int) -> None:
        for _ in range(count):
            for name in ("alpha", "beta", "gamma"):
                if name in processes.pids:
                    do(name, "poke", region="volatile", offset=64, value=(passes.beat % 200) + 1)
            passes.beat += 1
            ksm.scan()

    passes.beat = 0
    passes(4)
    do("alpha", "poke", region="equal", first=10, pages=40, offset=0, value=9)  # COW breaks
    do("beta", "poke", region="pairs", offset=0, value=3)
    passes(4)
    do("alpha", "fill", region="equal", first=10, pages=20, content="twin:1")  # late twins
    do("gamma", "discard", region="equal", first=0, pages=50)
    do("gamma", "unmap", region="unique", first=0, pages=60)
    passes(4)
    do("beta", "fork", child="beta-child")
    passes(3)
    do("beta-child", "poke", region="equal", first=0, pages=30, offset=5, value=5)
    passes(3)
    processes.exit("beta-child")
    passes(3)
    do("alpha", "unmergeable", region="pairs")
    passes(2)
    do("alpha", "mergeable", region="pairs")
    passes(3)
    processes.exit("gamma")
    passes(3)
    ksm.write("run", 2)
    ksm.write("run", 0)
    ksm.write("max_page_sharing", 8)
    ksm.write("use_zero_pages", 1)
    passes(5)
    do("alpha", "poke", region="zero", first=0, pages=11, offset=9, value=1)
    passes(2)
    ksm.write("use_zero_pages", 0)
    do("beta", "poke", region="equal", first=50, pages=70, offset=1, value=1)
    do("alpha", "unmap", region="equal", first=150, pages=40)
    passes(4)
    return int(passes.beat)
