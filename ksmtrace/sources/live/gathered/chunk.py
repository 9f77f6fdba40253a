"""Chunks: the rmap_items that ksmd passed in a batch, as words of 64 bits.

bpf/gather.h has the same numbers; a test compares them.
"""

from __future__ import annotations

import mmap
from enum import IntEnum, IntFlag
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ksmtrace.events.record import true_rows

GATHERED = 255
"""Kind of a chunk's header; it never leaves the source."""

Words = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]


class ChunkFlag(IntFlag):
    """Bits of the header's `flags`."""

    FIRST = 1
    """Of its batch."""
    LAST = 2
    INVENTORY = 4
    """A baseline, no events."""
    LEAVING = 8
    """Of an mm that nobody uses any more."""
    RESET = 16
    """run=2 since the last batch."""
    FROM_HEAD = 32
    """The walk began at ksm_mm_head: a new pass."""
    GONE = 64
    """The slot of the last cursor has gone."""
    PASS_ENDED = 128


class ChunkError(IntEnum):
    """Why a walk ended early: the header's `err`, else 0."""

    TORN = 1
    """An item of another mm, addresses out of order, a slot that has gone."""
    CEILING = 2
    UNSURE = 3
    """None of these, but a process left, of which pages may have been examined and not told."""


class SmartScan(IntFlag):
    """Bits of the header's `checksum`."""

    ON = 1
    TUNABLE_WRITTEN = 2
    """A tunable was written since ksmd began the batch: no word is `Tag.SKIPPED`."""


class Tag(IntEnum):
    """The low three bits of a word. Words that follow one as its second to fourth have none set."""

    PLAIN = 0
    UNSTABLE = 1
    STABLE = 2
    MM = 3
    SKIPPED = 4
    AT = 5
    LONG = 6
    END = 7


TAG_MASK = 7
COUNT_SHIFT = 3
COUNT_MOST = 0xFFFF
PAGE_SHIFT = 19
"""Place of the page number in a word; the words of LONG have the address itself."""
ADDRESS_SHIFT = np.uint64(mmap.PAGESIZE.bit_length() - 1)
"""Of an address: the rest is the page number."""
CHECKSUM_SHIFT, SKIPS_SHIFT, AGE_SHIFT = 32, 16, 8
"""In words of PLAIN, and second ones of LONG."""

_PLAIN, _MM, _SKIPPED, _AT, _LONG, _END = (
    int(tag) for tag in (Tag.PLAIN, Tag.MM, Tag.SKIPPED, Tag.AT, Tag.LONG, Tag.END)
)
"""As plain numbers, by which NumPy compares without a conversion."""

_FOLLOWED_BY = np.array([1, 0, 0, 1, 0, 0, 3, 0])
"""Words that belong to one with that tag, by tag."""
_IS_RUN = np.array([False, True, True, False, True, False, False, False])
_HAS_ITEMS = _IS_RUN | (np.arange(8) == Tag.PLAIN) | (np.arange(8) == Tag.LONG)
_UNSTABLE_BIT, _STABLE_BIT = np.uint64(0x100), np.uint64(0x200)

_SKIP_AGE = np.full(256, 8, dtype=np.uint8)
_SKIP_AGE[:10] = [0, 1, 1, 1, 1, 2, 2, 4, 4, 4]
"""What skip_age (6.7) gives for the age before, by age."""

_FIRST_SKIP_AGE = 4
NEITHER, IN_UNSTABLE, IN_STABLE = 0, 2, 1
"""Trees of an item, as the bits STABLE_BEFORE and UNSTABLE_BEFORE."""
_TREE = np.array([NEITHER, IN_UNSTABLE, IN_STABLE, 0, NEITHER, 0, NEITHER, 0], dtype=np.uint8)

FROM_START = -1
"""Where a stretch begins: at the start of the mm's list."""


