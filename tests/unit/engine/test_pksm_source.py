"""Small workloads on PKSM with the counters that its source gives (kernel 3.10, mm/pksm.c)."""

import pytest
from unit.engine.machines import region, repeated
from unit.engine.test_pksm import frames, gauges, pksm

from ksmtrace.engine.engine import Engine
from ksmtrace.engine.ksm.watcher import Watcher
from ksmtrace.engine.machine.page_table import PageTable
from ksmtrace.engine.relatives.pksm_item import sampled_hash
from ksmtrace.errors import KsmtraceError


def fill(engine, process, first, *contents):
    for index, byte in enumerate(contents, first):
        engine.fill(process, "r", index, 1, repeated(byte))


def unsampled():
    """Offset of a byte that the hash does not look at."""
    checksum = sampled_hash(seed=0)
    empty = bytes(4096)
    return next(
        at for at in range(4096) if checksum(empty[:at] + b"!" + empty[at + 1 :]) == checksum(empty)
    )


def batches(engine, count=1):
    for _ in range(count):
        engine.scanner.scan_batch()


# do_anonymous_page alone calls pksm_add_new_anon_page.


def test_p1_a_copy_of_a_ksm_page_never_becomes_an_item():
    engine = pksm(7, 7, 7, 7)
    batches(engine)
    assert gauges(engine) == (1, 3, 0, 0)
    fill(engine, "p", 0, 9, 9)
    assert gauges(engine) == (1, 2, 0, 0)
    fill(engine, "p", 0, 7, 7)
    batches(engine, 3)
    assert gauges(engine) == (1, 2, 0, 0)
    assert engine.groups() == [["p/r/2", "p/r/3"]]
    assert engine.scanner.rmap_items == 1
    assert engine.scanner.saved_pages == 1


def test_p1b_a_page_that_was_read_first_never_becomes_an_item():
    engine = pksm(None, None)
    engine.read("p", "r", 0, 2)
    fill(engine, "p", 0, 7, 7)
    batches(engine, 2)
    assert gauges(engine) == (0, 0, 0, 0)
    assert engine.scanner.rmap_items == 0


def test_p1c_a_page_that_the_zero_page_had_replaced_never_becomes_an_item():
    engine = pksm(0, 7)
    batches(engine)
    assert gauges(engine) == (0, 1, 1, 1)
    fill(engine, "p", 0, 7)
    batches(engine, 2)
    assert gauges(engine) == (0, 0, 1, 0)


# pksm_unmap_sharing_page


def test_p2_the_first_entry_that_goes_costs_no_sharer():
    engine = pksm(7, 7, 7)
    batches(engine)
    seen = [gauges(engine)]
    for page in range(3):
        engine.poke("p", "r", page, 1, 0, 9)
        seen.append(gauges(engine))
    batches(engine)
    assert seen == [(1, 2, 0, 0), (1, 2, 0, 0), (1, 1, 0, 0), (1, 0, 0, 0)]
    assert gauges(engine) == (0, 0, 0, 0)


def test_p2b_entries_of_a_fork_cost_no_sharers_as_they_go():
    engine = pksm(7, 7, 7)
    batches(engine)
    engine.fork("p", "c")
    assert gauges(engine) == (1, 2, 0, 0)
    engine.exit("c")
    batches(engine)
    assert gauges(engine) == (1, 2, 0, 0)


# pksm_rmap_walk, write_protect_page


def test_p3_a_page_that_a_child_has_copied_away_is_dropped_with_its_entry_replaced():
    engine = pksm(7)
    engine.fork("p", "c")
    fill(engine, "c", 0, 9)
    batches(engine)
    assert gauges(engine) == (0, 0, 1, 0)
    region(engine, "q", "r", [7], mergeable=False)
    batches(engine)
    assert gauges(engine) == (0, 1, 0, 0)
    assert engine.scanner.rmap_items == 0
    assert engine.groups() == [["p/r/0", "q/r/0"]]
    engine.exit("p")
    engine.exit("c")
    engine.exit("q")
    batches(engine)
    assert gauges(engine) == (0, 1, 0, 0)
    assert engine.scanner.saved_pages == 0


