"""Chains and stable nodes whose page is gone, in trees where most searches pass none of them."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.engine.machines import MODES

from ksmtrace.engine.engine import Engine
from ksmtrace.engine.trace.emitter import Emitter
from ksmtrace.engine.variants import KERNELS, NEWEST

PAGES = 700
CLASSES = 120


def content(number):
    return (number * (2**64 // CLASSES)).to_bytes(8, "big") * 512


def busy(variant, mode, seed, limit):
    """After each of some passes, or parts of one: the engine, and what it has emitted since.

    Memory changes in between.
    """
    chance = random.Random(seed)
    emitter = Emitter()
    tunables = {"pages_to_scan": 10_000}
    if KERNELS[variant].chains:
        tunables["max_page_sharing"] = limit
    engine = Engine(variant, tunables, watcher=emitter, **MODES[mode])
    for name in "pq":
        engine.spawn(name)
        engine.map(name, "r", PAGES)
        numbers = [min(chance.randrange(CLASSES), chance.randrange(CLASSES)) for _ in range(PAGES)]
        engine.fill(name, "r", 0, PAGES, lambda at, of=numbers: content(of[at]))
        engine.mergeable(name, "r", 0, PAGES)
    for _ in range(8):
        engine.scan_passes(chance.randrange(1, 3))
        yield engine, emitter.take()
        first = chance.randrange(PAGES - 60)
        what = chance.choice([engine.fill, engine.discard, engine.poke, None])
        if what == engine.fill:
            by = chance.randrange(9)
            engine.fill("p", "r", first, 60, lambda at, by=by: content(at % 50 + by))
        elif what == engine.poke:
            engine.poke("q", "r", first, 30, 4000, 7)
        elif what is not None:
            engine.discard("q", "r", first, 60)
        if chance.random() < 0.3:
            engine.write_tunable("pages_to_scan", 300)
            engine.scan_batches(2)
            engine.write_tunable("pages_to_scan", 10_000)


@pytest.mark.parametrize("variant", ["ksm-4.4", "ksm-6.1", NEWEST])
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), limit=st.integers(2, 30))
def test_modes_agree(variant, seed, limit):
    runs = [busy(variant, mode, seed, limit) for mode in MODES]
    for steps in zip(*runs, strict=True):
        assert len({batch.events.tobytes() for _, batch in steps}) == 1
        assert len({str(engine.counters()) for engine, _ in steps}) == 1
        engines = dict(zip(MODES, (engine for engine, _ in steps), strict=True))
        compared = [engines[mode].scanner.comparisons for mode in ("accelerated", "reference")]
        assert compared[0] == compared[1]


def walk(ksm, unit):
    """Whether a search for a content comes by a chain or a node whose page is gone."""
    node = ksm.stable_roots[0].rb_node
    while node is not None:
        if node.kpage is None or node.kpage in ksm.accelerator.index.hazards.freed:
            return True
        if unit == node.rb_key:
            return False
        node = node.rb_left if unit < node.rb_key else node.rb_right
    return False


def asked_and_met(seed, limit):
    """Contents, whether `meet` says so, and whether a walk does, after each step."""
    asked = [content(number)[:8] for number in range(CLASSES)]
    asked += [bytes([7]) + unit[1:] for unit in asked]
    for engine, _ in busy(NEWEST, "accelerated", seed, limit):
        hazards = engine.ksm.accelerator.index.hazards
        if hazards and engine.ksm.memory.pool.only_words:
            met = hazards.meet(engine.ksm.stable_roots[0], asked).tolist()
            for unit, found in zip(asked, met, strict=True):
                yield unit, found, walk(engine.ksm, unit)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 30))
def test_a_search_meets_what_is_above_its_place(seed, limit):
    in_tree = {content(number)[:8] for number in range(CLASSES)}
    for unit, found, met in asked_and_met(seed, limit):
        assert found >= met
        assert found == met or unit in in_tree  # a neighbour above counts as met


def test_some_searches_meet_them_and_some_do_not():
    met = [met for seed in range(4) for _, _, met in asked_and_met(seed, 30)]
    assert set(met) == {True, False}
