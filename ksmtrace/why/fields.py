"""From pages that are nearly equal to the fields in which they differ."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ksmtrace.estimate.pages import Mask, Words
from ksmtrace.why.kinds import Look, Looks, Pairs, looks_of_halves, looks_of_words
from ksmtrace.why.near import Contents
from ksmtrace.why.surroundings import Now, Surroundings

_LEAST_CHUNK = np.uint64(32)
_MOST_CHUNK = np.uint64(1 << 20)
_IN_USE_BEFORE = np.uint64(1)
_FLAGS, _ODD = np.uint64(7), np.uint64(8)
_HIGH = np.uint64(32)
_LOW_HALF = np.uint64((1 << 32) - 1)


@dataclass(frozen=True, slots=True)
class Field:
    """A place at which two pages differ.

    Attributes:
        offset, length: in the page, in bytes.
        look: what it looks like there.
        detail: in a few words; "" for nothing more.
        own, other: what it holds in both.
    """

    offset: int
    length: int
    look: Look
    detail: str
    own: bytes
    other: bytes


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the processes of two pages.

    Attributes:
        own, other: the processes.
        in_heap: which pages lie where glibc's allocator may have them, shape (n,).
        frequent_own, frequent_other: values that occur in several places of near pages.
    """

    own: Surroundings
    other: Surroundings
    in_heap: Mask
    frequent_own: Words
    frequent_other: Words


def fields_of(ours: Contents, theirs: Contents, known: Known, time: Now) -> list[list[Field]]:
    """For each pair of pages the fields in which they differ, by offset.

    Args:
        ours: contents of the pages, shape (n, page size).
        theirs: of those that they are compared with.
        known: of their processes.
        time: when they were read.
    """
    a, b = ours.view(np.uint64), theirs.view(np.uint64)
    page, word = np.nonzero(a != b)
    pairs = _pairs(a, b, page, word, known)
    whole = looks_of_words(pairs, known.own, known.other, time)
    found: list[list[Field]] = [[] for _ in range(len(ours))]
    low, high = _halves(pairs, time)
    for at, (index, offset) in enumerate(zip(page.tolist(), pairs.offset.tolist(), strict=True)):
        found[index] += _fields(pairs, at, offset, whole, low, high)
    return [_joined(one) for one in found]


def frequent(contents: Contents) -> Counter[int]:
    """How often each word with a lowest byte of 0 occurs, where it is none of small numbers."""
    words = contents.view(np.uint64).ravel()
    words = words[((words & np.uint64(0xFF)) == 0) & (words >> np.uint64(56) != 0)]
    values, counts = np.unique(words, return_counts=True)
    return Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))


def _pairs(
    a: Words, b: Words, page: npt.NDArray[np.int64], word: npt.NDArray[np.int64], known: Known
) -> Pairs:
    own, other = a[page, word], b[page, word]
    header = known.in_heap[page] & _is_header(a, page, word) & _is_header(b, page, word)
    often = np.isin(own, known.frequent_own) & np.isin(other, known.frequent_other)
    return Pairs(
        word.astype(np.int64) * 8,
        own,
        other,
        _around(a, page, word, -1),
        _around(b, page, word, -1),
        _around(a, page, word, 1),
        _around(b, page, word, 1),
        header,
        often,
    )


def _around(
    words: Words, page: npt.NDArray[np.int64], word: npt.NDArray[np.int64], step: int
) -> Words:
    at = word + step
    inside = (at >= 0) & (at < words.shape[1])
    return np.where(inside, words[page, np.clip(at, 0, words.shape[1] - 1)], np.uint64(0))


def _is_header(words: Words, page: npt.NDArray[np.int64], word: npt.NDArray[np.int64]) -> Mask:
    """Whether a word may be the size of a chunk, and what lies behind the chunk another one.

    The sizes are multiples of 16 from 32 on; the lowest bits are flags, of which the first says
    that the chunk before is in use (malloc/malloc.c of glibc).
    """
    size = words[page, word]
    plain = _plausible(size)
    step = ((size & ~_FLAGS) >> np.uint64(3)).astype(np.int64)
    behind = word + np.where(plain, step, 0)
    inside = plain & (behind < words.shape[1])
    follower = words[page, np.where(inside, behind, word)]
    found: Mask = plain & np.where(inside, _plausible(follower), True)
    return found


def _plausible(size: Words) -> Mask:
    found: Mask = (size >= _LEAST_CHUNK) & (size < _MOST_CHUNK) & ((size & _ODD) == 0)
    found &= (size & _IN_USE_BEFORE) != 0
    return found


def _halves(pairs: Pairs, time: Now) -> tuple[Looks, Looks]:
    return (
        looks_of_halves(pairs.own & _LOW_HALF, pairs.other & _LOW_HALF, time),
        looks_of_halves(pairs.own >> _HIGH, pairs.other >> _HIGH, time),
    )


def _fields(
    pairs: Pairs, at: int, offset: int, whole: Looks, low: Looks, high: Looks
) -> list[Field]:
    """A word as one field, or, where that is nothing known, the halves that differ."""
    own = int(pairs.own[at]).to_bytes(8, "little")
    other = int(pairs.other[at]).to_bytes(8, "little")
    if whole.look[at] != Look.UNKNOWN:
        return [Field(offset, 8, Look(whole.look[at]), str(whole.detail[at]), own, other)]
    return [
        Field(
            offset + first, 4, Look(half.look[at]), str(half.detail[at]),
            own[first : first + 4], other[first : first + 4],
        )
        for first, half in ((0, low), (4, high))
        if own[first : first + 4] != other[first : first + 4]
    ]  # fmt: skip


def _joined(fields: list[Field]) -> list[Field]:
    """Text, and what is not known, as one field where pieces of it follow each other."""
    found: list[Field] = []
    for field in fields:
        last = found[-1] if found else None
        if (
            last is not None
            and field.look == last.look
            and field.look in (Look.TEXT, Look.UNKNOWN)
            and last.offset + last.length == field.offset
        ):
            found[-1] = Field(
                last.offset, last.length + field.length, last.look, last.detail,
                last.own + field.own, last.other + field.other,
            )  # fmt: skip
        else:
            found.append(field)
    return found
