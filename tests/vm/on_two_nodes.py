"""Run in a guest with two NUMA nodes: the engine's trees by node are the kernel's."""

import platform
from dataclasses import replace

import pytest

from ksmtrace.engine.variants import variant_of
from support.joined_workloads import join
from support.oracle import differences, missing_tunables, on_engine, on_kernel
from support.random_workloads import sample_workloads

COUNT = 25


@pytest.mark.guest
def test_random_workloads_on_two_nodes(clean_ksm):
    """With memory that is pinned, and mergeable by itself, too."""
    without = missing_tunables() | {"max_page_sharing"}
    workloads = sample_workloads(
        COUNT, number=5, most_steps=12, without=without, nodes=2, more=["pin", "advise"]
    )
    joined = join(workloads)
    variant = variant_of(platform.release())
    theirs = on_kernel(joined.workload)
    apart = differences(theirs, on_engine(joined.workload, variant))
    merged = {
        joined.number(snapshot["step"])
        for snapshot in theirs.snapshots
        if snapshot["counters"]["pages_shared"]
    }
    print(
        f"{platform.release()}: {COUNT} workloads, {len(apart)} differences, {len(merged)} merged"
    )
    numbers = {joined.number(int(line.split()[1])) for line in apart if line.startswith("step ")}
    assert apart == [], f"workloads {sorted(numbers)}"
    assert len(merged) > COUNT // 3
    one = on_engine(joined.workload, variant)
    together = [step for step in joined.workload.steps if step.op != "place"]
    other = on_engine(replace(joined.workload, steps=tuple(together)), variant)
    assert differences(one, other), "the nodes made no difference"
