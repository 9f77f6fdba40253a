"""Words of chunks are read as they were written, whatever is in them and wherever they are cut."""

import re
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.resources import bpf_directory
from ksmtrace.sources.live.gathered import chunk
from ksmtrace.sources.live.gathered.chunk import (
    FROM_START,
    GATHERED,
    IN_STABLE,
    IN_UNSTABLE,
    NEITHER,
    ChunkError,
    ChunkFlag,
    SmartScan,
    Stretch,
    Tag,
    count_items,
    read_words,
)
from support.chunks import Item, WordWriter

PLACES = ("COUNT_SHIFT", "COUNT_MOST", "PAGE_SHIFT")
TREES = {
    Tag.PLAIN: NEITHER,
    Tag.SKIPPED: NEITHER,
    Tag.UNSTABLE: IN_UNSTABLE,
    Tag.STABLE: IN_STABLE,
}
POINTERS = st.integers(1, 2**61 - 1).map(lambda number: number * 8)


@st.composite
def items(draw):
    """Items of one list, mostly neighbours, mostly in the state of the one before."""
    vpn, state, made = draw(st.integers(0, 2**36)), Tag.PLAIN, []
    for _ in range(draw(st.integers(0, 20))):
        vpn += draw(st.sampled_from([1, 1, 1, 2, 700]))
        if draw(st.integers(0, 2)) == 0:
            state = draw(st.sampled_from(list(TREES)))
        baseline = state is not Tag.SKIPPED and draw(st.integers(0, 4)) == 0
        told = baseline or state is Tag.PLAIN
        made.append(
            Item(
                vpn,
                state,
                rmap_item=draw(POINTERS) if told else 0,
                checksum=draw(st.integers(0, 2**32 - 1)) if told else 0,
                head=draw(POINTERS) if baseline and state is Tag.STABLE else 0,
                age=draw(st.integers(0, 255)),
                skips=draw(st.integers(0, 255)),
                baseline=baseline,
            )
        )
    return made


STRETCHES = st.lists(
    st.tuples(POINTERS, st.one_of(st.none(), st.integers(0, 2**36)), items(), st.booleans()),
    max_size=5,
    unique_by=lambda stretch: stretch[0],
)


@given(STRETCHES, st.integers(1, 9))
def test_what_is_written_is_read(stretches, size):
    writers = [WordWriter()]
    for mm, behind, listed, ended in stretches:
        writers[-1].mm(mm, behind)
        for number, item in enumerate(listed):
            if number % size == size - 1:
                writers.append(WordWriter())
                writers[-1].mm(mm)
            writers[-1].item(item)
        if ended:
            writers[-1].end()
    chunks = [writer.finish() for writer in writers]
    assert [count_items(words) for words in chunks] == [writer.items for writer in writers]
    walk = read_words(np.concatenate(chunks))
    assert [(one.mm, one.behind, one.ended) for one in walk.stretches] == [
        (mm, FROM_START if behind is None else behind, ended) for mm, behind, _, ended in stretches
    ]
    for one, (_, _, listed, _) in zip(walk.stretches, stretches, strict=True):
        part = slice(one.first, one.stop)
        assert walk.vpn[part].tolist() == [item.vpn for item in listed]
        assert walk.tree[part].tolist() == [TREES[item.state] for item in listed]
        assert walk.skipped[part].tolist() == [item.state is Tag.SKIPPED for item in listed]
        assert walk.rmap_item[part].tolist() == [item.rmap_item for item in listed]
        assert walk.head[part].tolist() == [item.head for item in listed]
        told = walk.says_checksum[part]
        assert told.tolist() == [item.baseline or item.state is Tag.PLAIN for item in listed]
        assert walk.checksum[part][told].tolist() == [
            item.checksum for item in listed if item.baseline or item.state is Tag.PLAIN
        ]
    assert walk.stretches[-1].stop == len(walk.vpn) if stretches else not len(walk.vpn)


@given(st.lists(POINTERS, max_size=5, unique=True), st.booleans())
def test_mms_that_linger_have_no_list(mms, in_chunks):
    writers = [WordWriter()]
    writers[-1].mm(0x1000)
    writers[-1].item(Item(7, Tag.STABLE))
    for mm in mms:
        if in_chunks:
            writers.append(WordWriter())
        writers[-1].lingers(mm)
    walk = read_words(np.concatenate([writer.finish() for writer in writers]))
    assert walk.lingering == set(mms)
    assert walk.stretches == [Stretch(0x1000, FROM_START, ended=False, first=0, stop=1)]
    assert walk.vpn.tolist() == [7]


@given(st.lists(st.integers(0, 2**64 - 1), max_size=40))
def test_words_without_sense_are_read_as_something(numbers):
    words = np.array(numbers, dtype=np.uint64)
    if count_items(words) < 10**6:
        walk = read_words(words)
        assert len(walk.vpn) == len(walk.tree) == len(walk.checksum) == count_items(words)


def test_numbers_are_those_of_the_header():
    with bpf_directory() as directory:
        text = (Path(directory) / "gather.h").read_text(encoding="utf-8")
    found = re.findall(r"\b(?:#define )?([A-Z_]+)(?: = |  *)(0x[0-9a-f]+|\d+)", text)
    numbers = {name: int(value, 0) for name, value in found}
    expected = {f"WORD_{tag.name}": tag for tag in Tag}
    expected |= {f"GATHER_{flag.name}": flag for flag in ChunkFlag}
    expected |= {f"GATHER_{err.name}": err for err in ChunkError}
    expected["GATHER_SMART_SCAN_ON"] = SmartScan.ON
    expected["GATHER_TUNABLE_WRITTEN"] = SmartScan.TUNABLE_WRITTEN
    expected |= {f"WORD_{name}": getattr(chunk, name) for name in PLACES}
    assert {name: numbers.get(name) for name in expected} == expected
    assert numbers["GATHERED"] == GATHERED
    values = (chunk.CHECKSUM_SHIFT, chunk.SKIPS_SHIFT, chunk.AGE_SHIFT)
    assert values == tuple(numbers[f"ITEM_{name}_SHIFT"] for name in ("CHECKSUM", "SKIPS", "AGE"))