class Stretch(NamedTuple):
    """A part of one mm's list.

    Attributes:
        mm: the mm.
        behind: number of the page behind which it begins, or `FROM_START`.
        ended: whether it goes to the list's end.
        first: index of its first item.
        stop: index behind its last.
    """

    mm: int
    behind: int
    ended: bool
    first: int
    stop: int


class Walk(NamedTuple):
    """What a batch's words say.

    Attributes:
        stretches: one after another, as ksmd went.
        vpn: page numbers of the items.
        tree: the tree that each is in now.
        skipped: whether smart scan passed over it.
        rmap_item: its address in the kernel; 0 where no word says it.
        head: of those from LONG words in the stable tree.
        checksum: of those for which `says_checksum`.
        says_checksum: whether a word says it.
        passed_over: of those of PLAIN, whether should_skip_rmap_item passed over the item when it
            was last asked.
        lingering: mms that nobody uses any more, and that ksmd has not freed as the batch ends.
    """

    stretches: list[Stretch]
    vpn: Ints
    tree: npt.NDArray[np.uint8]
    skipped: npt.NDArray[np.bool_]
    rmap_item: npt.NDArray[np.uint64]
    head: npt.NDArray[np.uint64]
    checksum: npt.NDArray[np.uint32]
    says_checksum: npt.NDArray[np.bool_]
    passed_over: npt.NDArray[np.bool_]
    lingering: frozenset[int] = frozenset()


COLUMNS = (
    "vpn",
    "tree",
    "skipped",
    "rmap_item",
    "head",
    "checksum",
    "says_checksum",
    "passed_over",
)
"""Attributes of `Walk` that have a row for each item."""


def count_items(words: Words) -> int:
    """How many items the words of a chunk speak of."""
    tags = _tags(words)
    heads = _heads(tags)
    return int(_counts(_said(words[heads]), tags[heads]).sum())


def read_words(words: Words) -> Walk:
    """The items that words speak of: those of all chunks of a batch, in order.

    Words that make no sense give something; compare `count_items` with the header's count before.
    """
    tags = _tags(words)
    heads = _heads(tags)
    tag, head_words = tags[heads], words[heads]
    said = _said(head_words)
    counts = _counts(said, tag)
    pages = _pages(head_words, tag, said, counts)
    starts = np.cumsum(counts) - counts
    total = int(counts.sum())
    padded = np.concatenate([words, np.zeros(3, dtype=np.uint64)])
    trees = _TREE[tag]
    # words that speak of one item, and of more than its page and its tree
    single = true_rows((tag == _PLAIN) | (tag == _LONG))
    at, values = starts[single], head_words[single]
    long = true_rows(tag[single] == _LONG)
    passed_over = _passed_over(values)
    named = padded[heads[single] + 1]
    stretches, lingering = _stretches(padded, heads, tag, pages, said, starts, total)
    walk = Walk(
        stretches,
        np.repeat(pages - starts, counts) + np.arange(total),
        np.zeros(total, dtype=np.uint8),
        np.zeros(total, dtype=bool),
        np.zeros(total, dtype=np.uint64),
        np.zeros(total, dtype=np.uint64),
        np.zeros(total, dtype=np.uint32),
        np.zeros(total, dtype=bool),
        np.zeros(total, dtype=bool),
        lingering,
    )
    if len(long):
        first = heads[single[long]]
        values[long], walk.head[at[long]], named[long] = (padded[first + n] for n in (1, 2, 3))
        passed_over[long] = False
        word = head_words[single[long]]
        trees[single[long]] = np.where(word & _STABLE_BIT, IN_STABLE, 0) | np.where(
            word & _UNSTABLE_BIT, IN_UNSTABLE, 0
        )
    walk.tree[:] = np.repeat(trees, counts)
    walk.skipped[:] = np.repeat(tag == _SKIPPED, counts)
    walk.rmap_item[at] = named
    walk.checksum[at] = values >> np.uint64(CHECKSUM_SHIFT)
    walk.says_checksum[at] = True
    walk.passed_over[at] = passed_over
    return walk


