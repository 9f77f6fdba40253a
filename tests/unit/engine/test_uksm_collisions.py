"""UKSM where hashes collide, where slots share pages, and at the ends of rounds."""

from unit.engine.machines import region, repeated
from unit.engine.test_uksm import gauges, one_pass_a_wake_up, slots, uksm

from ksmtrace.engine.engine import Engine
from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.engine.machine.memory import Mm, Vma
from ksmtrace.engine.uksm.ladder import end_round
from ksmtrace.engine.uksm.nodes import StableNode, StableTreeNode
from ksmtrace.engine.uksm.scan import scan_vma_one_page
from ksmtrace.engine.uksm.slot import Slot, UksmItem
from ksmtrace.engine.uksm.stable_node import stable_tree_append
from ksmtrace.engine.uksm.stable_tree import stable_tree_delta_hash


def colliding(pages=8):
    """Pages of two contents that differ in one byte, which is not sampled."""
    engine = one_pass_a_wake_up(*[7] * pages)
    hashes = engine.scanner.uksm.hashes
    unsampled = 4 * hashes.permutation[hashes.strength + 40]
    engine.poke("p", "r", pages // 2, pages // 2, unsampled, 8)
    return engine


TWO_GROUPS = [[f"p/r/{page}" for page in range(4)], [f"p/r/{page}" for page in range(4, 8)]]


def test_pages_that_collide_are_told_apart_by_hash_max():
    engine = colliding()
    uksm = engine.scanner.uksm
    engine.scan_batches(3)
    assert engine.groups() == TWO_GROUPS
    (tree_node,) = uksm.stable_tree.values()
    assert len({node.hash_max for node in tree_node.nodes}) == 2
    assert all(node.hash_max for node in tree_node.nodes)
    assert uksm.strength.neg > 0 or uksm.full_scans > 1


def test_they_have_tree_nodes_of_their_own_once_the_strength_tells_them_apart():
    engine = colliding()
    uksm = engine.scanner.uksm
    engine.scan_batches(3)
    uksm.hashes.change_strength(1024)
    stable_tree_delta_hash(uksm)
    assert [len(one.nodes) for one in uksm.stable_tree.values()] == [1, 1]
    assert {one.hash for one in uksm.stable_tree.values()} == {
        uksm.hashes.of(node.page.data) for node in uksm.stable_nodes
    }
    uksm.hashes.change_strength(20)
    stable_tree_delta_hash(uksm)
    assert [len(one.nodes) for one in uksm.stable_tree.values()] == [2]


def test_a_double_collision_undoes_the_merge(monkeypatch):
    engine = colliding()
    uksm = engine.scanner.uksm
    monkeypatch.setattr(uksm.hashes, "max_of", lambda _: 5)
    engine.scan_batches(8)
    ((group),) = engine.groups()
    assert group in TWO_GROUPS
    assert uksm.pages_shared == 1
    other = {f"p/r/{page}" for page in range(8)} - set(group)
    frames = engine.processes["p"].mm.ptes
    first = engine.processes["p"].regions["r"].first_vpn
    assert all(not frames[first + int(name[4:])].ksm for name in other)


def test_one_that_is_left_out_for_two_collisions_stays_merged(monkeypatch):
    engine = colliding()
    uksm = engine.scanner.uksm
    engine.scan_batches(3)
    for node in uksm.stable_nodes:
        node.hash_max = 0
    monkeypatch.setattr(uksm.hashes, "max_of", lambda _: 5)
    stable_tree_delta_hash(uksm)
    newest, oldest = reversed(uksm.stable_nodes)
    assert (newest.tree_node is None, oldest.tree_node is None) == (False, True)
    assert engine.groups() == TWO_GROUPS
    monkeypatch.undo()
    for node in uksm.stable_nodes:
        node.hash_max = 0
    stable_tree_delta_hash(uksm)
    assert newest.tree_node is oldest.tree_node


def test_a_stable_node_stays_until_it_is_found_gone():
    engine = one_pass_a_wake_up(7, 7, 8)
    uksm = engine.scanner.uksm
    engine.scan_batches(2)
    assert gauges(engine) == (1, 1, 1)
    engine.discard("p", "r", 0, 2)
    engine.scan_batches(1)
    assert gauges(engine) == (0, 0, 1)
    assert len(uksm.stable_nodes) == 0  # the first of the two items has found it


def shared_by(engine, order):
    """A stable node that slots of these numbers join one after the other, on a rung of step 7."""
    uksm = engine.scanner.uksm
    made = {number: Slot(number, Mm(number, number, "p"), Vma(0, 30, "r")) for number in set(order)}
    uksm.rungs[1].enter(list(made.values()), uksm.page_time)
    uksm.rungs[1].step = 7
    page = uksm.memory.new_frame(uksm.hashes.pool.zero)
    node = StableNode(1, page, 0, StableTreeNode(0))
    for number in order:
        stable_tree_append(uksm, UksmItem(number, made[number], 0, page), node, log=True)
    return uksm, node, made


def test_the_list_of_slots_that_share_a_page_is_not_sorted():
    """A number above all goes to the front; behind the place found, one is left out."""
    uksm, node, made = shared_by(uksm_of_nothing(), [2, 5, 3, 3, 1, 9])
    # 2; 5 above all: front; 3: before 5; 3 again: found; 1: before 3; 9: front
    assert [one.slot.number for one in node.vmas] == [9, 1, 3, 5, 2]
    assert [len(one.items) for one in node.vmas] == [1, 1, 2, 1, 1]
    assert (uksm.pages_shared, uksm.pages_sharing) == (1, 5)
    bemerged = {number: slot.pages_bemerged // 7 for number, slot in made.items()}
    # by 5: of 2. by 3: the 5 left out, of 2. by 3 again: the 5 left out, of 2. by 1: the 3 left
    # out, of 5 and 2. by 9: of all four
    assert bemerged == {2: 5, 5: 2, 3: 1, 1: 1, 9: 0}
    assert [slot.pages_merged for _, slot in sorted(made.items())] == [1, 1, 2, 1, 1]


def test_slots_that_others_merged_with_climb_at_the_end_of_a_round():
    uksm, _, made = shared_by(uksm_of_nothing(), [2, 5, 3])
    assert [slot.number for slot in uksm.noted_slots] == [2]
    uksm.rungs[1].round_finished = False
    made[2].pages_cowed = 3
    assert not end_round(uksm)
    uksm.rungs[1].round_finished = True
    assert end_round(uksm)
    assert {number: slot.rung.number for number, slot in made.items()} == {2: 2, 5: 1, 3: 1}
    assert (made[2].pages_bemerged, made[2].pages_cowed, len(uksm.noted_slots)) == (0, 0, 0)


def test_the_latest_noted_climbs_first():
    uksm, _, made = shared_by(uksm_of_nothing(), [2, 5, 3, 3, 1, 9])
    noted = [slot.number for slot in uksm.noted_slots]
    assert sorted(noted) == [1, 2, 3, 5]
    uksm.rungs[1].round_finished = True
    assert end_round(uksm)
    assert [slot.number for slot in uksm.rungs[2].slots()] == noted[::-1]
    assert made[9].rung.number == 1


def test_a_slot_that_others_merged_with_and_that_thrashes_stays():
    uksm, _, made = shared_by(uksm_of_nothing(), [2, 5])
    made[2].pages_cowed = 4  # of 7: more than half
    uksm.rungs[1].round_finished = True
    assert end_round(uksm)
    assert made[2].rung.number == 1


def test_a_strength_that_changes_empties_the_unstable_tree_once_and_for_all():
    engine = one_pass_a_wake_up(*range(1, 21))
    engine.scan_batches(6)
    state = engine.scanner.uksm
    (slot,) = slots(engine)
    assert not state.unstable_tree
    assert {item.tree for item in slot.items} == {Tree.UNSTABLE}
    engine.exit("p")
    engine.scan_batches(1)
    assert gauges(engine) == (0, 0, 0)
    assert (state.items, state.slots, state.pages_total) == (0, 0, 0)


def test_a_page_time_beyond_what_rung_0_has_makes_the_sleep_longer():
    engine = uksm(7, page_time_ns=1_000_000)
    engine.scan_batches(1)
    state = engine.scanner.uksm
    # 1 ms * 9980 / 20 = 499 ms, and one jiffy
    assert (state.sleep_jiffies, state.rungs[0].pages_to_scan) == (500, 1)


def visit(engine, *processes):
    """Visits of the only slots of these processes, of one page each, one after the other."""
    state = engine.scanner.uksm
    for name in processes:
        mm = engine.processes[name].mm
        (slot,) = [one for one in slots(engine) if one.mm is mm]
        scan_vma_one_page(state, slot)
        slot.pages_scanned = 0


def of_one_page(*processes, content=7):
    """An engine with a process of one page for each name; all have entered, none was visited."""
    engine = Engine("uksm")
    for name in processes:
        region(engine, name, "r", [content], mergeable=False)
    without_visits(engine)
    return engine


def without_visits(engine):
    """A wake-up at which slots come and go, and no page is visited."""
    for rung in engine.scanner.uksm.rungs:
        rung.pages_to_scan = 0
    engine.scan_batches(1)


def test_what_visits_cost():
    engine = of_one_page("a", "b", "c", content=7)
    strength, hashes = engine.scanner.uksm.strength, engine.scanner.uksm.hashes
    strength.pos = strength.neg = 0
    visit(engine, "a")
    assert (strength.pos, strength.neg) == (1024 - 64, 0)
    visit(engine, "b")  # beside the first, by hash_max
    assert (strength.pos, strength.neg) == (2 * 960, 1034 - 64)
    visit(engine, "c")
    assert strength.neg == 2 * (1034 - 64)
    assert gauges(engine) == (1, 1, 1)
    engine.poke("a", "r", 0, 1, 4 * hashes.permutation[100], 8)
    strength.neg = 0
    visit(engine, "a")  # collides with the KSM page, and has no hash_max
    assert strength.neg == 174 + 64
    engine.fill("a", "r", 0, 1, repeated(0))
    engine.poke("a", "r", 0, 1, 4 * hashes.permutation[100], 8)
    strength.neg = 0
    visit(engine, "a")  # has the hash of the zero page
    assert strength.neg == 174 // 2


def test_a_collision_at_every_strength_ends_the_matter(monkeypatch):
    engine = of_one_page("a", "b", "c", "d", "e", "f", "g")
    state = engine.scanner.uksm
    unsampled = 4 * state.hashes.permutation[100]
    for name in ("d", "e", "f"):
        engine.poke(name, "r", 0, 1, unsampled, 8)
    engine.poke("g", "r", 0, 1, unsampled, 9)
    visit(engine, *"abc", *"def")  # two KSM pages of one hash
    assert gauges(engine) == (2, 3, 1)  # a waits, and d was put beside it
    hash_max = next(iter(state.stable_nodes)).hash_max
    monkeypatch.setattr(state.hashes, "max_of", lambda _: hash_max)
    state.strength.neg = 0
    visit(engine, "g")
    assert state.strength.neg == 970 + 174 + 2 * 970
    assert gauges(engine) == (2, 3, 1)  # in no tree


def test_a_page_inherited_by_fork_is_no_partner():
    engine = of_one_page("a", "q")
    engine.fork("a", "child")
    without_visits(engine)
    visit(engine, "a", "child")
    assert gauges(engine) == (0, 0, 2)
    visit(engine, "q")  # finds the child's, whose page is in the parent's anon_vma
    assert gauges(engine) == (0, 0, 1)
    assert engine.groups() == []


def test_one_that_the_child_has_taken_over_is():
    engine = of_one_page("a", "q", "z")
    engine.fork("a", "child")
    without_visits(engine)
    engine.exit("a")
    without_visits(engine)
    engine.fill("child", "r", 0, 1, repeated(7))
    visit(engine, "z", "child", "q")
    assert engine.groups() == [["child/r/0", "q/r/0"]]


def test_an_item_of_a_tree_that_was_emptied_leaves_the_new_one_alone():
    engine = of_one_page("a", "b")
    state = engine.scanner.uksm
    visit(engine, "a")
    state.hash_round += 1
    state.unstable_tree.clear()
    visit(engine, "b", "a")  # b is first in the new tree, a is put beside it
    (tree_node,) = state.unstable_tree.values()
    (first, second) = (slot.items[0] for slot in slots(engine))
    assert first.tree_node is second.tree_node is tree_node
    assert (first.hash_max > 0, second.hash_max) == (True, 0)


def test_waiting_slots_are_turned_round_at_each_wake_up():
    for wake_ups in (1, 2):
        engine = uksm(1, 2)
        engine.scan_batches(1)
        for name in "abc":
            engine.map("p", name, 1)
        engine.scan_batches(wake_ups)
        for name in "abc":
            engine.fill("p", name, 0, 1, repeated(7))
        engine.scan_batches(1)
        numbers = [slot.number for slot in slots(engine)[1:]]
        assert numbers == sorted(numbers, reverse=wake_ups == 1)


def test_a_slot_that_goes_takes_its_visits_along():
    engine = uksm(*range(1, 21), page_time_ns=200_400 // 5)
    region(engine, "q", "r", list(range(31, 51)), mergeable=False)
    state = engine.scanner.uksm
    engine.scan_batches(3)
    assert (state.scanned_virtual_pages, state.pages_total) == (10, 20)
    engine.exit("p")
    engine.scan_batches(1)  # visits five pages of the other
    assert (state.scanned_virtual_pages, state.pages_total) == (5, 20)


def uksm_of_nothing():
    engine = uksm(7)
    engine.exit("p")
    engine.scan_batches(1)
    return engine
