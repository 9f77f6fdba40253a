"""Huge pages: how they come, what a fork and a write make of them, and how ksmd splits them."""

import pytest
from unit.engine.machines import gauges, machine, region, repeated, since, unique, version

from ksmtrace.engine.variants import KERNELS, NEWEST

ALL = pytest.mark.parametrize("variant", KERNELS)
N = 512


def huge(variant=NEWEST, *, pages=N, **tunables):
    """An engine whose process p has a region for huge pages."""
    engine = machine(variant, **tunables)
    engine.spawn("p")
    engine.map("p", "r", pages, huge=True)
    return engine


def frames(engine, process="p"):
    return [frame for _, frame in sorted(engine.processes[process].mm.ptes.items())]


def compounds(engine, process="p"):
    return {frame.compound for frame in frames(engine, process)}


@ALL
def test_one_touch_brings_the_whole_block(variant):
    engine = huge(variant, pages=N + 5)
    engine.poke("p", "r", 3, 1, 0, 1)
    engine.poke("p", "r", N + 1, 1, 0, 1)
    assert len(frames(engine)) == N + 1
    assert sum(frame.compound is not None for frame in frames(engine)) == N


@ALL
def test_a_block_cut_by_a_mapping_gets_single_pages(variant):
    engine = huge(variant)
    engine.mergeable("p", "r", 0, 100)
    engine.poke("p", "r", 0, 1, 0, 1)
    assert len(frames(engine)) == 1
    engine.mergeable("p", "r", 100, N - 100)
    engine.poke("p", "r", 1, 1, 0, 1)
    assert len(frames(engine)) == 2  # there are single entries already


@ALL
def test_a_write_to_the_huge_zero_page(variant):
    pages = 1 if (5, 8) <= version(variant) < (6, 13) else N
    engine = huge(variant)
    engine.read("p", "r", 0, 1)
    assert len(frames(engine)) == N
    engine.mergeable("p", "r", 0, N)
    engine.scan_passes(1)
    assert gauges(engine) == (0, 0, 0, 0)
    engine.poke("p", "r", 9, 1, 0, 1)
    assert sum(frame.anon for frame in frames(engine)) == pages


@ALL
def test_only_pages_with_a_partner_are_reason_to_split(variant):
    engine = huge(variant)
    engine.fill("p", "r", 0, N, unique(5))
    engine.mergeable("p", "r", 0, N)
    engine.scan_passes(3)
    assert gauges(engine) == (0, 0, N, 0)
    assert len(compounds(engine)) == 1
    assert None not in compounds(engine)
    region(engine, "q", "r", [1])
    engine.fill("q", "r", 0, 1, lambda _: unique(5)(7))
    engine.scan_passes(2)
    assert gauges(engine) == (1, 1, N - 1, 0)
    assert compounds(engine) == {None}


@ALL
def test_a_split_maps_empty_parts_to_the_zero_page_from_6_12(variant):
    zero_left = 0 if version(variant) >= (6, 12) else 511
    engine = huge(variant)
    engine.fill("p", "r", 0, 1, repeated(7))
    engine.mergeable("p", "r", 0, 1)
    region(engine, "q", "r", [7])
    engine.scan_passes(2)
    assert gauges(engine) == (1, 1, 0, 0)
    empty = [f for f in frames(engine) if f.anon and f.data is engine.ksm.memory.pool.zero]
    assert len(empty) == zero_left
    assert len(frames(engine)) == N
    assert engine.ksm.memory.ksm_zero_pages == 0


@pytest.mark.parametrize("variant", since(6, 12))
def test_an_empty_candidate_is_lost_to_its_own_split(variant):
    engine = huge(variant, use_zero_pages=1)
    engine.fill("p", "r", 0, N, unique(5))
    engine.fill("p", "r", 5, 1, repeated(0))
    engine.mergeable("p", "r", 0, N)
    engine.scan_passes(2)
    # The attempt to merge page 5 split the huge page, which made 5 the plain zero page: nothing is
    # left to write-protect.
    assert not frames(engine)[5].anon
    assert engine.counters()["ksm_zero_pages"] == 0
    assert gauges(engine) == (0, 0, N, 0)
    engine.scan_passes(1)
    assert gauges(engine) == (0, 0, N - 1, 0)


@ALL
def test_a_huge_page_shared_by_fork_is_split_for_both(variant):
    engine = huge(variant)
    engine.fill("p", "r", 0, N, unique(5))
    engine.mergeable("p", "r", 0, N)
    engine.fork("p", "child")
    region(engine, "q", "r", [1])
    engine.fill("q", "r", 0, 1, lambda _: unique(5)(7))
    engine.scan_passes(2)
    assert compounds(engine) == compounds(engine, "child") == {None}
    # q's page became the KSM page; it took the place of p's, and child's stayed as it was.
    assert engine.groups() == [["p/r/7", "q/r/0"]]


@ALL
def test_a_write_after_a_fork_copies_one_page_since_5_8(variant):
    copied = 1 if version(variant) >= (5, 8) else N
    engine = huge(variant)
    engine.fill("p", "r", 0, N, repeated(7))
    engine.fork("p", "child")
    before = set(frames(engine))
    engine.poke("p", "r", 4, 1, 0, 1)
    assert len(set(frames(engine)) - before) == copied
    assert set(frames(engine, "child")) == before


@pytest.mark.parametrize("variant", since(5, 8))
def test_parts_of_a_huge_page_can_be_taken_over_again_since_6_15(variant):
    single = version(variant) < (6, 15)
    engine = huge(variant)
    engine.fill("p", "r", 0, N, repeated(7))
    engine.fork("p", "child")
    engine.poke("p", "r", 4, 1, 0, 1)
    engine.exit("child")
    engine.poke("p", "r", 5, 1, 0, 1)
    assert (frames(engine)[5].compound is None) == single


@ALL
def test_a_whole_huge_page_is_taken_over_when_the_fork_is_gone(variant):
    engine = huge(variant)
    engine.fill("p", "r", 0, N, repeated(7))
    engine.fork("p", "child")
    engine.exit("child")
    before = frames(engine)
    engine.poke("p", "r", 5, 1, 0, 1)
    assert frames(engine) == before
    assert all(frame.exclusive for frame in before)


@ALL
def test_discarding_a_split_block_makes_room_for_a_huge_page_since_6_14(variant):
    pages = N if version(variant) >= (6, 14) else 1
    engine = huge(variant)
    engine.fill("p", "r", 0, N, repeated(7))
    engine.discard("p", "r", 0, 1)
    assert len(frames(engine)) == N - 1
    engine.discard("p", "r", 0, N)
    engine.poke("p", "r", 0, 1, 0, 1)
    assert len(frames(engine)) == pages


@ALL
def test_discarding_a_huge_page_whole_makes_room_always(variant):
    engine = huge(variant)
    engine.fill("p", "r", 0, N, repeated(7))
    engine.discard("p", "r", 0, N)
    engine.poke("p", "r", 0, 1, 0, 1)
    assert len(frames(engine)) == N


@pytest.mark.parametrize("variant", since(4, 5))
def test_a_pinned_huge_page_is_not_split(variant):
    engine = huge(variant)
    engine.fill("p", "r", 0, N, repeated(7))
    engine.mergeable("p", "r", 0, N)
    engine.pin("p", "r", 300)
    engine.scan_passes(4)
    assert None not in compounds(engine)
    assert gauges(engine)[:2] == (0, 0)
