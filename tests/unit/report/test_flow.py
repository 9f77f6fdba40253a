"""The first picture: every page is in one branch, and what is not known is not drawn."""

from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.report.flow import _IN_VAIN, Branch, Flow, flow_of
from ksmtrace.report.flow_svg import draw_flow
from ksmtrace.report.page import NARROW_FLOW
from support.pictures import picture
from support.story import story

COUNTS = st.integers(0, 10**9)


def document(**found):
    return {"analyzers": {"volatile": found}, "counters": {}}


@given(st.tuples(*[COUNTS] * 12))
def test_every_examination_and_every_page_passed_over_is_in_one_branch(counts):
    stable, unstable, changed, first, zero, freed, skipped, fork, held, huge, other, full = counts
    causes = {"fork_shared": fork, "held": held, "huge_page": huge, "other": other}
    full = min(full, unstable)
    unplaced = fork + held + huge + other + zero
    flow = flow_of(
        document(
            placed_stable_pages=stable,
            placed_unstable_pages=unstable,
            changed_pages=changed,
            first_look_pages=first,
            unplaced_pages=unplaced,
            freed_pages=freed,
            skipped_pages=skipped,
            examined_pages=stable + unstable + changed + first + unplaced + freed,
            causes={
                name: {"examined_pages": pages}
                for name, pages in {**causes, "chain_full": full}.items()
            },
        )
    )
    assert sorted(branch.pages for branch in flow.branches) == sorted(
        pages
        for pages in (
            *(stable, unstable - full, changed, first, zero, freed, skipped),
            *(fork, held, huge, other, full),
        )
        if pages
    )


def test_without_causes_no_page_is_said_to_be_a_zero_page():
    counts = {"placed_stable_pages": 5, "placed_unstable_pages": 3, "unplaced_pages": 7}
    others = dict.fromkeys(("changed_pages", "first_look_pages", "freed_pages", "skipped_pages"), 0)
    flow = flow_of(document(**counts, **others, examined_pages=15, causes=None))
    assert [(branch.name, branch.pages) for branch in flow.branches] == [
        ("merged", 5),
        ("unique", 3),
        ("not told", 7),
    ]


def test_it_is_of_what_the_analyzer_says():
    made = picture(story(), "volatile").document
    found = made["analyzers"]["volatile"]
    flow = flow_of(made)
    assert flow.pages == found["examined_pages"] + found["skipped_pages"] > 0
    by_name = {branch.name: branch.pages for branch in flow.branches}
    assert by_name["merged"] == found["placed_stable_pages"]
    assert by_name["changing"] == found["changed_pages"]


def test_where_examinations_are_not_seen_it_is_of_the_kernels_counters_and_says_so():
    counters = {
        f"pages_{name}": 10**at
        for at, name in enumerate(("shared", "sharing", "unshared", "volatile"))
    }
    flow = flow_of({"analyzers": {}, "counters": counters})
    assert [(b.name, b.pages) for b in flow.branches] == [
        ("saved", 10),
        ("copies kept", 1),
        ("unique", 100),
        ("neither merged nor unique", 1000),
    ]
    assert "counters" in flow.title
    assert "is not known" in flow.note


@pytest.mark.parametrize("missing", ["shared", "sharing", "unshared", "volatile"])
def test_what_is_not_known_is_left_out_with_the_reason(missing):
    names = {"shared", "sharing", "unshared", "volatile"} - {missing}
    flow = flow_of({"analyzers": {}, "counters": {f"pages_{name}": 5 for name in names}})
    assert flow.branches == ()
    assert "is not known" in flow.note


def test_no_page_is_said():
    flow = flow_of({"analyzers": {}, "counters": dict.fromkeys(COUNTERS, 0)})
    assert flow.branches == ()
    assert flow.note.startswith("KSM keeps track of no page")


COUNTERS = ("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile")


def test_on_a_phone_every_label_ends_within_the_drawing():
    names = [name for name, _ in _IN_VAIN.values()] + ["neither merged nor unique"]
    flow = Flow("t", tuple(Branch(name, 10**12, "#123456", "m") for name in names))
    svg = ElementTree.fromstring(draw_flow(flow, NARROW_FLOW, meanings=False))
    for label in svg.iter("{http://www.w3.org/2000/svg}text"):
        longest = max(len(part.text) for part in label)
        # Arial's bold letters are 0.6 of its size wide
        assert float(label.get("x")) + longest * 13 * 0.6 <= NARROW_FLOW


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=12), st.booleans())
def test_marks_lie_one_below_the_other_within_the_drawing(pages, meanings):
    flow = Flow("t", tuple(Branch(f"b{n}", p, "#123456", "m") for n, p in enumerate(pages)))
    root = ElementTree.fromstring(draw_flow(flow, 340, meanings=meanings))
    height = float(root.get("viewBox").split()[3])
    marks = [e for e in root if e.get("role") == "graphics-symbol"]
    assert [mark.get("aria-label").split(":")[0] for mark in marks] == [
        b.name for b in flow.branches
    ]
    labels = [float(e.get("y")) for e in root.iter() if e.tag.endswith("text")]
    assert all(after - before >= 20 for before, after in pairwise(labels))
    assert 0 < labels[0] <= labels[-1] < height
