"""Chunks of a batch, put together: those of mms that exit come from any processor."""

from ksmtrace.sources.live.gathered.batch import BatchReader, Header, read_batch
from ksmtrace.sources.live.gathered.chunk import (
    FROM_START,
    ChunkError,
    ChunkFlag,
    Stretch,
    Tag,
)
from support.chunks import Item, WordWriter

WHOLE = ChunkFlag.FIRST | ChunkFlag.LAST
LEAVES = WHOLE | ChunkFlag.LEAVING
STAYING, LEAVING, OTHER = 0x1000, 0x2000, 0x3000


def take(reader, flags, mm, pages, *, behind=None, batch=0, err=0):
    """The batch that a chunk with these pages of a list ends."""
    writer = WordWriter()
    writer.mm(mm, behind)
    for page in pages:
        writer.item(Item(page, Tag.STABLE))
    words = writer.finish()
    header = Header(0, err, int(flags), writer.items, batch, 1, 0, 0, 0, 0)
    ended = reader.take(header, words)
    return None if ended is None else read_batch(ended)


def test_an_mm_that_is_seen_twice_is_one_list():
    reader = BatchReader()
    take(reader, LEAVES, LEAVING, [1, 2, 3])
    take(reader, LEAVES, OTHER, [7])
    take(reader, LEAVES, LEAVING, [4], behind=3)
    batch = take(reader, WHOLE, STAYING, [9])
    assert not batch.broken
    assert [walk.stretches for walk in batch.leaving] == [
        [Stretch(LEAVING, FROM_START, ended=False, first=0, stop=4)],
        [Stretch(OTHER, FROM_START, ended=False, first=0, stop=1)],
    ]
    assert batch.leaving[0].vpn.tolist() == [1, 2, 3, 4]


def test_a_list_that_lacks_a_part_says_nothing():
    reader = BatchReader()
    take(reader, LEAVES, LEAVING, [1, 2, 3])
    take(reader, LEAVES, LEAVING, [6], behind=5)
    batch = take(reader, WHOLE, STAYING, [9])
    assert batch.broken
    assert batch.leaving == []


def test_what_comes_behind_the_end_of_its_batch_is_no_part_of_the_next():
    reader = BatchReader()
    assert take(reader, WHOLE, STAYING, [9]).late == 0
    take(reader, LEAVES, LEAVING, [1, 2], batch=0)
    take(reader, LEAVES, OTHER, [7], batch=1)
    batch = take(reader, WHOLE, STAYING, [10], behind=9, batch=1)
    assert batch.late == 2
    assert [walk.stretches[0].mm for walk in batch.leaving] == [OTHER]
    assert not batch.broken
    assert take(reader, WHOLE, STAYING, [11], behind=10, batch=2).late == 0


def test_a_list_that_is_freed_while_it_is_told_leaves_the_batch_whole():
    reader = BatchReader()
    take(reader, LEAVES, LEAVING, [1, 2], err=ChunkError.TORN)
    batch = take(reader, WHOLE, STAYING, [9])
    assert batch.unsure
    assert not batch.broken
    assert not batch.cut
    assert len(batch.leaving) == 1