def test_p3b_a_page_that_a_child_never_had_becomes_a_ksm_page_in_vain():
    engine = pksm(5, None)
    engine.fork("p", "c")
    fill(engine, "p", 1, 7)
    region(engine, "q", "r", [7], mergeable=False)
    batches(engine, 2)
    assert gauges(engine) == (0, 0, 2, 0)
    assert engine.scanner.rmap_items == 2
    page = frames(engine)[1]
    assert (page.ksm, page.mapcount) == (True, 1)


def test_p3c_pieces_of_a_mapping_share_its_anon_vma_and_nothing_merges_there():
    engine = pksm(1, 2, 3, 4, 5, 7)
    engine.unmap("p", "r", 2, 2)
    region(engine, "q", "r", [7], mergeable=False)
    batches(engine, 2)
    assert gauges(engine) == (0, 0, 4, 0)
    assert engine.scanner.rmap_items == 4


def test_a_piece_that_is_left_alone_merges_again():
    engine = pksm(1, 2, 3, 4, 5)
    engine.unmap("p", "r", 2, 2)
    batches(engine)
    engine.unmap("p", "r", 0, 2)
    region(engine, "q", "r", [5], mergeable=False)
    batches(engine)
    assert gauges(engine) == (1, 1, 0, 0)
    assert engine.groups() == [["p/r/4", "q/r/0"]]


def test_p3d_an_empty_page_that_a_child_has_copied_away_leaves_a_zero_page():
    engine = pksm(0)
    engine.fork("p", "c")
    fill(engine, "c", 0, 9)
    batches(engine)
    assert gauges(engine) == (0, 1, 0, 1)
    assert engine.scanner.rmap_items == 0


def test_the_order_of_mappings_decides_what_is_replaced_before_a_walk_ends():
    """vma_adjust puts a shrunk mapping behind one that begins at the same page."""
    for shrinks, replaced in ((False, True), (True, False)):
        engine = pksm(5, None, 5)
        engine.fork("p", "c")
        fill(engine, "p", 1, 7)
        if shrinks:
            engine.unmap("p", "r", 2, 1)
        region(engine, "q", "r", [7, 7], mergeable=False)
        batches(engine, 2)
        assert any("p/r/1" in group for group in engine.groups()) is replaced


def test_a_page_taken_over_belongs_to_its_writers_mapping():
    """page_move_anon_rmap: the parent's mapping is not walked any more."""
    engine = pksm(7)
    engine.fork("p", "c")
    fill(engine, "p", 0, 9)
    fill(engine, "c", 0, 7)
    region(engine, "q", "r", [7], mergeable=False)
    batches(engine, 2)
    assert gauges(engine) == (1, 1, 0, 0)
    assert engine.groups() == [["c/r/0", "q/r/0"]]


def test_a_pinned_page_is_taken_over_too():
    """reuse_swap_page of 3.10 asks for the mapcount alone: the page keeps its item."""
    engine = pksm(7)
    engine.fork("p", "c")
    engine.exit("c")
    engine.pin("p", "r", 0)
    fill(engine, "p", 0, 8)
    engine.unpin("p")
    batches(engine)
    assert gauges(engine) == (0, 0, 1, 0)


def test_all_entries_of_a_shared_page_are_replaced():
    engine = pksm(7)
    engine.fork("p", "child")
    batches(engine)
    region(engine, "q", "r", [7], mergeable=False)
    batches(engine)
    assert gauges(engine) == (1, 2, 0, 0)
    assert engine.groups() == [["child/r/0", "p/r/0", "q/r/0"]]


def test_a_page_shared_by_fork_cannot_become_the_ksm_page_and_is_dropped():
    engine = pksm(7)
    batches(engine)
    region(engine, "q", "r", [7], mergeable=False)
    engine.fork("q", "child")
    batches(engine, 3)
    (page,) = frames(engine, "q")
    assert page.ksm
    assert gauges(engine) == (0, 0, 1, 0)
    assert engine.scanner.rmap_items == 1


# cmp_and_merge_zero_page


def test_p4_a_page_whose_sampled_words_are_zero_is_never_looked_at_again():
    engine = pksm(0, 0, 0)
    engine.poke("p", "r", 0, 2, unsampled(), 5)
    batches(engine, 2)
    assert gauges(engine) == (0, 1, 0, 1)
    assert engine.scanner.rmap_items == 2


# pksm_update_unstable_page_checksum, pksm_calc_update_pages_num


