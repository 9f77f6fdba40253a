"""How the gauges move, pass by pass, as it was seen on kernels."""

import pytest
from unit.engine.machines import before, chains, gauges, machine, region, repeated, since

from ksmtrace.engine.variants import KERNELS

ALL = pytest.mark.parametrize("variant", KERNELS)
WITH_CHAINS = pytest.mark.parametrize(
    "variant", [name for name, variant in KERNELS.items() if variant.chains]
)
COUNTING_ZERO_PAGES = pytest.mark.parametrize("variant", since(6, 6))

A, U = ord("a"), ord("u")


def after_pass(engine, passes=1):
    assert engine.scan_passes(passes) == passes
    return gauges(engine)


@pytest.fixture(params=list(KERNELS))
def twelve(request):
    """10 equal pages, 1 unique, 1 of zeroes, before the first pass."""
    engine = machine(request.param)
    region(engine, "p", "r", [A] * 10 + [U, 0])
    return engine


@pytest.fixture
def merged(twelve):
    """The same after 2 passes."""
    twelve.scan_passes(2)
    return twelve


def test_first_pass_only_notes_checksums(twelve):
    assert after_pass(twelve) == (0, 0, 0, 12)


def test_second_pass_merges_and_then_nothing_moves(twelve):
    twelve.scan_passes(1)
    assert [after_pass(twelve) for _ in range(3)] == [(1, 9, 2, 0)] * 3


def test_a_write_shows_when_ksmd_comes(merged):
    merged.poke("p", "r", 0, 1, 0, ord("b"))
    assert gauges(merged) == (1, 9, 2, 0)
    assert merged.ksm.memory.cow_ksm == 1
    assert after_pass(merged) == (1, 8, 2, 1)
    assert after_pass(merged) == (1, 8, 3, 0)


def test_a_late_twin_joins_in_one_pass_before_6_11_and_in_two_since(merged):
    region(merged, "p", "late", [A])
    early = merged.ksm.variant.checks_before_stable_tree
    assert after_pass(merged) == ((1, 9, 2, 1) if early else (1, 10, 2, 0))
    assert after_pass(merged) == (1, 10, 2, 0)
    assert early == (merged.ksm.variant.name in since(6, 11))


def test_a_fork_is_adopted_and_its_other_pages_stay_volatile(merged):
    merged.fork("p", "child")
    assert gauges(merged) == (1, 9, 2, 0)
    assert [after_pass(merged) for _ in range(3)] == [(1, 19, 2, 2)] * 3


def test_a_dead_child_goes_with_the_next_pass(merged):
    merged.fork("p", "child")
    merged.scan_passes(1)
    merged.exit("child")
    assert gauges(merged) == (1, 19, 2, 2)
    assert after_pass(merged) == (1, 9, 2, 0)


def test_unmapping_everything_ends_the_scan(merged):
    merged.unmap("p", "r", 0, 12)
    assert gauges(merged) == (1, 9, 2, 0)
    assert after_pass(merged) == (0, 0, 0, 0)
    assert merged.scan_passes(1) == 0


@ALL
def test_run_2_empties_all_gauges_at_once_and_keeps_registrations(variant):
    engine = machine(variant)
    region(engine, "p", "r", [A] * 4)
    engine.scan_passes(3)
    engine.write_run(2)
    assert gauges(engine) == (0, 0, 0, 0)
    assert engine.counters()["full_scans"] == 0
    assert after_pass(engine) == (0, 0, 0, 4)
    assert after_pass(engine) == (1, 3, 0, 0)


@ALL
def test_writing_2_twice_does_nothing_the_second_time(variant):
    engine = machine(variant)
    region(engine, "p", "r", [A] * 2)
    engine.write_run(2)
    engine.fork("p", "child")
    before = engine.ksm.scan.slot
    engine.write_run(2)
    assert engine.ksm.scan.slot is before


@WITH_CHAINS
@pytest.mark.parametrize(
    ("limit", "expected", "chain"), [(2, (3, 3, 1, 0), (1, 3)), (3, (2, 4, 1, 0), (1, 2))]
)
def test_max_page_sharing_of_seven_equal_pages(variant, limit, expected, chain):
    engine = machine(variant, max_page_sharing=limit)
    region(engine, "p", "r", [A] * 7)
    engine.scan_passes(1)
    assert [(after_pass(engine), chains(engine)) for _ in range(3)] == [(expected, chain)] * 3


def test_before_4_13_any_number_shares_a_page():
    engine = machine("ksm-4.4")
    region(engine, "p", "r", [A] * 300)
    assert after_pass(engine, 2) == (1, 299, 0, 0)


@WITH_CHAINS
def test_a_chain_outlives_its_dups(variant):
    engine = machine(variant, max_page_sharing=2)
    region(engine, "p", "r", [A] * 7)
    engine.scan_passes(2)
    engine.unmap("p", "r", 0, 7)
    assert after_pass(engine) == (0, 0, 0, 0)
    assert chains(engine) == (1, 0)


