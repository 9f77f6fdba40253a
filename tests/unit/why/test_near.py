"""Near pages of populations with planted fields: all found, of the right kind, and no false one."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ksmtrace.kernel.mappings import Mapping
from ksmtrace.why.fields import Known, fields_of, frequent
from ksmtrace.why.kinds import Look
from ksmtrace.why.near import MOST_BYTES, Signer, candidates, nearest, read_pairs
from ksmtrace.why.surroundings import Now, surroundings

PAGE = 4096
HEAP = 0x5555_0000_0000
REAL = 1_790_000_000_000_000_000
NOW = Now(REAL, 500_000 * 10**9)
STARTED = 400_000 * 10**9
OWN = surroundings(
    [
        Mapping(HEAP, HEAP + (1 << 24), "rw-p", 0, "[heap]"),
        Mapping(0x7F00_0000_0000, 0x7F00_1000_0000, "rw-p", 0, ""),
    ],
    canary=0xA1B2C3D4E5F60700,
    started=STARTED,
)
OTHER = surroundings(
    [Mapping(0x6000_0000_0000, 0x6000_1000_0000, "rw-p", 0, "/lib/other.so")],
    canary=0x1122334455667700,
    started=STARTED,
)


class Memory:
    """Pages in memory, as `Fetch` has them."""

    def __init__(self, contents):
        self.contents = contents

    def fetch(self, places):
        return self.contents[places], np.ones(len(places), dtype=bool)


def near_of(contents, asked=None, key=1):
    signer = Signer(np.random.default_rng(key))
    signatures = np.concatenate(
        [signer.signatures(contents[at : at + 1024]) for at in range(0, len(contents), 1024)]
    )
    everyone = np.ones(len(contents), dtype=bool) if asked is None else asked
    return nearest(candidates(signatures, everyone), Memory(contents).fetch)


def described(contents, near, own=OWN, other=OWN, heap=False):
    """The fields of each near page, by its place."""
    counts = frequent(contents)
    often = np.array([value for value, n in counts.items() if n > 1], dtype=np.uint64)
    found = {}
    for part, ours, theirs in read_pairs(near, Memory(contents).fetch):
        known = Known(own, other, np.full(len(part), heap), often, often)
        fields = fields_of(ours, theirs, known, NOW)
        found |= dict(zip(part[:, 0].tolist(), fields, strict=True))
    return found


def random_pages(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, PAGE), dtype=np.uint8)


def plant(contents, place, offset, value, width=8):
    contents[place, offset : offset + width] = np.frombuffer(
        int(value).to_bytes(width, "little"), dtype=np.uint8
    )


PLANTED = {
    "pointer": (Look.POINTER, 0x40, 8, lambda n, _: HEAP + 64 * n),
    "pointer, not aligned": (Look.POINTER, 0x148, 8, lambda n, _: 0x7F00_0000_0001 + 24 * n),
    "realtime ns": (Look.TIME, 0x80, 8, lambda n, _: REAL - n * 10**9),
    "realtime us": (Look.TIME, 0x88, 8, lambda n, _: REAL // 1000 - n * 10**6),
    "realtime ms": (Look.TIME, 0x90, 8, lambda n, _: REAL // 10**6 - n * 10**3),
    "realtime s": (Look.TIME, 0x98, 8, lambda n, _: REAL // 10**9 - n),
    "realtime s, 4 bytes": (Look.TIME, 0x404, 4, lambda n, _: REAL // 10**9 - n),
    "monotonic ns": (Look.TIME, 0xA0, 8, lambda n, _: STARTED + n * 10**9),
    "monotonic us": (Look.TIME, 0xA8, 8, lambda n, _: STARTED // 10**3 + n * 10**6),
    "monotonic ms": (Look.TIME, 0xB0, 8, lambda n, _: STARTED // 10**6 + n * 1000),
    "monotonic s": (Look.TIME, 0xB8, 8, lambda n, _: STARTED // 10**9 + n),
    "counter": (Look.COUNTER, 0x800, 8, lambda n, _: n),
    "large counter": (Look.COUNTER, 0x808, 8, lambda n, _: (1 << 33) + n),
    "counter of 4 bytes": (Look.COUNTER, 0xC04, 4, lambda n, _: n),
    "text": (Look.TEXT, 0x900, 8, lambda n, _: int.from_bytes(f"host{n:04}".encode(), "little")),
    "random": (Look.UNKNOWN, 0xF00, 8, lambda _, r: int(r.integers(1 << 60, 1 << 63))),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_among_random_pages_is_found_and_named(name):
    look, offset, width, value = PLANTED[name]
    random = np.random.default_rng(3)
    contents = random_pages(500, 4)
    family = list(range(100, 200))
    contents[family] = contents[100]
    for number, place in enumerate(family, 1):
        plant(contents, place, offset, value(number, random), width)
    near = near_of(contents)
    assert near[:, 0].tolist() == family
    assert set(near[:, 1].tolist()) <= set(family)
    for fields in described(contents, near).values():
        (field,) = fields
        assert field.look == look, (name, field)
        assert offset <= field.offset < field.offset + field.length <= offset + width
        if look == Look.TIME:
            assert name.removesuffix(", 4 bytes") in field.detail
        if look == Look.POINTER:
            assert field.detail in ("into [heap]", "into anonymous memory")


def test_a_time_in_two_words():
    contents = random_pages(1, 5).repeat(20, axis=0)
    for number in range(20):
        contents[number, 0x100:0x110] = np.frombuffer(
            struct.pack("<QQ", REAL // 10**9 - number, 123_456_789 + 7_654_321 * number), np.uint8
        )
        contents[number, 0x200:0x210] = np.frombuffer(
            struct.pack("<QQ", STARTED // 10**9 + number, 200_000 + 7_321 * number), np.uint8
        )
    for fields in described(contents, near_of(contents)).values():
        assert [(one.offset, one.look) for one in fields] == [
            (0x100, Look.TIME), (0x108, Look.TIME), (0x200, Look.TIME), (0x208, Look.TIME)
        ]  # fmt: skip
        assert "fraction" in fields[1].detail


@pytest.mark.parametrize("known", [True, False])
def test_canaries_of_two_processes(known):
    """By AT_RANDOM, or because each is found in several places of its process and not the other."""
    contents = random_pages(1, 6).repeat(8, axis=0)
    values = (OWN.canary, OTHER.canary)
    for place in range(8):
        for offset in (0x100, 0x600):
            plant(contents, place, offset, values[place % 2])
        plant(contents, place, 0x800, place)  # or those of one process were equal
    near = np.array([(place, place ^ 1, 0) for place in range(0, 8, 2)])
    own, other = OWN, OTHER
    if not known:
        own, other = (surroundings([], 0, STARTED) for _ in range(2))
    for fields in described(contents, near, own, other).values():
        assert [(one.offset, one.look) for one in fields] == [
            (0x100, Look.CANARY), (0x600, Look.CANARY), (0x800, Look.COUNTER)
        ]  # fmt: skip


def test_headers_of_chunks_lead_to_the_next_one():
    contents = np.zeros((2, PAGE), dtype=np.uint8)
    for place, sizes in enumerate(((0x21, 0x41, 0x91), (0x31, 0x31, 0x91))):
        at = 0x108
        for size in sizes:
            plant(contents, place, at, size)
            at += size & ~7
    near = np.array([(0, 1, 0)])
    (fields,) = described(contents, near, heap=True).values()
    assert {one.look for one in fields if one.offset == 0x108} == {Look.ALLOCATOR}
    (outside,) = described(contents, near, heap=False).values()
    assert Look.ALLOCATOR not in {one.look for one in outside}


def test_a_hundred_thousand_random_pages_have_no_near_one():
    """And those that are planted among them are all found."""
    count, planted = 100_000, np.arange(50_000, 100_000, 500)
    random = np.random.default_rng(8)
    signer = Signer(np.random.default_rng(9))
    family = random_pages(1, 10).repeat(len(planted), axis=0)
    for number in range(len(planted)):
        plant(family, number, 0x40, HEAP + 64 * number)
    parts = []
    for first in range(0, count, 1000):
        contents = random.integers(0, 256, (1000, PAGE), dtype=np.uint8)
        here = (planted >= first) & (planted < first + 1000)
        contents[planted[here] - first] = family[here]
        parts.append(signer.signatures(contents))
    pairs = candidates(np.concatenate(parts), np.ones(count, dtype=bool))
    assert set(pairs.ravel().tolist()) == set(planted.tolist())
    assert set(pairs[:, 0].tolist()) == set(planted.tolist())


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(0, 2**32))
def test_a_page_with_some_bytes_changed_is_found(seed, changed, key):
    """Up to 40 of 64 blocks may differ; both are found, and in just these bytes."""
    random = np.random.default_rng(seed)
    contents = random_pages(60, seed)
    offsets = random.choice(64, min(changed, 24), replace=False) * 64 + random.integers(0, 64)
    contents[7] = contents[33]
    contents[7, offsets] ^= 1
    near = near_of(contents, key=key)
    assert near.tolist() == [[7, 33, len(offsets)], [33, 7, len(offsets)]]
    fields = described(contents, near)[7]
    own = b"".join(one.own for one in fields)
    other = b"".join(one.other for one in fields)
    assert sum(a != b for a, b in zip(own, other, strict=True)) == len(offsets)


def test_pages_that_differ_in_more_are_not_near():
    contents = random_pages(2, 1)
    contents[1] = contents[0]
    contents[1, : MOST_BYTES + 1] ^= 0xFF
    assert len(near_of(contents)) == 0
    contents[1, 0] ^= 0xFF
    assert near_of(contents)[:, 2].tolist() == [MOST_BYTES, MOST_BYTES]


def test_only_what_is_asked_about_has_near_ones():
    contents = random_pages(3, 2)
    contents[2] = contents[0]
    contents[2, 99] ^= 1
    asked = np.array([False, True, True])
    assert near_of(contents, asked).tolist() == [[2, 0, 1]]
    assert len(candidates(np.zeros((0, 16), dtype=np.uint64), asked[:0])) == 0
