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
