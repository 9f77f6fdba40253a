"""UKSM's hash, its walk over a rung and its judging, against a second and naive implementation."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from ksmtrace.engine.ksm.watcher import Watcher
from ksmtrace.engine.machine.memory import Mm, Vma
from ksmtrace.engine.uksm.ladder import judge_slot
from ksmtrace.engine.uksm.page_hash import PageHash
from ksmtrace.engine.uksm.rung import Rung
from ksmtrace.engine.uksm.slot import Slot
from ksmtrace.engine.uksm.strength import HashStrength
from ksmtrace.engine.variants import VARIANTS
from support import naive_uksm

pages = st.one_of(
    st.binary(min_size=8, max_size=8).map(lambda word: word * 512),
    st.binary(min_size=64, max_size=64).map(lambda some: some * 64),
    st.integers(0, 2**32).map(lambda seed: random.Random(seed).randbytes(4096)),
)
strengths = st.one_of(st.integers(1, 1034), st.sampled_from([1, 64, 1023, 1024, 1025, 1034]))


@settings(max_examples=200, deadline=None)
@given(pages, strengths, strengths, st.integers(0, 100))
def test_hashes_at_any_strength_and_from_one_to_another(page, strength, other, seed):
    hashes = PageHash(random.Random(seed))
    order = hashes.permutation
    assert sorted(order) == list(range(1024))
    data = hashes.pool.page(page)
    values = {}
    for number in (strength, other, strength):
        hashes.change_strength(number)
        values[number] = hashes.of(data)
        assert values[number] == naive_uksm.sampled_hash(page, order, number)
    low, high = sorted((strength, other))
    assert naive_uksm.stepped_back(values[high], page, order, high, low) == values[low]
    assert hashes.max_of(data) == (naive_uksm.sampled_hash(page, order, 1034) or 1)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.binary(min_size=8, max_size=8), min_size=130, max_size=140), strengths)
def test_many_pages_are_hashed_as_each_is(words, strength):
    hashes = PageHash(random.Random(1))
    hashes.change_strength(strength)
    found = [hashes.pool.page(word * 512) for word in words]
    for data in found:
        expected = naive_uksm.sampled_hash(bytes(data), hashes.permutation, strength)
        assert hashes.of(data) == expected


@given(
    rung=st.integers(0, 3),
    whole=st.booleans(),
    merged=st.integers(0, 30),
    cowed=st.integers(0, 40),
    visits=st.integers(1, 30),
    abundant=st.integers(0, 99),
    thrash=st.integers(0, 99),
)
def test_judging(rung, whole, merged, cowed, visits, abundant, thrash):
    scanner = VARIANTS["uksm"].make(VARIANTS["uksm"], 1, Watcher())
    uksm = scanner.uksm
    uksm.abundant_threshold, uksm.thrash_threshold = abundant, thrash
    slot = slot_of(40)
    uksm.rungs[rung].enter([slot], uksm.page_time)
    slot.pages_merged, slot.pages_cowed, slot.this_sampled = merged, cowed, visits
    slot.pages_scanned = 40 if whole else 33
    judge_slot(uksm, slot)
    assert slot.rung.number == naive_uksm.verdict(
        rung=rung, top=3, whole=whole, merged=merged, cowed=cowed, visits=visits,
        abundant=abundant, thrash=thrash,
    )  # fmt: skip
    assert (slot.pages_merged, slot.pages_cowed, slot.this_sampled) == (0, 0, 0)
    assert slot.pages_scanned == (0 if whole else 33)
    assert [one.count for one in uksm.rungs].count(1) == 1


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(1, 40), st.integers(0, 100)
)
def test_one_round_visits_every_so_manieth_page(sizes, sampled, seed):
    rung = Rung(0, random.Random(seed))
    rung.cpu_ratio, rung.cover_msecs = 1, sampled
    slots = [slot_of(size) for size in sizes]
    rung.enter(slots, 100)
    assert rung.step == max(1, sum(sizes) // max(sampled, 3))
    ((slot, page),) = here(rung, slots)
    start = sum(sizes[:slot]) + page
    assert start < rung.step
    visited = []
    while not rung.round_finished:
        visited += here(rung, slots)
        if rung.offset + rung.step > rung.current.pages - 1:
            rung.advance(100)
        else:
            rung.offset += rung.step
    assert visited == naive_uksm.walk(sizes, start, rung.step)


costs = st.lists(
    st.tuples(
        st.integers(0, 100_000),
        st.one_of(st.just(0), st.just(0), st.integers(0, 100_000)),
        st.integers(1, 100),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(costs, st.integers(1, 300))
def test_the_search_for_a_strength(scans, first):
    ours, theirs = HashStrength(), naive_uksm.Strength()
    hashed = 0
    for number, (pos, neg, pages) in enumerate(scans, start=first):
        ours.pos, ours.neg = pos, neg
        hashed += pages
        before = ours.strength
        changed = ours.adjust(hashed, number)
        assert ours.strength == theirs.scanned(pos, neg, pages, number)
        assert changed == (ours.strength != before)
    assert not ours.adjust(hashed, 1)


def here(rung, slots):
    return [(slots.index(rung.current), rung.offset)]


def slot_of(pages):
    return Slot(1, Mm(0, 1, "p"), Vma(0, pages, "r"))