def _passed_over(values: Words) -> npt.NDArray[np.bool_]:
    """By age and remaining_skips, as `is_skipped` of bpf/gather_item.c."""
    age, skips = (
        (values >> np.uint64(shift)).astype(np.uint8) for shift in (AGE_SHIFT, SKIPS_SHIFT)
    )
    found: npt.NDArray[np.bool_] = (age >= _FIRST_SKIP_AGE) & (skips != _SKIP_AGE[age])
    return found


def _tags(words: Words) -> npt.NDArray[np.uint8]:
    return (words & np.uint64(TAG_MASK)).astype(np.uint8)


def _last_of(places: npt.NDArray[np.intp], values: Ints, count: int) -> Ints:
    """For each of `count` places the value of the last of `places` up to it; 0 before the first."""
    bounds = np.concatenate([[0], places, [count]])
    return np.repeat(np.concatenate([[0], values]), bounds[1:] - bounds[:-1])


def _heads(tags: npt.NDArray[np.uint8]) -> npt.NDArray[np.intp]:
    """Places of the words that begin something.

    Every word with a tag does. Those without follow the last that has one, then come in pairs.
    """
    tagged = true_rows(tags != 0)
    pairs = tagged + 1 + _FOLLOWED_BY[tags[tagged]]
    beyond = np.arange(len(tags)) - _last_of(tagged, pairs, len(tags))
    begins = (beyond >= 0) & (beyond & 1 == 0)
    begins[tagged] = True
    return true_rows(begins)


def _said(head_words: Words) -> Ints:
    """The count in each word, where it has one."""
    return (head_words >> np.uint64(COUNT_SHIFT)).astype(np.int64) & COUNT_MOST


def _counts(said: Ints, tag: npt.NDArray[np.uint8]) -> Ints:
    return np.where(_IS_RUN[tag], said, _HAS_ITEMS[tag])


def _pages(head_words: Words, tag: npt.NDArray[np.uint8], said: Ints, counts: Ints) -> Ints:
    """Number of the first page of each; that of PLAIN is the next behind what precedes it."""
    pages = (head_words >> np.uint64(PAGE_SHIFT)).astype(np.int64)
    long = true_rows(tag == _LONG)
    pages[long] = (head_words[long] >> ADDRESS_SHIFT).astype(np.int64)
    plain = tag == _PLAIN
    others = true_rows(~plain)
    following = pages[others] + np.where(tag[others] == _AT, said[others], counts[others])
    index = np.arange(len(tag))
    pages[plain] = (_last_of(others, following - others - 1, len(tag)) + index)[plain]
    return pages


def _stretches(
    padded: Words,
    heads: npt.NDArray[np.intp],
    tag: npt.NDArray[np.uint8],
    pages: Ints,
    said: Ints,
    starts: Ints,
    total: int,
) -> tuple[list[Stretch], frozenset[int]]:
    """The stretches, and the mms that linger."""
    found: list[Stretch] = []
    lingering = []
    begins = true_rows(tag == _MM)
    stops = np.append(begins[1:], len(tag))[: len(begins)]
    following = np.minimum(begins + 1, len(tag) - 1)
    goes_on = (begins + 1 < stops) & (tag[following] == _AT) & (said[following] == 1)
    for mm, lingers, behind, ended, first, stop in zip(
        padded[heads[begins] + 1].tolist(),
        said[begins].tolist(),
        np.where(goes_on, pages[following], FROM_START).tolist(),
        (tag[stops - 1] == _END).tolist(),
        starts[begins].tolist(),
        np.append(starts, total)[stops].tolist(),
        strict=True,
    ):
        if not mm:
            continue  # between two lists: a chunk was full there
        if lingers:
            lingering.append(mm)
            continue
        one = Stretch(mm, behind, ended, first, stop)
        if found and found[-1].mm == mm and not found[-1].ended and behind == FROM_START:
            one = found.pop()._replace(ended=ended, stop=stop)
        found.append(one)
    return found, frozenset(lingering)
