"""Baselines in parts, while mms come and go."""

from ksmtrace.sources.live.gathered.chunk import ChunkFlag, Tag, read_words
from ksmtrace.sources.live.gathered.inventory import Inventory
from ksmtrace.sources.live.gathered.mm_list import MmList
from support.chunks import Item, WordWriter

A, B, C = 0xFFFF888000001000, 0xFFFF888000002000, 0xFFFF888000003000


def listed(*mms):
    """A part that lists these to their end."""
    writer = WordWriter()
    for mm in mms:
        writer.mm(mm)
        writer.item(Item(16, Tag.PLAIN, mm + 64, baseline=True))
        writer.end()
    return read_words(writer.finish())


def test_an_mm_that_was_listed_goes_before_the_next_part():
    """What is listed next is behind the one before it."""
    populations, order = {}, MmList()
    inventory = Inventory(populations, order)
    assert not inventory.take(ChunkFlag.FIRST, listed(A, B), 1)
    order.remove(B)
    del populations[B]
    assert inventory.take(ChunkFlag.LAST, listed(C), 2)
    assert list(order) == [A, C]
    assert set(populations) == {A, C}


def passed(*mms):
    """A part that comes by these, which have been listed."""
    writer = WordWriter()
    for mm in mms:
        writer.mm(mm)
    return writer


def test_an_mm_that_was_put_in_front_of_what_is_listed_is_found_by_a_second_walk():
    """Whoever exits amid the inventory is put behind ksmd, which may be where it has listed."""
    populations, order = {}, MmList()
    inventory = Inventory(populations, order)
    assert not inventory.take(ChunkFlag.FIRST, listed(A, C), 1)
    again = passed(A)
    again.mm(B)
    again.item(Item(16, Tag.PLAIN, B + 64, baseline=True))
    again.end()
    again.mm(C)
    assert inventory.take(ChunkFlag.LAST, read_words(again.finish()), 2)
    assert list(order) == [A, B, C]
    assert {mm: len(known) for mm, known in populations.items()} == {A: 1, B: 1, C: 1}


def test_an_inventory_amid_which_something_was_lost_does_not_count():
    """Parts of it may be missing; what was known of other mms stays until the next one ends."""
    populations, order = {}, MmList()
    inventory = Inventory(populations, order)
    assert inventory.take(ChunkFlag.FIRST | ChunkFlag.LAST, listed(A, B, C), 1)
    assert not inventory.take(ChunkFlag.FIRST, listed(A), 2)
    inventory.lose()
    assert not inventory.take(ChunkFlag.LAST, listed(C), 3)
    assert not inventory.complete
    assert set(populations) == {A, B, C}
    assert inventory.take(ChunkFlag.FIRST | ChunkFlag.LAST, listed(A, C), 4)
    assert inventory.complete
    assert set(populations) == {A, C}
