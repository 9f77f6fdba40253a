"""Joins many workloads into one, for kernels on which a process takes seconds to start, and
compares this kernel's run of it with the engine's."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass

from ksmtrace.workload.file import Step, Workload
from ksmtrace.workload.footprint import Footprint
from support.oracle import differences, on_engine, on_kernel

_MOTHER = "mother"
_LIMITS = (2, 3, 5, 256)


@dataclass(frozen=True)
class Joined:
    """The one workload, and at which of its steps each of the others begins."""

    workload: Workload
    begins: tuple[int, ...]

    def number(self, step: int) -> int:
        """Which of the workloads a step belongs to."""
        return sum(begin <= step for begin in self.begins) - 1


def join(workloads: Sequence[Workload]) -> Joined:
    """Run them one after the other, KSM emptied in between.

    A fork of a process without memory is as good as a new one. Tunables are set, not initial: none
    may be refused, so the workloads must be made without max_page_sharing, which each gets from
    here.
    """
    first = workloads[0]
    steps = [Step("spawn", {"process": _MOTHER})]
    begins = []
    for number, one in enumerate(workloads):
        begins.append(len(steps))
        limit = {"max_page_sharing": _LIMITS[number % len(_LIMITS)]}
        reset = {"pages_to_scan": 100} | ({"smart_scan": 0} if "smart_scan" in one.tunables else {})
        steps.append(Step("set", {"tunables": {**reset, **one.tunables, **limit}}))
        footprint = Footprint()
        for step in one.steps:
            footprint.apply(step.op, dict(step.arguments))
            steps.append(_renamed(step, f"w{number}"))
        steps += [Step("exit", {"process": f"w{number}{name}"}) for name in footprint.processes]
        steps += [Step("run", {"value": 2}), Step("run", {"value": 0})]
    steps.append(Step("exit", {"process": _MOTHER}))
    nodes = max(one.nodes for one in workloads)
    return Joined(Workload("joined", first.variant, {}, tuple(steps), nodes), tuple(begins))


def _renamed(step: Step, prefix: str) -> Step:
    if step.op == "spawn":
        return Step("fork", {"process": _MOTHER, "child": prefix + step.arguments["process"]})
    names = {
        key: prefix + step.arguments[key] for key in ("process", "child") if key in step.arguments
    }
    return Step(step.op, {**step.arguments, **names})


def assert_engine_is_this_kernel(workloads: Sequence[Workload], variant: str) -> Joined:
    """Run them joined on this kernel and on the engine: no difference, and many have merged."""
    joined = join(workloads)
    theirs = on_kernel(joined.workload)
    apart = differences(theirs, on_engine(joined.workload, variant))
    merged = {
        joined.number(snapshot["step"])
        for snapshot in theirs.snapshots
        if snapshot["counters"]["pages_shared"]
    }
    print(
        f"{platform.release()} and {variant}: {len(workloads)} workloads, {len(apart)} "
        f"differences, {len(merged)} merged pages"
    )
    assert theirs.refused is None
    numbers = {joined.number(int(line.split()[1])) for line in apart if line.startswith("step ")}
    assert apart == [], f"workloads {sorted(numbers)}"
    assert len(merged) > len(workloads) // 3
    return joined
