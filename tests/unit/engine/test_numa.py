"""NUMA nodes: a tree for each with merge_across_nodes=0, and pages that come to another node."""

import pytest
from unit.engine.machines import chains, gauges, machine, region, since
from unit.engine.test_random_workloads import rmap_items

from ksmtrace.engine.ksm.stable_node import Place
from ksmtrace.engine.variants import KERNELS

ALL = pytest.mark.parametrize("variant", KERNELS)


def on_nodes(variant, across, pages=3):
    """`pages` equal pages on each of two nodes, in regions n0 and n1 of process p."""
    engine = machine(variant, nodes=2, merge_across_nodes=across)
    for nid in (0, 1):
        engine.ksm.memory.node_of_next_page = nid
        region(engine, "p", f"n{nid}", [7] * pages)
    return engine


def kpages(engine):
    """The KSM pages mapped by p."""
    return {frame for frame in engine.processes["p"].mm.ptes.values() if frame.ksm}


@ALL
def test_across_nodes_all_share_one_page(variant):
    engine = on_nodes(variant, 1)
    engine.scan_passes(2)
    assert gauges(engine) == (1, 5, 0, 0)


@ALL
def test_within_nodes_each_has_its_page(variant):
    engine = on_nodes(variant, 0)
    engine.scan_passes(2)
    assert gauges(engine) == (2, 4, 0, 0)
    assert sorted(page.nid for page in kpages(engine)) == [0, 1]
    engine.write_run(2)
    assert gauges(engine) == (0, 0, 0, 0)
    assert all(root.rb_node is None for root in engine.ksm.stable_roots)


@ALL
def test_a_page_still_mapped_keeps_its_own_tree_alone(variant):
    engine = machine(variant, nodes=2, merge_across_nodes=0)
    for nid in (0, 1):
        engine.ksm.memory.node_of_next_page = nid
        region(engine, "q", f"n{nid}", [7])
        region(engine, "p", f"n{nid}", [7], mergeable=False)
        # Not mergeable there, so that run = 2 leaves the pages alone: child0 has one of node 0,
        # child1 both.
        engine.fork("p", f"child{nid}")
    for nid in (0, 1):
        engine.mergeable("p", f"n{nid}", 0, 1)
    engine.scan_passes(2)
    engine.write_run(2)
    assert [len(group) for group in engine.groups()] == [2, 1]
    assert all(root.rb_node is not None for root in engine.ksm.stable_roots)
    engine.exit("child1")
    engine.write_run(0)
    engine.write_run(2)
    assert engine.ksm.stable_roots[0].rb_node is not None
    assert engine.ksm.stable_roots[1].rb_node is None


@ALL
def test_switching_is_refused_while_pages_are_merged(variant):
    engine = on_nodes(variant, 1)
    engine.scan_passes(2)
    with pytest.raises(OSError, match="EBUSY"):
        engine.write_tunable("merge_across_nodes", 0)
    engine.write_run(2)
    engine.write_tunable("merge_across_nodes", 0)


@ALL
def test_a_page_that_migrated_takes_its_node_to_the_other_tree(variant):
    engine = machine(variant, nodes=2, merge_across_nodes=0)
    region(engine, "p", "r", [7] * 3)
    engine.scan_passes(2)
    (kpage,) = kpages(engine)
    kpage.nid = 1
    engine.scan_passes(1)
    assert gauges(engine) == (1, 2, 0, 0)
    assert engine.ksm.stable_roots[0].rb_node is None
    assert engine.ksm.stable_roots[1].rb_node is kpage.stable_node
    assert engine.ksm.migrate_nodes == []


@pytest.mark.parametrize("variant", since(4, 13))
def test_a_migrated_page_that_meets_its_equal_becomes_a_dup(variant):
    engine = on_nodes(variant, 0)
    engine.scan_passes(2)
    (moved,) = (page for page in kpages(engine) if page.nid == 0)
    moved.nid = 1
    engine.scan_passes(1)
    assert gauges(engine) == (2, 4, 0, 0)
    assert chains(engine) == (1, 2)
    assert moved.stable_node.place is Place.DUP
    assert moved.stable_node.nid == 1


def test_a_migrated_page_that_is_freed_leaves_migrate_nodes_when_a_pass_begins():
    engine = machine(nodes=2, merge_across_nodes=0, pages_to_scan=1)
    region(engine, "p", "r", [7] * 2)
    engine.scan_passes(2)
    (kpage,) = kpages(engine)
    from ksmtrace.engine.ksm.stable_tree import migrate_node

    migrate_node(engine.ksm, kpage.stable_node)
    engine.unmap("p", "r", 0, 2)
    assert len(engine.ksm.migrate_nodes) == 1
    engine.scan_passes(1)
    assert engine.ksm.migrate_nodes == []


@pytest.mark.parametrize("variant", KERNELS)
def test_equal_pages_of_another_node_are_passed_over_when_the_tree_holds_one(variant):
    engine = machine(variant, nodes=2, merge_across_nodes=0)
    region(engine, "p", "r", [7])
    engine.scan_passes(2)
    (frame,) = engine.processes["p"].mm.ptes.values()
    assert gauges(engine) == (0, 0, 1, 0)
    frame.nid = 1
    engine.scan_passes(1)
    (item,) = rmap_items(engine.ksm)
    assert (item.nid, gauges(engine)) == (1, (0, 0, 1, 0))
