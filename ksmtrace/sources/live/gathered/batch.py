"""A batch's chunks, put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ksmtrace.sources.live.gathered.chunk import (
    ChunkError,
    ChunkFlag,
    Walk,
    Words,
    count_items,
    read_words,
)

_LEAVING, _FIRST, _LAST = int(ChunkFlag.LEAVING), int(ChunkFlag.FIRST), int(ChunkFlag.LAST)
_UNSURE = int(ChunkError.UNSURE)
"""As plain numbers: to make an IntFlag takes longer than all that is done by it."""


class Header(NamedTuple):
    """The header of a chunk, whose fields are those of an event by other names.

    Of an inventory, `batch` is the mm at which ksmd is; 0, as `HEAD`, between two passes.
    """

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


def read_header(event: tuple[int, ...]) -> Header:
    """The header that an event of kind `GATHERED` is, by the fields of its record."""
    ts, _, _, err, _, flags, items, smart_scan, batch, seqnr, began, skipped, scanned = event
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
        unsure: whether pages of an mm that exited in it may not be told.
        late: items of mms that exited in an earlier batch, told behind its end.
    """

    header: Header
    words: list[Words]
    items: list[int]
    leaving: list[tuple[Words, int]]
    broken: bool
    cut: bool
    unsure: bool = False
    late: int = 0


class Batch(NamedTuple):
    """All chunks of a batch.

    Attributes:
        header: of the last chunk, with the flags of all.
        walk: what the chunks say.
        leaving: what was said of mms that exited in it.
        broken: whether something is missing or makes no sense.
        cut: whether BPF gave a walk up: what is missing then, it has not counted.
        unsure: whether pages of an mm that exited in it may not be told.
        late: items of mms that exited in an earlier batch, told behind its end.
        slept: where ksmd slept amid it: index of the item behind, when it fell asleep, and when it
            went on.
    """

    header: Header
    walk: Walk
    leaving: list[Walk]
    broken: bool
    cut: bool
    unsure: bool = False
    late: int = 0
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
        self._broken = self._cut = self._unsure = False
        self._late = 0

    def take(self, header: Header, words: Words) -> Gathered | None:
        """The batch that this chunk ends."""
        torn = header.err not in (0, _UNSURE)
        self._unsure |= header.err != 0
        if header.flags & _LEAVING:
            if self._is_late(header.batch):
                self._late += header.items
            else:
                self._leaving.append((words, header.items))
            return None
        self._cut |= torn
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
        batch = Gathered(
            *(said, self._words, self._items, self._leaving),
            *(broken, self._cut, self._unsure, self._late),
        )
        self._words, self._items, self._leaving = None, [], []
        self._broken = self._cut = self._unsure = False
        self._late = 0
        return batch

    def _is_late(self, number: int) -> bool:
        """Whether a batch has ended: chunks of mms that exit come from other processors."""
        if self._number is None:
            return False
        return number < self._number + (self._words is None)


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
    leaving = _read_leaving(batch.leaving)
    broken |= None in leaving
    walks = [one for one in leaving if one is not None]
    return Batch(batch.header, walk, walks, broken, batch.cut, batch.unsure, batch.late)


def _read_leaving(chunks: list[tuple[Words, int]]) -> list[Walk | None]:
    """What was said of each mm that exited; None where it makes no sense."""
    found: list[Walk | None] = []
    parts: dict[int, list[Words]] = {}
    for words, items in chunks:
        walk = read_words(words)
        if count_items(words) == items and is_placed(walk) and walk.stretches:
            parts.setdefault(walk.stretches[0].mm, []).append(words)
        else:
            found.append(None)
    whole = (read_words(np.concatenate(one)) for one in parts.values())
    return [*found, *map(_as_one_stretch, whole)]


def _as_one_stretch(walk: Walk) -> Walk | None:
    """The same, where each stretch goes on with the one before; None where one does not."""
    whole, *rest = walk.stretches
    for one in rest:
        last = int(walk.vpn[whole.stop - 1]) if whole.stop > whole.first else whole.behind
        if whole.ended or (one.mm, one.behind) != (whole.mm, last):
            return None
        whole = whole._replace(ended=one.ended, stop=one.stop)
    return walk._replace(stretches=[whole])


def is_placed(walk: Walk) -> bool:
    """Whether each item is of some mm's list."""
    return sum(one.stop - one.first for one in walk.stretches) == len(walk.vpn)
