"""A batch's chunks, put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ksmtrace.sources.live.gathered.chunk import ChunkFlag, Walk, Words, count_items, read_words

_LEAVING, _FIRST, _LAST = int(ChunkFlag.LEAVING), int(ChunkFlag.FIRST), int(ChunkFlag.LAST)
"""As plain numbers: to make an IntFlag takes longer than all that is done by it."""


class Header(NamedTuple):
    """The header of a chunk, whose fields are those of an event by other names."""

    ts: int
    err: int
    flags: int
    items: int
    batch: int
    seqnr: int
    began: int
    pages_skipped: int
    pages_scanned: int
    smart_scan: int


def read_header(event: np.void) -> Header:
    """The header that an event of kind `GATHERED` is."""
    ts, _, _, err, _, flags, items, smart_scan, batch, seqnr, began, skipped, scanned = event.item()
    return Header(ts, err, flags, items, batch, seqnr, began, skipped, scanned, smart_scan)


class Gathered(NamedTuple):
    """All chunks of a batch as they came.

    Attributes:
        header: of the last chunk, with the flags of all.
        words: of each chunk of the walk as the batch ended.
        items: how many each speaks of, as its header says.
        leaving: words and items of each chunk of mms that exited in it.
        broken: whether something is missing.
        cut: whether BPF gave a walk up: what is missing then, it has not counted.
    """

    header: Header
    words: list[Words]
    items: list[int]
    leaving: list[tuple[Words, int]]
    broken: bool
    cut: bool


class Batch(NamedTuple):
    """All chunks of a batch.

    Attributes:
        header: of the last chunk, with the flags of all.
        walk: what the chunks say.
        leaving: what was said of mms that exited in it.
        broken: whether something is missing or makes no sense.
        cut: whether BPF gave a walk up: what is missing then, it has not counted.
        slept: where ksmd slept amid it: index of the item behind, when it fell asleep, and when it
            went on.
    """

    header: Header
    walk: Walk
    leaving: list[Walk]
    broken: bool
    cut: bool
    slept: Sequence[tuple[int, int, int]] = ()


_NO_WORDS: Words = np.empty(0, dtype=np.uint64)


class BatchReader:
    """Takes chunks, and gives a batch with its last one."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._words: list[Words] | None = None
        self._items: list[int] = []
        self._leaving: list[tuple[Words, int]] = []
        self._flags = 0
        self._broken = False
        self._cut = False

    def take(self, header: Header, words: Words) -> Gathered | None:
        """The batch that this chunk ends."""
        self._cut |= header.err != 0
        if header.flags & _LEAVING:
            self._leaving.append((words, header.items))
            return None
        if header.flags & _FIRST:
            expected = None if self._number is None else self._number + 1
            self._broken |= self._words is not None or expected not in (None, header.batch)
            self._words, self._items, self._flags = [], [], 0
        elif self._words is None or header.batch != self._number:
            self._broken = True
            self._words = self._words or []
        self._number = header.batch
        assert self._words is not None, "a chunk is taken"
        self._words.append(words)
        self._items.append(header.items)
        self._flags |= header.flags
        if not header.flags & _LAST:
            return None
        said = header._replace(flags=self._flags)
        broken = self._broken or self._cut
        batch = Gathered(said, self._words, self._items, self._leaving, broken, self._cut)
        self._words, self._items, self._leaving = None, [], []
        self._broken, self._cut = False, False
        return batch


def read_batch(batch: Gathered) -> Batch:
    """What the chunks of a batch say; those whose words make no sense say nothing."""
    broken = batch.broken
    walk = read_words(np.concatenate([_NO_WORDS, *batch.words]))
    if len(walk.vpn) != sum(batch.items):
        broken = True
        pairs = zip(batch.words, batch.items, strict=True)
        sound = [words for words, items in pairs if count_items(words) == items]
        walk = read_words(np.concatenate([_NO_WORDS, *sound]))
    if not is_placed(walk):
        broken, walk = True, read_words(_NO_WORDS)
    sound = [words for words, items in batch.leaving if count_items(words) == items]
    leaving = [one for one in map(read_words, sound) if is_placed(one)]
    broken |= len(leaving) < len(batch.leaving)
    return Batch(batch.header, walk, leaving, broken, batch.cut)


def is_placed(walk: Walk) -> bool:
    """Whether each item is of some mm's list."""
    return sum(one.stop - one.first for one in walk.stretches) == len(walk.vpn)
