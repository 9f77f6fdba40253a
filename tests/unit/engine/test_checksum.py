"""Checksums and contents of pages."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.engine.machines import machine

from ksmtrace.engine.machine.bulk_checksum import JHASH2, XXHASH, one_by_one
from ksmtrace.engine.machine.checksum import jhash2, xxh64, xxhash
from ksmtrace.engine.machine.content import PageData, PagePool


@pytest.mark.parametrize(
    ("byte", "expected"),
    [(0, 0x32D8BBDB), (ord("a"), 0x892C1603), (ord("*"), 0x9005251D), (0xFF, 0x4282321F)],
)
def test_xxhash_of_one_byte_repeated(byte, expected):
    assert xxhash(bytes([byte]) * 4096) == expected


def test_xxh64_of_the_zero_page():
    assert xxh64(bytes(4096)) == 0xAC869B6F32D8BBDB


@pytest.mark.parametrize(("byte", "expected"), [(0, 0x61574272), (ord("a"), 0x0ADEFE69)])
def test_jhash2_of_one_byte_repeated(byte, expected):
    assert jhash2(bytes([byte]) * 4096) == expected


@pytest.mark.parametrize("checksum", [xxh64, jhash2])
@settings(max_examples=30, deadline=None)
@given(offset=st.integers(0, 4095))
def test_every_byte_counts(checksum, offset):
    page = bytearray(4096)
    page[offset] = 1
    assert checksum(bytes(page)) != checksum(bytes(4096))


PAGES = st.one_of(
    st.binary(min_size=8, max_size=8).map(lambda word: word * 512),
    st.tuples(st.binary(min_size=8, max_size=8), st.integers(0, 4095), st.integers(0, 255)).map(
        lambda t: (t[0] * 512)[: t[1]] + bytes([t[2]]) + (t[0] * 512)[t[1] + 1 :]
    ),
)


@settings(deadline=None)
@given(PAGES, PAGES)
def test_equal_contents_are_one_object(one, other):
    pool = PagePool(XXHASH)
    a, b = pool.page(one), pool.page(other)
    assert (a is b) == (one == other)
    assert bytes(b) == other
    assert bytes(a) == one
    assert pool.checksum(a) == xxhash(one)


@settings(deadline=None)
@given(PAGES, st.integers(0, 4095), st.integers(0, 255))
def test_poke_changes_one_byte(page, offset, value):
    pool = PagePool(XXHASH)
    changed = bytearray(page)
    changed[offset] = value
    assert pool.poke(pool.page(page), offset, value) is pool.page(bytes(changed))


def test_a_repeated_word_is_kept_once():
    assert PagePool(XXHASH).page(b"12345678" * 512).unit == b"12345678"
    assert not hasattr(PageData(b"12345678"), "__dict__")


def test_a_page_of_another_size_is_refused():
    with pytest.raises(ValueError, match="4096"):
        PagePool(XXHASH).page(b"short")


@pytest.mark.parametrize("checksum", [XXHASH, JHASH2, one_by_one(jhash2)])
@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=5))
def test_many_at_once_are_as_one_by_one(checksum, words):
    some = [word.to_bytes(8, "little") for word in words]
    assert checksum.of_words(some).tolist() == [checksum.of_page(word * 512) for word in some]


def test_a_pool_hashes_many_pages_at_once():
    pool = PagePool(XXHASH)
    pages = [pool.page(index.to_bytes(8, "little") * 512) for index in range(1000)]
    odd = pool.poke(pages[5], 1000, 1)
    assert pool.checksum(pages[3]) == xxhash(bytes(pages[3]))
    assert all(page.checksum_memo == xxhash(bytes(page)) for page in pages)
    assert pool.checksum(odd) == xxhash(bytes(odd))
    late = pool.page(b"latecome" * 512)
    assert pool.checksum(late) == xxhash(bytes(late))


@settings(deadline=None)
@given(PAGES, PAGES)
def test_pages_compare_as_their_bytes_do(one, other):
    ksm = machine().ksm
    frames = [ksm.memory.new_frame(ksm.memory.pool.page(content)) for content in (one, other)]
    assert ksm.memcmp_pages(*frames) == (one > other) - (one < other)
    assert ksm.counters.comparisons == 1