def test_p5_the_sweep_begins_at_the_head_each_time():
    engine = pksm(*range(1, 8))
    batches(engine)
    engine.write_tunable("pages_to_scan", 1)
    engine.write_tunable("sleep_millisecs", 4000)
    fill(engine, "p", 2, 99)
    for _ in range(4):
        batches(engine)
        assert gauges(engine) == (0, 0, 7, 0)
    fill(engine, "p", 5, 98)  # one of pages 6, 5, 4: the oldest of the list
    batches(engine)
    assert gauges(engine) == (0, 0, 6, 0)


def test_p5b_with_pages_to_scan_0_two_are_swept():
    engine = pksm(1, 2, 3)
    batches(engine)
    engine.write_tunable("pages_to_scan", 0)
    engine.write_tunable("sleep_millisecs", 10000)
    fill(engine, "p", 2, 50)
    batches(engine)
    assert gauges(engine) == (0, 0, 2, 0)
    batches(engine)
    assert gauges(engine) == (0, 0, 3, 0)


def test_fewer_unshared_pages_than_pages_to_scan_are_all_swept():
    for pages_to_scan, unshared in ((4, 4), (5, 3)):
        engine = pksm(1, 2, 3, 4)
        batches(engine)
        engine.write_tunable("pages_to_scan", pages_to_scan)  # 4 * 20 / 10000 is 0
        fill(engine, "p", 0, 9)
        batches(engine)
        assert gauges(engine) == (0, 0, unshared, 0)


def test_period_seconds_sets_how_many_are_swept_and_0_is_a_division_by_zero():
    engine = pksm(*range(1, 41))
    batches(engine)
    engine.write_tunable("pages_to_scan", 30)
    engine.write_tunable("sleep_millisecs", 1000)
    fill(engine, "p", 0, 99)  # last of the list: 40 * 1000 / 1000 and two more reach it
    for seconds, unshared in ((10, 40), (2, 40), (1, 40)):
        engine.write_tunable("period_seconds", seconds)
        batches(engine)
        assert gauges(engine)[2] == unshared
    engine.write_tunable("pages_to_scan", 38)
    batches(engine)
    assert gauges(engine)[2] == 39
    engine.write_tunable("pages_to_scan", 10)
    engine.write_tunable("period_seconds", 0)
    with pytest.raises(KsmtraceError, match="period_seconds"):
        batches(engine)


# ksm_do_scan


def test_p6_the_newest_is_examined_first():
    engine = pksm(7, 7)
    oldest, _ = frames(engine)
    batches(engine)
    assert frames(engine) == [oldest] * 2
    engine = pksm(7, 7, 7, 7)
    third = frames(engine)[2]
    batches(engine)
    assert frames(engine) == [third] * 4


def test_p7_what_is_scanned_again_has_a_quota_of_its_own():
    engine = pksm(1, 2, 3, 4, 5, 6, pages_to_scan=1)
    for page in range(3):
        engine.pin("p", "r", page)
    batches(engine)
    assert gauges(engine) == (0, 0, 0, 0)
    engine.unpin("p")
    batches(engine)
    assert gauges(engine) == (0, 0, 6, 0)


def test_a_partner_that_is_pinned_strands_the_page_that_is_a_ksm_page_already():
    """PKSM_FAULT_TRY of the second half puts the first page to be scanned again: then it drops."""
    engine = pksm(7)
    batches(engine)
    engine.pin("p", "r", 0)
    region(engine, "q", "r", [7], mergeable=False)
    batches(engine)
    assert (gauges(engine), engine.scanner.rmap_items) == ((0, 0, 1, 0), 2)
    batches(engine)
    assert (gauges(engine), engine.scanner.rmap_items) == ((0, 0, 1, 0), 1)
    assert engine.groups() == [["q/r/0"]]


def test_an_item_freed_while_it_waits_to_be_scanned_again_goes_at_once():
    engine = pksm(1, 2)
    engine.pin("p", "r", 0)
    batches(engine)
    engine.unpin("p")
    engine.discard("p", "r", 0, 1)
    assert engine.scanner.rmap_items == 1


# the files of /sys/kernel/mm/pksm


