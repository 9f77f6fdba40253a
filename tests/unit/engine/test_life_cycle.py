"""Un-merging, forks, exits, and what else becomes of merged pages."""

import pytest
from unit.engine.machines import chains, gauges, machine, region, repeated, since
from unit.engine.test_random_workloads import rmap_items

from ksmtrace.engine.machine.memory import Memory
from ksmtrace.engine.variants import KERNELS

ALL = pytest.mark.parametrize("variant", KERNELS)
A, B = ord("a"), ord("b")


def frames(engine, process, name):
    """The frames of a region, page by page."""
    owner = engine.processes[process]
    first = owner.regions[name].first_vpn
    return [owner.mm.ptes.get(first + index) for index in range(owner.regions[name].pages)]


@ALL
def test_a_write_copies_a_ksm_page_even_with_one_mapper(variant):
    engine = machine(variant)
    region(engine, "p", "r", [A] * 2)
    engine.scan_passes(2)
    engine.poke("p", "r", 0, 1, 0, B)
    (_, kpage) = frames(engine, "p", "r")
    assert kpage.mapcount == 1
    engine.poke("p", "r", 1, 1, 0, B)
    assert frames(engine, "p", "r")[1] is not kpage
    assert engine.ksm.memory.cow_ksm == 2


@ALL
def test_rewriting_the_same_bytes_merges_again_in_the_next_pass(variant):
    engine = machine(variant)
    region(engine, "p", "r", [A] * 3)
    engine.scan_passes(2)
    engine.fill("p", "r", 0, 1, repeated(A))
    engine.scan_passes(1)
    assert gauges(engine) == (1, 2, 0, 0)


@ALL
def test_a_page_that_somebody_holds_is_copied_since_5_9(variant):
    """What is written in place stays pinned, and never merges; the copy does."""
    engine = machine(variant)
    region(engine, "p", "r", [A] * 2)
    engine.fork("p", "c")
    engine.exit("c")
    engine.pin("p", "r", 0)
    engine.fill("p", "r", 0, 1, repeated(A))
    engine.scan_passes(3)
    assert gauges(engine)[:2] == ((1, 1) if variant in since(5, 9) else (0, 0))


@ALL
def test_unmergeable_copies_at_once_but_gauges_wait_for_ksmd(variant):
    engine = machine(variant)
    region(engine, "p", "r", [A] * 4)
    engine.scan_passes(2)
    engine.unmergeable("p", "r", 0, 4)
    assert gauges(engine) == (1, 3, 0, 0)
    assert engine.ksm.memory.cow_ksm == 4
    assert engine.groups() == []
    engine.scan_passes(1)
    assert gauges(engine) == (0, 0, 0, 0)


@ALL
def test_a_child_that_ksmd_has_not_met_holds_the_page_and_its_node(variant):
    engine = machine(variant)
    region(engine, "p", "r", [A] * 2)
    engine.scan_passes(2)
    engine.fork("p", "child")
    engine.exit("p")
    engine.scan_passes(1)
    # The parent's rmap_items are gone, the child's entries were adopted.
    assert gauges(engine) == (1, 1, 0, 0)


@ALL
def test_fork_copies_registration_and_no_rmap_items(variant):
    engine = machine(variant)
    region(engine, "p", "r", [A] * 2)
    engine.scan_passes(2)
    engine.fork("p", "child")
    child = engine.processes["child"].mm
    assert child.slot is not None
    assert all(item.mm is not child for item in rmap_items(engine.ksm))
    assert child.ksm_rmap_items == 0


@ALL
def test_child_of_an_unregistered_process_is_not_registered(variant):
    engine = machine(variant)
    region(engine, "p", "r", [A], mergeable=False)
    engine.fork("p", "child")
    assert engine.processes["child"].mm.slot is None


