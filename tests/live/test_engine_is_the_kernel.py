"""The same random workloads on this kernel and on the engine's variant of it: equal counters."""

import platform

import pytest

from conftest import cannot
from ksmtrace.engine.variants import KERNELS
from support.joined_workloads import assert_engine_is_this_kernel
from support.oracle import differences, missing_tunables, on_engine, on_kernel
from support.random_workloads import sample_workloads
from support.workload_steps import workload
from support.workload_text import to_toml

COUNT = 50
NUMBER = 11
"""Which random workloads; `python -m support.oracle COUNT --number NUMBER --variant NAME` runs the
same ones."""

LATE_TWIN = (
    *("spawn a", "map a r 10", "fill a r content=byte:97", "mergeable a r", "scan 2"),
    *("map a late 1", "fill a late content=byte:97", "mergeable a late", "scan 1", "scan 1"),
)
"""A page that comes when its equals are merged already: up to 6.10 it joins them in the next pass,
since 6.11 one later."""

SHARING_AND_VOLATILE = {
    "ksm-6.1": [(9, 0), (10, 0), (10, 0)],
    "ksm-6.12": [(9, 0), (9, 1), (10, 0)],
}
"""pages_sharing and pages_volatile after each scan of `LATE_TWIN`, by order of work."""


def own_variant():
    """The name of the engine's variant of this kernel; None where it has none."""
    major, minor = platform.release().split(".")[:2]
    name = f"ksm-{major}.{minor}"
    return name if name in KERNELS else None


def differing(workloads, variant):
    """What differs, by the number of the workload, with the workload itself; and how many merged
    pages."""
    found, merged = {}, 0
    for number, one in enumerate(workloads):
        theirs = on_kernel(one)
        apart = differences(theirs, on_engine(one, variant))
        if apart:
            found[number] = (apart, to_toml(one))
        merged += any(snapshot["counters"]["pages_shared"] for snapshot in theirs.snapshots)
    return found, merged


def sharing_and_volatile(outcome):
    return [
        (snapshot["counters"]["pages_sharing"], snapshot["counters"]["pages_volatile"])
        for snapshot in outcome.snapshots
    ]


def late_twin(variant):
    settings = {} if "smart_scan" in KERNELS[variant].absent_tunables else {"smart_scan": 0}
    return workload(*LATE_TWIN, **settings)


@pytest.fixture
def variant(request, clean_ksm):
    """The variant of the kernel that runs here."""
    name = own_variant()
    if name is None:
        cannot(request, "--require-live", f"the engine has no variant of {platform.release()}")
    return name


@pytest.mark.live
def test_random_workloads(variant):
    workloads = sample_workloads(COUNT, number=NUMBER, without=missing_tunables())
    found, merged = differing(workloads, variant)
    assert found == {}
    assert merged > COUNT // 2


@pytest.mark.live
def test_pins_and_memory_that_is_mergeable_by_itself(variant):
    more = ["pin", "pin", "advise", *(["prctl"] * 2 if KERNELS[variant].memory_merge else [])]
    workloads = sample_workloads(COUNT, number=NUMBER, without=missing_tunables(), more=more)
    found, merged = differing(workloads, variant)
    assert found == {}
    assert merged > COUNT // 2


@pytest.mark.live
def test_huge_regions(variant):
    """Few of them: each one is 512 pages."""
    workloads = sample_workloads(6, number=NUMBER, huge=True, without=missing_tunables())
    assert differing(workloads, variant)[0] == {}


@pytest.mark.live
def test_this_kernel_takes_its_side_of_6_11(variant):
    side = "ksm-6.12" if KERNELS[variant].checks_before_stable_tree else "ksm-6.1"
    outcome = on_kernel(late_twin(variant))
    assert sharing_and_volatile(outcome) == SHARING_AND_VOLATILE[side]
    assert differences(outcome, on_engine(late_twin(variant), variant)) == []


@pytest.mark.guest
def test_random_workloads_in_a_guest(clean_ksm):
    """Short ones, all in one run: under emulation it takes seconds to start a process."""
    variant = own_variant()
    if variant is None:
        print(f"the engine has no variant of {platform.release()}: nothing to compare with")
        return
    without = missing_tunables() | {"max_page_sharing"}
    workloads = sample_workloads(COUNT, number=NUMBER, most_steps=12, without=without)
    assert_engine_is_this_kernel(workloads, variant)


@pytest.mark.guest
def test_a_guests_kernel_takes_its_side_of_6_11(clean_ksm):
    variant = own_variant()
    if variant is None:
        print(f"the engine has no variant of {platform.release()}: nothing to compare with")
        return
    test_this_kernel_takes_its_side_of_6_11(variant)


def test_the_variants_part_where_6_11_changed_the_order():
    """The engine's two answers to the late twin; it needs no kernel."""
    for name, expected in SHARING_AND_VOLATILE.items():
        assert sharing_and_volatile(on_engine(late_twin(name), name)) == expected
