"""PKSM: one item for each physical page, no opt-in, no second look."""

from collections import Counter

from hypothesis import given, settings
from unit.engine.machines import region, repeated
from unit.engine.strategies import workloads
from unit.engine.test_random_workloads import Shadow, check_frames

from ksmtrace.engine.engine import Engine
from ksmtrace.engine.relatives.pksm_item import PksmFlag, sampled_hash
from ksmtrace.workload.on_engine import Simulation


def pksm(*contents, pages_to_scan=1000):
    """An engine with a process p whose pages repeat these bytes."""
    engine = Engine("pksm", {"pages_to_scan": pages_to_scan})
    region(engine, "p", "r", contents, mergeable=False)
    return engine


def gauges(engine):
    """pages_shared, pages_sharing, pages_unshared, ksm_zero_pages."""
    counters = engine.counters()
    names = ("pages_shared", "pages_sharing", "pages_unshared", "ksm_zero_pages")
    return tuple(counters[name] for name in names)


def frames(engine, process="p"):
    return [frame for _, frame in sorted(engine.processes[process].mm.ptes.items())]


def test_equal_pages_merge_at_the_first_look_and_without_madvise():
    engine = pksm(7, 7, 7, 8)
    gone, stays, waited, _ = frames(engine)
    engine.scan_passes(1)
    assert gauges(engine) == (1, 2, 1, 0)
    # The newest comes first and waits; the next one becomes the KSM page.
    assert frames(engine)[:3] == [stays] * 3
    assert not gone.allocated
    assert not waited.allocated


def test_madvise_and_run_2_are_ignored():
    engine = pksm(7, 7)
    engine.mergeable("p", "r", 0, 2)
    engine.scan_passes(1)
    engine.unmergeable("p", "r", 0, 2)
    engine.write_run(2)
    assert gauges(engine) == (1, 1, 0, 0)
    assert engine.groups() == [["p/r/0", "p/r/1"]]


def test_zero_pages_come_first_and_count_as_sharing():
    engine = pksm(0, 0, 7)
    engine.scan_passes(1)
    assert gauges(engine) == (0, 2, 1, 2)
    engine.poke("p", "r", 0, 1, 0, 1)
    assert gauges(engine) == (0, 1, 1, 1)


def test_a_batch_takes_two_items_more_than_it_was_told():
    engine = pksm(*range(1, 11), pages_to_scan=1)
    seen = []
    for _ in range(4):
        engine.scan_batches(1)
        seen.append((gauges(engine)[2], engine.scanner.full_scans))
    assert seen == [(3, 0), (6, 0), (9, 0), (10, 1)]


def test_a_pass_whose_new_pages_have_gone_ends():
    engine = pksm(*range(1, 11), pages_to_scan=1)
    engine.scan_batches(1)
    assert engine.scanner.full_scans == 0
    engine.unmap("p", "r", 3, 7)
    assert engine.scan_passes(1) == 1
    engine.fill("p", "r", 0, 1, repeated(77))
    assert engine.scan_passes(2) == 2
    assert gauges(engine)[2] == 3


def test_an_unstable_page_that_changed_is_new_again():
    engine = pksm(7, 8)
    engine.scan_passes(1)
    assert gauges(engine) == (0, 0, 2, 0)
    engine.fill("p", "r", 0, 1, repeated(8))
    engine.scan_batches(1)  # the sweep at its end finds the change
    assert gauges(engine) == (0, 0, 1, 0)
    engine.scan_batches(1)
    assert gauges(engine) == (1, 1, 0, 0)


def test_items_of_freed_pages_wait_on_the_delete_list_unless_they_were_new():
    engine = pksm(1, 2)
    assert engine.scanner.rmap_items == 2
    engine.discard("p", "r", 0, 1)
    assert engine.scanner.rmap_items == 1
    engine.scan_batches(1)
    assert gauges(engine) == (0, 0, 1, 0)
    engine.discard("p", "r", 1, 1)
    assert (engine.scanner.rmap_items, gauges(engine)) == (1, (0, 0, 1, 0))
    engine.scan_batches(1)
    assert (engine.scanner.rmap_items, gauges(engine)) == (0, (0, 0, 0, 0))


def test_a_freed_ksm_page_leaves_the_stable_tree_with_the_next_batch():
    engine = pksm(7, 7)
    engine.scan_passes(1)
    engine.unmap("p", "r", 0, 2)
    assert gauges(engine) == (1, 0, 0, 0)
    engine.scan_batches(1)
    assert gauges(engine) == (0, 0, 0, 0)