@pytest.mark.parametrize("variant", since(4, 13))
def test_fork_puts_ksm_pages_into_unmergeable_memory_which_run_2_leaves_alone(variant):
    engine = machine(variant)
    region(engine, "p", "r", [A], mergeable=False)
    engine.fork("p", "child")
    region(engine, "q", "r", [A])
    engine.mergeable("p", "r", 0, 1)
    engine.scan_passes(2)
    assert gauges(engine) == (1, 1, 0, 0)
    assert engine.groups() == [["child/r/0", "p/r/0", "q/r/0"]]
    engine.write_run(2)
    assert gauges(engine) == (0, 0, 0, 0)
    assert engine.groups() == [["child/r/0"]]
    with pytest.raises(OSError, match="EBUSY on writing 3 to max_page_sharing"):
        engine.write_tunable("max_page_sharing", 3)
    engine.scan_passes(2)
    assert gauges(engine) == (1, 1, 0, 0)
    assert chains(engine) == (1, 2)


@ALL
def test_exit_without_rmap_items_leaves_the_list_at_once(variant):
    engine = machine(variant)
    region(engine, "p", "r", [A])
    engine.exit("p")
    assert engine.ksm.mm_head.next is engine.ksm.mm_head
    assert engine.scan_passes(1) == 0


@ALL
def test_exit_with_rmap_items_is_next_for_ksmd(variant):
    engine = machine(variant, pages_to_scan=1)
    for name in "abc":
        region(engine, name, "r", [1, 2])
    engine.scan_passes(1)
    engine.scan_batches(1)  # the cursor stands on a
    slots = {name: engine.processes[name].mm.slot for name in "abc"}
    engine.exit("c")
    assert engine.ksm.scan.slot is slots["a"]
    assert slots["a"].next is slots["c"]
    assert slots["c"].next is slots["b"]


@ALL
def test_exit_at_the_cursor_is_cleaned_up_when_ksmd_goes_on(variant):
    engine = machine(variant, pages_to_scan=1)
    region(engine, "p", "r", [1, 2, 3])
    engine.scan_passes(1)
    engine.scan_batches(2)
    engine.exit("p")
    assert engine.ksm.counters.rmap_items == 3
    engine.scan_batches(1)
    assert engine.ksm.counters.rmap_items == 0
    assert engine.ksm.mm_head.next is engine.ksm.mm_head


@ALL
def test_a_new_process_is_visited_last(variant):
    engine = machine(variant, pages_to_scan=1)
    for name in "ab":
        region(engine, name, "r", [1, 2])
    engine.scan_batches(3)  # the cursor stands on b
    region(engine, "c", "r", [1])
    order = []
    slot = engine.ksm.mm_head.next
    while slot is not engine.ksm.mm_head:
        order.append(slot.mm.comm)
        slot = slot.next
    assert order == ["a", "c", "b"]


@ALL
def test_discarded_pages_lose_their_rmap_items_at_the_next_visit(variant):
    engine = machine(variant)
    region(engine, "p", "r", [A] * 4)
    engine.scan_passes(2)
    engine.discard("p", "r", 0, 3)
    assert gauges(engine) == (1, 3, 0, 0)
    engine.scan_passes(1)
    assert gauges(engine) == (1, 0, 0, 0)
    engine.discard("p", "r", 3, 1)
    engine.scan_passes(1)
    assert gauges(engine) == (0, 0, 0, 0)
    assert engine.ksm.stable_roots[0].rb_node is None


@ALL
def test_untouched_and_read_pages_are_no_candidates(variant):
    engine = machine(variant)
    region(engine, "p", "r", [None, None, A])
    engine.read("p", "r", 0, 1)
    engine.scan_passes(1)
    assert engine.ksm.counters.rmap_items == 1


@ALL
def test_run_2_in_mid_pass_starts_the_next_pass_from_the_first_page(variant):
    engine = machine(variant, pages_to_scan=2)
    region(engine, "p", "r", [1, 2, 3, 4])
    engine.scan_passes(1)
    engine.scan_batches(1)
    engine.write_run(2)
    assert gauges(engine) == (0, 0, 0, 0)
    engine.scan_batches(1)
    assert engine.ksm.counters.rmap_items == 2


@ALL
def test_a_pinned_page_is_not_merged_and_the_first_half_is_undone(variant):
    engine = machine(variant)
    region(engine, "p", "r", [A] * 2)
    engine.pin("p", "r", 0)
    engine.scan_passes(2)
    # Page 0 waits in the unstable tree; page 1 had become a KSM page already, and was copied by
    # break_cow.
    assert gauges(engine) == (0, 0, 1, 1)
    assert engine.ksm.memory.cow_ksm == 1
    assert not any(frame.ksm for frame in frames(engine, "p", "r"))
    engine.unpin("p")
    engine.scan_passes(1)
    assert gauges(engine) == (1, 1, 0, 0)


