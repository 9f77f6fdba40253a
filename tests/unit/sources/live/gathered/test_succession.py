"""Batches that follow one another are expanded as one, and it does not show."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.events import EventKind, empty_records
from ksmtrace.sources.live.gathered.chunk import GATHERED, ChunkFlag, Tag
from ksmtrace.sources.live.gathered.expander import Expander
from ksmtrace.sources.live.gathered.expansion import Expansion
from support.chunks import Item, WordWriter

MMS = [0xFFFF888000000000 + 0x1000 * n for n in range(4)]
FIRST = 0x100000
SPAN = 1000
"""Nanoseconds of a batch, and of the sleep behind it."""


def item(mm, page, checksum=7):
    address = 64 * (1 + page) + 0xFFFF888100000000 + 0x100000 * MMS.index(mm)
    return Item(FIRST + page, Tag.PLAIN, rmap_item=address, checksum=checksum)


def header(flags, items, number, seqnr=1):
    """Of a chunk that is a batch of its own."""
    record = empty_records(1)
    record["kind"], record["flags"] = GATHERED, flags | ChunkFlag.FIRST | ChunkFlag.LAST
    record["oldchecksum"], record["mm"], record["address"] = items, number, seqnr
    record["pfn"] = 10**9 + 2 * SPAN * number
    record["ts"] = record["pfn"] + SPAN
    record["seq"] = number + 1
    return record


def batches(populations, cuts, begin=0):
    """(header, words) of a pass over these numbers of pages by mm, cut into batches."""
    pages = [(mm, page) for mm, count in populations for page in range(count)]
    ends = {mm: count - 1 for mm, count in populations}
    bounds = sorted({0, *(min(cut, len(pages)) for cut in cuts), len(pages)})
    number = begin
    for first, stop in pairwise(bounds):
        writer, here = WordWriter(), None
        if first:
            here, page = pages[first - 1]
            writer.mm(here, FIRST + page)
            if page == ends[here] and first < stop:
                writer.end()
        for mm, page in pages[first:stop]:
            if mm != here:
                writer.mm(mm)
                here = mm
            writer.item(item(mm, page))
            if page == ends[mm] and (mm, page) != pages[stop - 1]:
                writer.end()
        flags = 0
        if not first:
            flags |= ChunkFlag.FROM_HEAD
        if stop == len(pages):
            flags |= ChunkFlag.PASS_ENDED
            writer.end()
        yield header(flags, writer.items, number), writer.finish()
        number += 1


def inventory():
    writer = WordWriter()
    record = header(ChunkFlag.INVENTORY, 0, 0)
    record["seq"] = 0
    return record, writer.finish()


def expanded(batches, *, together):
    """The events of these batches, read out of the ring at once or one by one."""
    expander = Expander()
    first, words = inventory()
    expander.feed(first, [words])
    if together:
        heads = np.concatenate([head for head, _ in batches])
        return expander.feed(heads, [words for _, words in batches])
    return np.concatenate([expander.feed(head, [words]) for head, words in batches])


POPULATIONS = st.lists(st.integers(1, 30), min_size=1, max_size=4).map(
    lambda counts: list(zip(MMS, counts, strict=False))
)


@given(POPULATIONS, st.lists(st.integers(0, 120), max_size=8))
def test_a_pass_is_the_same_however_it_is_cut(populations, cuts):
    told = list(batches(populations, cuts))
    with pytest.MonkeyPatch.context() as patch:
        calls, expand = [], Expansion.expand
        patch.setattr(Expansion, "expand", lambda *asked: calls.append(asked) or expand(*asked))
        together = expanded(told, together=True)
    alone = expanded(told, together=False)
    assert len(calls) == 1
    times = together["ts"].copy()
    together["ts"] = alone["ts"] = 0
    assert together.tobytes() == alone.tobytes()
    assert (np.diff(times.astype(np.int64)) >= 0).all()
    examined = times[together["kind"] == EventKind.CMP_AND_MERGE_PAGE]
    first = 0
    for head, _ in told:
        of_batch = examined[first : first + int(head["oldchecksum"][0])]
        assert (of_batch >= head["pfn"]).all()
        assert (of_batch <= head["ts"]).all()
        first += len(of_batch)


@given(st.integers(9, 30), st.integers(1, 4), st.integers(1, 4))
def test_a_batch_that_begins_elsewhere_is_none_that_follows(count, cut, gap):
    """What is between was missed, and is lost, as it is where each is read alone."""
    whole = [(MMS[0], count)]
    before, _, after = batches(whole, [cut, cut + gap], begin=1)
    for number, (head, _) in enumerate((before, after), 1):
        head["mm"], head["address"] = number, 2
    told = [*batches(whole, []), before, after]
    together, alone = expanded(told, together=True), expanded(told, together=False)
    assert together.tobytes() == alone.tobytes()
    assert together["aux"][together["kind"] == EventKind.LOST].tolist() == [gap]
