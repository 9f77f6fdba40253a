"""The memory that a workload's steps leave mapped, against sets of pages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.workload.footprint import Footprint, Region
from support.random_workloads import random_workloads

RANGES = st.tuples(st.integers(0, 19), st.integers(1, 20)).map(
    lambda at: (at[0], min(at[1], 20 - at[0]))
)


@given(st.lists(RANGES, max_size=6), RANGES)
def test_a_region_is_a_set_of_pages(unmapped, asked):
    region, pages = Region(20, ((0, 20),)), set(range(20))
    for first, count in unmapped:
        region = region.without(first, count)
        pages -= set(range(first, first + count))
    assert {page for start, end in region.mapped for page in range(start, end)} == pages
    assert region.size == len(pages)
    first, count = asked
    assert region.covers(first, count) == (set(range(first, first + count)) <= pages)


@given(random_workloads())
def test_most_pages_and_processes(workload):
    """The most that all processes have mapped at a time, counted page by page, and the most of
    them that live at a time."""
    footprint, mapped, most = Footprint(), set(), 0
    living, most_living = set(), 0
    for step in workload.steps:
        footprint.apply(step.op, dict(step.arguments))
        of = step.arguments
        process, region = of.get("process"), of.get("region")
        living |= {of["child"] if step.op == "fork" else process} - {None}
        living -= {process} if step.op == "exit" else set()
        most_living = max(most_living, len(living))
        match step.op:
            case "map":
                mapped |= {(process, region, page) for page in range(of["pages"])}
            case "unmap":
                mapped -= {
                    (process, region, page)
                    for page in range(of["first"], of["first"] + of["pages"])
                }
            case "exit":
                mapped = {place for place in mapped if place[0] != process}
            case "fork":
                mapped |= {(of["child"], *place[1:]) for place in mapped if place[0] == process}
        most = max(most, len(mapped))
    assert footprint.most_pages == most
    assert footprint.most_processes == most_living


def test_pages_are_filled_in():
    footprint = Footprint()
    footprint.apply("spawn", {"process": "a"})
    footprint.apply("map", {"process": "a", "region": "r", "pages": 10})
    arguments = {"process": "a", "region": "r", "first": 3}
    footprint.apply("read", arguments)
    assert arguments["pages"] == 7


def test_processes_that_follow_each_other_need_the_room_of_one():
    footprint = Footprint()
    for number in range(20):
        footprint.apply("spawn", {"process": f"p{number}"})
        footprint.apply("exit", {"process": f"p{number}"})
    assert footprint.most_processes == 1


def test_a_child_has_its_own_regions():
    footprint = Footprint()
    footprint.apply("spawn", {"process": "a"})
    footprint.apply("map", {"process": "a", "region": "r", "pages": 10})
    footprint.apply("fork", {"process": "a", "child": "b"})
    footprint.apply("unmap", {"process": "a", "region": "r", "first": 0})
    footprint.apply("read", {"process": "b", "region": "r", "first": 0})
    with pytest.raises(ValueError, match="not all mapped"):
        footprint.apply("read", {"process": "a", "region": "r", "first": 0})
    assert footprint.most_pages == 20