def test_p9_files_and_what_they_hold():
    engine = Engine("pksm")
    assert engine.scanner.tunables == {
        "pages_to_scan": 1000,
        "sleep_millisecs": 20,
        "period_seconds": 10,
    }
    region(engine, "p", "r", [7, 7, 7, 8, 8, 1, 0], mergeable=False)
    batches(engine)
    known = {name: value for name, value in engine.counters().items() if value is not None}
    assert known == {
        "full_scans": 0,
        "pages_shared": 2,
        "pages_sharing": 4,
        "pages_unshared": 1,
        "ksm_zero_pages": 1,
        "stable_nodes": 5,  # one a page merged, one a node
        "rmap_items": 3,
    }
    assert engine.scanner.metadata_bytes == 3 * 120 + 5 * 24
    for value in ("x", -1, 2**32):
        with pytest.raises(OSError, match="EINVAL"):
            engine.write_tunable("period_seconds", value)


def test_stable_nodes_go_with_their_node_and_not_with_a_sharer():
    engine = pksm(7, 7, 7)
    batches(engine)
    engine.discard("p", "r", 0, 2)
    batches(engine)
    assert engine.scanner.stable_nodes == 3
    engine.discard("p", "r", 2, 1)
    batches(engine)
    assert engine.scanner.stable_nodes == 0


# stable_tree_append


class Appends(Watcher):
    def __init__(self):
        self.count = 0

    def appended(self, _item, _node):
        self.count += 1


def test_p10_one_append_for_each_page_however_often_it_is_mapped():
    watcher = Appends()
    engine = Engine("pksm", {"pages_to_scan": 1000}, watcher=watcher)
    region(engine, "p", "r", [7], mergeable=False)
    engine.fork("p", "c")
    batches(engine)
    region(engine, "q", "r", [7], mergeable=False)
    batches(engine)
    assert watcher.count == 2
    assert gauges(engine) == (1, 2, 0, 0)


def test_p10b_a_collision_appends_a_page_that_is_not_replaced():
    watcher = Appends()
    engine = Engine("pksm", watcher=watcher)
    region(engine, "p", "r", [7, 7], mergeable=False)
    engine.poke("p", "r", 1, 1, unsampled(), 8)
    batches(engine)
    assert watcher.count == 2
    assert gauges(engine) == (1, 0, 0, 0)


# unstable_tree_search_insert


def test_p11_the_unstable_tree_is_walked_once_and_the_stable_tree_twice():
    engine = pksm(*range(1, 9))
    batches(engine)
    # A red-black tree of n nodes is at most 2 * log2(n + 1) high: walked once, 8 insertions cost
    # no more than this, and at the very least what the smallest depths add up to.
    walks = engine.scanner.unstable.comparisons
    assert 0 + 1 + 1 + 2 + 2 + 2 + 2 + 3 <= walks <= 0 + 1 + 2 + 2 + 3 + 3 + 3 + 4
    assert engine.scanner.stable.comparisons == 0
    engine = pksm(1, 1)
    batches(engine)
    region(engine, "q", "r", [2, 2], mergeable=False)
    batches(engine)
    # page 1's search met nothing, twice; 2 is looked for by both, and put in
    assert engine.scanner.stable.comparisons == 3


# do_huge_pmd_anonymous_page has no hook


def test_p12_pages_of_huge_pages_are_never_items():
    engine = Engine("pksm")
    engine.spawn("p")
    engine.map("p", "r", 600, huge=True)
    engine.fill("p", "r", 0, 512, repeated(7))
    batches(engine)
    assert gauges(engine) == (0, 0, 0, 0)
    assert engine.scanner.rmap_items == 0
    engine.fill("p", "r", 512, 2, repeated(7))  # no huge page fits there
    batches(engine)
    assert gauges(engine) == (1, 1, 0, 0)


# free_hot_cold_page


def test_p13_a_pinned_page_keeps_its_item_until_it_is_let_go_of():
    engine = pksm(7, 8)
    page, _ = frames(engine)
    engine.pin("p", "r", 0)
    engine.discard("p", "r", 0, 1)
    assert engine.scanner.rmap_items == 2
    engine.memory.put_page(page)
    assert engine.scanner.rmap_items == 1


def test_a_merge_looks_at_no_other_entries_than_the_pages_own(monkeypatch):
    """So that 8,000 pages shared by a fork take no time that grows with their square."""
    engine = pksm(7, 7)
    batches(engine)
    pages = 8000
    engine.write_tunable("pages_to_scan", pages)
    region(engine, "q", "r", [7] * pages, mergeable=False)
    engine.fork("q", "c")
    monkeypatch.delattr(PageTable, "items")  # the whole page table, and all that goes over it
    batches(engine)
    assert gauges(engine) == (1, 1 + 2 * pages, 0, 0)
