"""Run in a guest with two NUMA nodes: the engine's trees by node are the kernel's."""

import platform
from dataclasses import replace

import pytest

from ksmtrace.engine.variants import variant_of
from support.joined_workloads import assert_engine_is_this_kernel
from support.oracle import differences, missing_tunables, on_engine
from support.random_workloads import sample_workloads

COUNT = 25


@pytest.mark.guest
def test_random_workloads_on_two_nodes(clean_ksm):
    """With memory that is pinned, and mergeable by itself, too."""
    without = missing_tunables() | {"max_page_sharing"}
    workloads = sample_workloads(
        COUNT, number=5, most_steps=12, without=without, nodes=2, more=["pin", "advise"]
    )
    variant = variant_of(platform.release())
    joined = assert_engine_is_this_kernel(workloads, variant)
    one = on_engine(joined.workload, variant)
    together = [step for step in joined.workload.steps if step.op != "place"]
    other = on_engine(replace(joined.workload, steps=tuple(together)), variant)
    assert differences(one, other), "the nodes made no difference"