@ALL
def test_a_pinned_candidate_leaves_its_partner_in_the_unstable_tree(variant):
    engine = machine(variant)
    region(engine, "p", "r", [A] * 2)
    engine.pin("p", "r", 1)
    engine.scan_passes(2)
    assert gauges(engine) == (0, 0, 1, 1)
    assert engine.ksm.memory.cow_ksm == 0


@ALL
def test_a_ksm_page_outside_the_tree_never_merges(variant):
    engine = machine(variant)
    region(engine, "pinned", "r", [A])
    region(engine, "p", "r", [A])
    engine.fork("p", "child")
    engine.pin("pinned", "r", 0)
    engine.scan_passes(2)
    # p's page became a KSM page, the other half failed, and break_cow gave p a copy: child holds
    # what is left.
    (left,) = frames(engine, "child", "r")
    assert left.ksm
    assert left.stable_node is None
    engine.unpin("pinned")
    engine.scan_passes(3)
    assert frames(engine, "child", "r") == [left]
    assert gauges(engine) == (1, 1, 0, 1)
    assert engine.groups() == [["child/r/0"], ["p/r/0", "pinned/r/0"]]


@ALL
@pytest.mark.parametrize("gone", ["unmergeable", "discard", "unmap"])
def test_a_page_gone_from_the_unstable_tree_ends_the_walk(variant, gone):
    engine = machine(variant, pages_to_scan=1)
    region(engine, "p", "r", [A])
    region(engine, "q", "r", [B])
    engine.scan_passes(1)
    engine.scan_batches(1)
    assert gauges(engine) == (0, 0, 1, 1)
    getattr(engine, gone)("p", "r", 0, 1)
    engine.scan_batches(1)
    # q's page is not put into the tree: the way to its place leads over a page that cannot be
    # compared.
    assert gauges(engine) == (0, 0, 1, 1)


@ALL
def test_pages_shared_by_fork_are_no_partners_of_each_other(variant):
    engine = machine(variant)
    region(engine, "p", "r", [1, 2, 3])
    engine.fork("p", "child")
    engine.scan_passes(5)
    assert gauges(engine) == (0, 0, 3, 3)


@pytest.mark.parametrize("variant", since(6, 4))
def test_merge_any_covers_old_and_new_memory_and_children(variant):
    engine = machine(variant)
    region(engine, "p", "r", [A], mergeable=False)
    engine.merge_any("p", on=True)
    region(engine, "p", "s", [A], mergeable=False)
    engine.scan_passes(2)
    assert gauges(engine) == (1, 1, 0, 0)
    engine.fork("p", "child")
    region(engine, "child", "t", [A], mergeable=False)
    engine.scan_passes(2)
    assert gauges(engine) == (1, 4, 0, 0)
    engine.merge_any("p", on=False)
    engine.scan_passes(1)
    assert gauges(engine) == (1, 2, 0, 0)
    assert all(not name.startswith("p/") for group in engine.groups() for name in group)


@pytest.mark.parametrize("variant", since(6, 6))
def test_unmerging_takes_zero_pages_back(variant):
    engine = machine(variant, use_zero_pages=1)
    region(engine, "p", "r", [0] * 3)
    engine.scan_passes(2)
    assert engine.counters()["ksm_zero_pages"] == 3
    engine.fork("p", "child")
    assert engine.counters()["ksm_zero_pages"] == 6
    engine.unmergeable("p", "r", 0, 3)
    assert engine.counters()["ksm_zero_pages"] == 3
    engine.exit("child")
    assert engine.counters()["ksm_zero_pages"] == 0
    assert all(frame.anon for frame in frames(engine, "p", "r"))


def test_a_mapping_of_frames_is_counted_once():
    engine = machine()
    region(engine, "p", "r", [A] * 2)
    (one, other) = frames(engine, "p", "r")
    assert isinstance(engine.ksm.memory, Memory)
    engine.scan_passes(2)
    assert (one.mapcount, other.mapcount) == (0, 2)
