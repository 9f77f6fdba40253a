"""Chains and dups: which dup takes the next sharer, and when chains go."""

import pytest
from unit.engine.machines import chains, gauges, machine, region, since

from ksmtrace.engine.ksm.stable_node import Place, is_page_sharing_candidate

WITH_CHAINS = pytest.mark.parametrize("variant", since(4, 13))
ALWAYS, NEVER = 0, 10**9


def chained(variant, pages, limit=3, prune=NEVER):
    """An engine on which `pages` equal pages of process "p" are merged."""
    engine = machine(variant, max_page_sharing=limit, stable_node_chains_prune_millisecs=prune)
    region(engine, "p", "r", [7] * pages)
    engine.scan_passes(2)
    return engine


def sharers(engine):
    """Numbers of rmap_items on the dups, front of the chain first."""
    node = engine.ksm.stable_roots[0].rb_node
    assert node.place is Place.CHAIN
    return [len(dup.items) for dup in node.dups]


@WITH_CHAINS
def test_a_new_dup_stands_in_front(variant):
    engine = chained(variant, 5)
    assert (sharers(engine), chains(engine)) == ([2, 3], (1, 2))


@WITH_CHAINS
@pytest.mark.parametrize("prune", [ALWAYS, NEVER])
def test_the_first_dup_with_room_takes_the_next_page(variant, prune):
    engine = chained(variant, 5, prune=prune)
    region(engine, "p", "s", [7])
    engine.scan_passes(2)
    assert (sharers(engine), gauges(engine)) == ([3, 3], (2, 4, 0, 0))


@WITH_CHAINS
def test_pruning_prefers_the_dup_with_most_sharers(variant):
    for prune, expected in ((ALWAYS, {4, 2}), (NEVER, {3})):
        engine = chained(variant, 8, limit=4, prune=prune)
        engine.write_tunable("pages_to_scan", 100000)
        # both dups are full; the one in front keeps 2 sharers, the other 3
        front, back = engine.ksm.stable_roots[0].rb_node.dups
        for dup, keep in ((front, 2), (back, 3)):
            for item in list(dup.items)[keep:]:
                engine.poke(
                    "p", "r", item.vpn - engine.processes["p"].regions["r"].first_vpn, 1, 0, 9
                )
        engine.scan_passes(1)
        region(engine, "p", "s", [7])
        engine.scan_passes(2)
        assert set(sharers(engine)) == expected


@WITH_CHAINS
def test_a_chain_is_pruned_once_in_a_while(variant):
    engine = chained(variant, 5, prune=100)
    chain = engine.ksm.stable_roots[0].rb_node
    region(engine, "p", "s", [8])
    pruned = []
    for now in (99, 100, 199, 200):
        engine.ksm.now_ms = now
        engine.poke("p", "s", 0, 1, 0, now)
        engine.scan_passes(2)
        pruned.append(chain.chain_prune_time)
    assert pruned == [0, 100, 100, 200]


@WITH_CHAINS
def test_full_dups_make_a_page_wait_for_a_partner(variant):
    engine = chained(variant, 6)
    region(engine, "p", "s", [7])
    engine.scan_passes(3)
    assert (gauges(engine), chains(engine)) == ((2, 4, 1, 0), (1, 2))
    region(engine, "p", "t", [7])
    engine.scan_passes(2)
    assert (gauges(engine), chains(engine)) == ((3, 5, 0, 0), (1, 3))


def left_with_one_dup(variant, prune):
    engine = chained(variant, 5, prune=prune)
    front, _ = engine.ksm.stable_roots[0].rb_node.dups
    first = engine.processes["p"].regions["r"].first_vpn
    for item in list(front.items):
        engine.discard("p", "r", item.vpn - first, 1)
    engine.discard("p", "r", 0, 1)
    engine.scan_passes(1)
    region(engine, "p", "s", [7])
    engine.scan_passes(2)
    return engine


@pytest.mark.parametrize(
    ("variant", "prune", "expected"),
    [
        ("ksm-6.1", ALWAYS, (0, 0)),
        ("ksm-6.1", NEVER, (1, 1)),
        ("ksm-6.12", ALWAYS, (0, 0)),
        ("ksm-6.12", NEVER, (0, 0)),
    ],
)
def test_the_last_dup_takes_the_chains_place_only_when_pruning_before_6_11(
    variant, prune, expected
):
    engine = left_with_one_dup(variant, prune)
    assert chains(engine) == expected
    assert gauges(engine)[0] == 1


@WITH_CHAINS
def test_forks_go_beyond_max_page_sharing(variant):
    engine = chained(variant, 3)
    for number in range(3):
        engine.fork("p", f"c{number}")
    engine.scan_passes(1)
    node = engine.ksm.stable_roots[0].rb_node
    assert (len(node.items), chains(engine)) == (12, (0, 0))
    assert not is_page_sharing_candidate(engine.ksm, node)


@WITH_CHAINS
def test_a_chain_without_dups_goes_when_a_search_comes_by(variant):
    engine = chained(variant, 5)
    engine.unmap("p", "r", 0, 5)
    engine.scan_passes(1)
    assert chains(engine) == (1, 0)
    region(engine, "p", "s", [8])
    engine.scan_passes(2)
    assert chains(engine) == (0, 0)
    assert gauges(engine) == (0, 0, 1, 0)
