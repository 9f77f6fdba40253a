"""UKSM: the cases of its description, with a page time at which rung 0 has two visits a wake-up.

A wake-up ends with new slots entering, so that the first of them visits nothing.
"""

import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.engine.machines import region, repeated, unique

from ksmtrace.engine.engine import Engine
from ksmtrace.engine.uksm.ladder import cal_dedup_ratio, judge_slot

TWO_VISITS = 100_000
NS_A_WAKE_UP = 200_400
"""What rung 0 of the governor `full` has of each 100 ms."""


def uksm(*contents, **tunables):
    """An engine with a process p whose pages repeat these bytes."""
    engine = Engine("uksm", {"page_time_ns": TWO_VISITS, **tunables})
    region(engine, "p", "r", contents, mergeable=False)
    return engine


def one_pass_a_wake_up(*contents, **tunables):
    """As `uksm`, with as many visits a wake-up as there are pages; they have been let in."""
    engine = uksm(*contents, page_time_ns=NS_A_WAKE_UP // len(contents), **tunables)
    engine.scan_batches(1)
    return engine


def gauges(engine):
    counters = engine.counters()
    return tuple(counters[f"pages_{name}"] for name in ("shared", "sharing", "unshared"))


def zero_pages(engine):
    return engine.counters()["ksm_zero_pages"]


def slots(engine):
    return [slot for rung in engine.scanner.uksm.rungs for slot in rung.slots()]


def visits(engine):
    return sum(slot.pages_scanned for slot in slots(engine))


seeds = st.integers(0, 2**63 - 1)


@given(seeds)
def test_two_equal_pages_merge_at_their_second_visit(seed):
    engine = uksm(7, 7, seed=seed)
    seen = []
    for _ in range(4):
        engine.scan_batches(1)
        seen.append(gauges(engine))
    assert seen == [(0, 0, 0), (0, 0, 2), (1, 1, 0), (1, 1, 0)]


@given(seeds)
def test_the_first_of_many_equal_pages_joins_a_pass_later(seed):
    for pages, first, second in ((3, (1, 1, 1), (1, 2, 0)), (4, (1, 2, 1), (1, 3, 0))):
        engine = one_pass_a_wake_up(*[7] * pages, seed=seed)
        engine.scan_batches(1)
        assert gauges(engine) == first
        engine.scan_batches(1)
        assert gauges(engine) == second


def test_distinct_pages_wait_pass_after_pass():
    engine = one_pass_a_wake_up(*range(1, 11))
    for passes in range(1, 5):
        engine.scan_batches(1)
        assert gauges(engine) == (0, 0, 10)
        assert engine.counters()["pages_scanned"] == 10 * passes


def test_zero_pages():
    engine = one_pass_a_wake_up(0, 0, 0)
    for _ in range(3):
        engine.scan_batches(1)
        assert (zero_pages(engine), gauges(engine)) == (3, (0, 0, 0))
        assert engine.counters()["pages_scanned"] == 3
    engine.fork("p", "child")
    assert zero_pages(engine) == 6
    (slot,) = slots(engine)
    engine.poke("p", "r", 1, 1, 0, 1)
    assert (zero_pages(engine), slot.pages_cowed) == (5, 1)


def test_a_slot_of_one_page_behind_another_is_passed_over():
    """At step 1 each slot but the first of its rung is entered at its second page."""
    engine = uksm(7, 8)
    region(engine, "p", "s", [9], mergeable=False)
    region(engine, "p", "t", [1, 2, 3], mergeable=False)
    engine.scan_batches(20)
    assert [slot.is_scanned for slot in slots(engine)] == [True, False, True]
    engine.unmap("p", "r", 0, 2)
    engine.scan_batches(20)
    assert [slot.is_scanned for slot in slots(engine)] == [True, True]


def test_untouched_and_read_pages_are_passed_over():
    engine = uksm(7, None, None)
    engine.read("p", "r", 1, 1)
    engine.scan_batches(5)
    assert (zero_pages(engine), gauges(engine)) == (0, (0, 0, 1))


def test_a_page_with_a_byte_that_is_not_sampled_is_no_zero_page():
    engine = one_pass_a_wake_up(0)
    hashes = engine.scanner.uksm.hashes
    engine.poke("p", "r", 0, 1, 4 * hashes.permutation[hashes.strength] + 2, 1)
    engine.scan_batches(1)
    assert (zero_pages(engine), gauges(engine)) == (0, (0, 0, 1))
    engine.poke("p", "r", 0, 1, 4 * hashes.permutation[hashes.strength] + 2, 0)
    engine.scan_batches(1)
    assert (zero_pages(engine), gauges(engine)) == (1, (0, 0, 0))


def test_fork_and_exit_are_found_out_later():
    engine = uksm(7, 7)
    engine.scan_batches(3)
    engine.fork("p", "child")
    assert gauges(engine) == (1, 1, 0)
    engine.scan_batches(1)
    child = slots(engine)[-1]
    while not child.is_scanned:
        assert gauges(engine) == (1, 1, 0)
        engine.scan_batches(1)
    assert gauges(engine) == (1, 3, 0)
    engine.exit("child")
    assert gauges(engine) == (1, 3, 0)
    engine.scan_batches(1)
    assert gauges(engine) == (1, 1, 0)


def test_a_write_is_found_out_at_the_next_visit():
    engine = uksm(7, 7)
    engine.scan_batches(3)
    engine.poke("p", "r", 0, 1, 0, 8)
    assert gauges(engine) == (1, 1, 0)
    engine.scan_batches(1)
    assert gauges(engine) == (1, 0, 1)


def test_a_vma_that_is_cut_loses_all_items_and_has_two_slots():
    engine = one_pass_a_wake_up(7, 7, 7, 7, 7)
    engine.scan_batches(2)
    assert gauges(engine) == (1, 4, 0)
    (old,) = slots(engine)
    engine.unmap("p", "r", 2, 1)
    assert gauges(engine) == (1, 4, 0)
    engine.scan_batches(1)
    assert gauges(engine) == (0, 0, 0)
    assert [slot.pages for slot in slots(engine)] == [2, 2]
    assert old not in slots(engine)
    engine.scan_batches(1)
    assert gauges(engine) == (1, 3, 0)
    assert len(engine.groups()) == 1


def test_nothing_is_ever_unmerged():
    engine = uksm(7, 7)
    engine.scan_batches(3)
    engine.write_run(0)
    assert gauges(engine) == (1, 1, 0)
    with pytest.raises(OSError, match="EINVAL") as refused:
        engine.write_run(2)
    assert refused.value.errno == errno.EINVAL
    assert len(engine.groups()) == 1


def large(content):
    engine = Engine("uksm")
    engine.spawn("p")
    engine.map("p", "r", 12_000)
    engine.fill("p", "r", 0, 12_000, content)
    engine.scan_batches(1)
    return engine


def rungs_of(engine, wake_ups):
    """The rungs on which the only slot has stood, and the steps that rung 0 had."""
    (slot,) = slots(engine)
    seen, rung = [], engine.scanner.uksm.rungs[0]
    steps = {rung.step}
    for _ in range(wake_ups):
        engine.scan_batches(1)
        steps.add(rung.step)
        if not seen or seen[-1] != slot.rung.number:
            seen.append(slot.rung.number)
    return seen, steps


def test_a_large_rich_region_climbs_and_begins_again_when_it_was_seen_whole():
    engine = large(repeated(7))
    assert engine.scanner.uksm.rungs[0].step == 12_000 // 4000
    seen, _ = rungs_of(engine, 16)
    assert seen == [0, 1, 0]  # the second judgement and the end of all come in one wake-up
    (slot,) = slots(engine)
    assert slot.pages_scanned < 4000
    assert sum(gauges(engine)) == 12_000


def test_a_large_poor_region_stays_at_the_bottom():
    engine = large(unique(3))
    assert rungs_of(engine, 20) == ([0], {3})
    assert gauges(engine) == (0, 0, engine.counters()["pages_scanned"])


def test_a_slot_that_thrashes_counts_as_poor():
    engine = large(unique(3))
    (slot,) = slots(engine)
    uksm = engine.scanner.uksm
    for cowed, ratio, rung in ((6, 0, 0), (5, (10 - 5) * 100 // 20, 1), (0, 50, 2)):
        slot.pages_merged, slot.pages_cowed, slot.this_sampled = 10, cowed, 20
        slot.pages_scanned += 20
        assert cal_dedup_ratio(uksm, slot) == ratio
        judge_slot(uksm, slot)
        assert slot.rung.number == rung
    slot.pages_merged, slot.pages_cowed, slot.this_sampled = 10, 6, 20
    judge_slot(uksm, slot)
    assert slot.rung.number == 1


GOVERNORS = {
    "full": ("20 40 MAX/4 MAX/1", "1000 500 200 50", 95, [400, 803, 62291, 3800000]),
    "medium": ("20 30 MAX/4 MAX/1", "1000 500 400 100", 50, [400, 601, 28570, 200000]),
    "low": ("10 20 MAX/2 MAX/1", "1500 1000 1000 250", 20, [200, 400, 22222, 50000]),
    "quiet": ("10 20 40 75", "2000 1000 1000 1000", 1, [200, 400, 803, 1511]),
}
COVERED = {
    "full": [4000, 4000, 95000, 95000],
    "medium": [4000, 3000, 100000, 100000],
    "low": [3000, 4000, 200000, 100000],
    "quiet": [4000, 4000, 8000, 15000],
}
"""Pages that a rung may have before its step is above 1."""


@pytest.mark.parametrize("name", GOVERNORS)
def test_a_governor_is_a_preset(name):
    engine = Engine("uksm", {"cpu_governor": name})
    uksm = engine.scanner.uksm
    engine.scan_batches(0)
    engine.spawn("p")
    engine.map("p", "r", 1)
    engine.fill("p", "r", 0, 1, repeated(7))
    engine.scan_batches(1)
    ratios, intervals, most, quotas = GOVERNORS[name]
    shown = engine.scanner.shown_tunables
    assert (shown["cpu_ratios"], shown["eval_intervals"]) == (ratios, intervals)
    assert shown["max_cpu_percentage"] == str(most)
    assert [rung.pages_to_scan for rung in uksm.rungs] == quotas
    for rung, covered in zip(uksm.rungs, COVERED[name], strict=True):
        for pages, step in ((2 * covered - 1, 1), (2 * covered, 2)):
            rung.pages = pages
            ratio = int(rung.cpu_ratio if rung.cpu_ratio > 0 else -rung.cpu_ratio * most // 100)
            rung.calc_step(500, ratio)
            assert rung.step == step


REFUSED = {
    "cpu_governor": "greedy", "max_cpu_percentage": 101, "sleep_millisecs": 1001,
    "abundant_threshold": 100, "thrash_threshold": 100, "cpu_ratios": "1 2 3",
    "eval_intervals": "1 2 3 x", "page_time_ns": 0, "memcmp_cost": -1, "seed": -1,
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_changes_nothing(name):
    engine = uksm(7)
    before = engine.scanner.shown_tunables
    with pytest.raises(OSError, match="EINVAL"):
        engine.write_tunable(name, REFUSED[name])
    assert engine.scanner.shown_tunables == before


def test_there_are_no_files_of_ksm():
    for name in ("pages_to_scan", "use_zero_pages", "merge_across_nodes", "max_page_sharing"):
        with pytest.raises(OSError, match="ENOENT"):
            Engine("uksm").write_tunable(name, 1)


def test_numbers_are_stored_within_their_bounds():
    engine = uksm(7)
    for written, stored in ((0, 10), (100, 99), (50, 50)):
        engine.write_tunable("max_cpu_percentage", written)
        assert engine.scanner.tunables["max_cpu_percentage"] == stored


def test_lots_cannot_be_drawn_again_once_pages_are_hashed():
    engine = uksm(7)
    engine.write_tunable("seed", 5)
    engine.scan_batches(2)
    engine.write_tunable("seed", 5)
    with pytest.raises(OSError, match="EBUSY"):
        engine.write_tunable("seed", 6)


def test_the_strength_falls_where_nothing_collides():
    engine = one_pass_a_wake_up(*range(1, 21))
    uksm, strengths = engine.scanner.uksm, []
    for k in range(1, 10):
        engine.scan_batches(1)
        assert engine.counters()["full_scans"] == 1 + k
        strengths.append(uksm.strength.strength)
        # the tree is empty after each change, and the items keep their flags
        assert (len(uksm.unstable_tree) == 0) == (k >= 4)
        assert gauges(engine) == (0, 0, 20)
    assert strengths == [64, 64, 64, 63, 61, 57, 49, 33, 1]


def test_madvise_takes_a_whole_vma_out_and_a_part_of_one_not():
    engine = one_pass_a_wake_up(7, 7, 7, 7)
    engine.scan_batches(2)
    engine.mergeable("p", "r", 0, 4)
    assert len(slots(engine)) == 1
    engine.unmergeable("p", "r", 0, 2)
    assert engine.groups() == [["p/r/2", "p/r/3"]]
    engine.scan_batches(3)
    assert gauges(engine) == (1, 3, 0)
    engine = one_pass_a_wake_up(7, 7, 7, 7)
    engine.scan_batches(2)
    engine.unmergeable("p", "r", 0, 4)
    engine.scan_batches(3)
    assert (gauges(engine), engine.groups(), slots(engine)) == ((0, 0, 0), [], [])


def test_huge_pages_are_split_to_be_merged():
    engine = Engine("uksm", {"page_time_ns": 100})
    engine.spawn("p")
    engine.map("p", "r", 512, huge=True)
    engine.fill("p", "r", 0, 512, unique(3))
    engine.fill("p", "r", 3, 1, repeated(7))
    engine.fill("p", "r", 5, 1, repeated(0))
    region(engine, "q", "r", [7, 7], mergeable=False)
    engine.scan_batches(4)
    assert engine.groups() == [["p/r/3", "q/r/0", "q/r/1"]]
    assert zero_pages(engine) == 1


def test_a_pinned_page_is_left_alone():
    engine = one_pass_a_wake_up(7, 7, 0)
    engine.pin("p", "r", 0)
    engine.pin("p", "r", 2)
    engine.scan_batches(4)
    assert (engine.groups(), zero_pages(engine)) == ([], 0)
    engine.unpin("p")
    engine.scan_batches(3)
    assert (len(engine.groups()), zero_pages(engine)) == (1, 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), min_size=2, max_size=9), min_size=1, max_size=4), seeds)
def test_in_the_end_all_equal_pages_are_one(regions, seed):
    """Whatever the lots: pages that nobody writes to end as one page for each content.

    A slot of one page behind another might never be visited.
    """
    engine = Engine("uksm", {"seed": seed, "page_time_ns": 2000})
    for number, contents in enumerate(regions):
        region(engine, f"p{number}", "r", contents, mergeable=False)
    engine.scan_batches(10)
    found = {}
    for number, contents in enumerate(regions):
        for page, content in enumerate(contents):
            found.setdefault(content, []).append(f"p{number}/r/{page}")
    empty = len(found.pop(0, []))
    assert engine.groups() == sorted(sorted(pages) for pages in found.values() if len(pages) > 1)
    assert zero_pages(engine) == empty
    alone = sum(len(pages) == 1 for pages in found.values())
    merged = [len(pages) for pages in found.values() if len(pages) > 1]
    assert gauges(engine) == (len(merged), sum(merged) - len(merged), alone)