def test_a_pinned_page_is_looked_at_again():
    engine = pksm(7, 7)
    engine.pin("p", "r", 1)
    engine.scan_passes(2)
    assert gauges(engine) == (0, 0, 1, 0)
    engine.unpin("p")
    engine.scan_passes(1)
    assert gauges(engine) == (1, 1, 0, 0)


def test_equal_hashes_of_different_pages_count_as_merged():
    checksum = sampled_hash(seed=0)
    page = bytearray(repeated(7)(0))
    unsampled = next(
        at for at in range(4096) if checksum(page[:at] + b"!" + page[at + 1 :]) == checksum(page)
    )
    engine = pksm(7, 7)
    engine.poke("p", "r", 1, 1, unsampled, 8)
    contents = [bytes(frame.data) for frame in frames(engine)]
    engine.scan_passes(1)
    assert gauges(engine) == (1, 0, 0, 0)
    assert [bytes(frame.data) for frame in frames(engine)] == contents
    engine.scan_passes(3)
    assert gauges(engine) == (1, 0, 0, 0)


def test_the_hash_depends_on_the_boot_and_on_sampled_words_alone():
    page = bytes(range(256)) * 16
    assert sampled_hash(seed=0)(page) == sampled_hash(seed=0)(page)
    assert sampled_hash(seed=0)(page) != sampled_hash(seed=1)(page)
    seen = sum(
        sampled_hash(seed=0)(page[:at] + b"\xff\xff\xff\xff" + page[at + 4 :])
        != sampled_hash(seed=0)(page)
        for at in range(0, 4096, 4)
    )
    assert seen == 64


@settings(max_examples=150, deadline=None)
@given(workloads(variants=("pksm",)))
def test_state_is_consistent_and_memory_is_untouched_after_every_batch(workload):
    simulation = Simulation(workload)
    engine, shadow, done = simulation.engine, Shadow(), -1
    scanner = engine.scanner
    for number in simulation.run():
        while done < number:
            done += 1
            shadow.apply(workload.steps[done])
        shadow.check(engine)
        check_frames(engine)
        check_items(engine)
    for name in tuple(engine.processes):
        engine.exit(name)
    scanner.scan_batch()
    assert (scanner.rmap_items, scanner.stable_nodes) == (0, 0)
    # What was merged into a page that was then dropped counts for ever.
    assert gauges(engine)[::2] == (0, 0)
    assert gauges(engine)[3] == 0
    assert scanner.saved_pages == 0


def check_reverse_mapping(engine, item):
    """Every entry that maps a page lies in a mapping under its anon_vma; all of those are alive."""
    under = item.anon_vma.vmas
    alive = {id(vma): mm for mm in engine.memory.mms for vma in mm.vmas}
    assert all(alive[id(vma)] is mm for vma, mm in under)
    assert [vma.start for vma, _ in under] == sorted(vma.start for vma, _ in under)
    for process in engine.processes.values():
        for vpn, frame in process.mm.ptes.items():
            if frame is item.page:
                assert vpn == item.vpn
                places = [vma for vma, mm in under if mm is process.mm]
                assert any(vma.start <= vpn < vma.end for vma in places)


def check_items(engine):
    """What the counters say is what items and page tables show."""
    scanner = engine.scanner
    items = [*scanner._items.values(), *scanner._deleted]
    in_tree = {flag: [i for i in items if flag in i.flags] for flag in PksmFlag}
    assert scanner.pages_shared == len(in_tree[PksmFlag.STABLE])
    assert scanner.pages_unshared == len(in_tree[PksmFlag.UNSTABLE])
    assert list(scanner._checksum_list) == sorted(
        in_tree[PksmFlag.UNSTABLE], key=list(scanner._checksum_list).index
    )
    assert scanner.pages_sharing >= sum(item.mapcount for item in items) >= 0
    assert set(scanner._lists._new) == set(in_tree[PksmFlag.NEWLIST])
    assert set(scanner._lists._rescan) == set(in_tree[PksmFlag.RESCAN_LIST])
    for item in items:
        if item.page is not None and not item.page.ksm:
            check_reverse_mapping(engine, item)
    entries = Counter(
        frame for p in engine.processes.values() for frame in p.mm.ptes.values() if frame.ksm
    )
    assert scanner.saved_pages == entries.total() - len(entries) + gauges(engine)[3]
    assert scanner.readings()["pages_shared"] == len(entries)