@COUNTING_ZERO_PAGES
def test_zero_pages_are_volatile_for_one_pass_more(variant):
    engine = machine(variant, use_zero_pages=1)
    region(engine, "p", "r", [0] * 5)

    def seen():
        return engine.counters()["ksm_zero_pages"], after_pass(engine)[3]

    assert after_pass(engine) == (0, 0, 0, 5)
    assert (after_pass(engine), engine.counters()["ksm_zero_pages"]) == ((0, 0, 0, 5), 5)
    assert (after_pass(engine), engine.counters()["ksm_zero_pages"]) == ((0, 0, 0, 0), 5)
    engine.poke("p", "r", 0, 1, 0, 1)
    assert engine.counters()["ksm_zero_pages"] == 4


@pytest.mark.parametrize("variant", sorted(set(since(4, 12)) & set(before(6, 6))))
def test_zero_pages_are_invisible_before_6_6(variant):
    engine = machine(variant, use_zero_pages=1)
    region(engine, "p", "r", [0] * 5)
    assert after_pass(engine, 3) == (0, 0, 0, 0)
    assert engine.counters()["ksm_zero_pages"] is None
    assert all(
        frame is engine.ksm.memory.zero_page for frame in engine.processes["p"].mm.ptes.values()
    )


@ALL
def test_a_page_rewritten_before_each_pass_stays_volatile(variant):
    engine = machine(variant)
    region(engine, "p", "r", [A])
    for byte in range(10):
        engine.poke("p", "r", 0, 1, 0, byte)
        assert after_pass(engine) == (0, 0, 0, 1)


@COUNTING_ZERO_PAGES
def test_smart_scan_finds_a_late_twin_later(variant):
    passes = {}
    for smart_scan in (0, 1):
        engine = machine(variant, smart_scan=smart_scan)
        region(engine, "p", "old", [A])
        engine.scan_passes(10)
        region(engine, "p", "new", [A])
        seen = [after_pass(engine)[:2] for _ in range(6)]
        passes[smart_scan] = seen.index((1, 1)) + 1
    assert passes == {0: 2, 1: 4}


@COUNTING_ZERO_PAGES
def test_smart_scan_looks_at_a_lonely_page_in_these_passes(variant):
    engine = machine(variant, smart_scan=1)
    region(engine, "p", "r", [A])
    looked = []
    for number in range(1, 61):
        before = engine.ksm.counters.pages_scanned
        engine.scan_passes(1)
        if engine.ksm.counters.pages_scanned > before:
            looked.append(number)
    assert looked == [1, 2, 3, 4, 6, 9, 14, 23, 32, 41, 50, 59]
    assert engine.counters()["pages_skipped"] == 48


def test_a_skipped_page_is_volatile_and_no_partner():
    engine = machine(smart_scan=1)
    region(engine, "p", "r", [A])
    assert after_pass(engine, 4) == (0, 0, 1, 0)
    assert after_pass(engine) == (0, 0, 0, 1)


@WITH_CHAINS
def test_a_huge_page_of_equal_bytes_is_split_in_the_second_pass(variant):
    engine = machine(variant)
    engine.spawn("p")
    engine.map("p", "r", 512, huge=True)
    engine.fill("p", "r", 0, 512, repeated(A))
    engine.mergeable("p", "r", 0, 512)
    mm = engine.processes["p"].mm
    assert after_pass(engine) == (0, 0, 0, 512)
    assert all(frame.compound is not None for frame in mm.ptes.values())
    assert (after_pass(engine), chains(engine)) == ((2, 509, 0, 1), (1, 2))
    assert all(frame.compound is None for frame in mm.ptes.values())
    assert after_pass(engine) == (2, 510, 0, 0)


def test_before_4_5_a_huge_page_is_merged_within_itself_at_once():
    engine = machine("ksm-4.4")
    engine.spawn("p")
    engine.map("p", "r", 512, huge=True)
    engine.fill("p", "r", 0, 512, repeated(A))
    engine.mergeable("p", "r", 0, 512)
    assert after_pass(engine, 2) == (1, 511, 0, 0)


@ALL
def test_items_leave_and_join_the_unstable_tree_within_a_pass(variant):
    engine = machine(variant, pages_to_scan=1)
    region(engine, "p", "r", [1, 2, 3])
    engine.scan_passes(2)
    assert gauges(engine) == (0, 0, 3, 0)
    seen = []
    for _ in range(3):
        engine.scan_batches(1)
        seen.append(gauges(engine))
    assert seen == [(0, 0, 3, 0)] * 3
    engine.poke("p", "r", 0, 3, 0, 9)
    engine.scan_batches(2)
    assert gauges(engine) == (0, 0, 2, 1)


@COUNTING_ZERO_PAGES
def test_profit_of_ten_equal_pages(variant):
    engine = machine(variant)
    region(engine, "p", "r", [A] * 10 + [U, 0])
    engine.scan_passes(2)
    assert engine.counters()["general_profit"] == 9 * 4096 - 12 * 64


@ALL
def test_counters_that_came_later_are_null(variant):
    counters = machine(variant).counters()
    absent = {name for name, value in counters.items() if value is None}
    later = {"pages_scanned", "pages_skipped", "ksm_zero_pages", "general_profit"}
    expected = {
        "ksm-4.4": later | {"stable_node_chains", "stable_node_dups"},
        "ksm-5.10": later,
        "ksm-6.1": later,
    }
    assert absent == expected.get(variant, set())
