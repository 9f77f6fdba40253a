"""Pages that are nearly equal: candidates by hashes of their blocks, then by their bytes.

Of each page the 64 blocks are hashed with their places, and of these hashes the smallest by each of
several orderings is kept (Broder, "On the resemblance and containment of documents", 1997): pages
of which a share of the blocks is equal have each of them in common with about that chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from ksmtrace.estimate.pages import Words

Contents = npt.NDArray[np.uint8]
"""Of pages, shape (n, page size)."""
Places = npt.NDArray[np.int64]

MOST_BYTES = 256
"""Pages that differ in more bytes are not near."""
_BLOCKS = 64
_ORDERINGS = 16
_AT_ONCE = 512

Fetch = Callable[[Places], tuple[Contents, npt.NDArray[np.bool_]]]
"""Gives the contents of pages by their places, and which of them could be read."""


class Signer:
    """Makes signatures of pages, under a key of its own.

    Args:
        random: the key.
    """

    def __init__(self, random: np.random.Generator) -> None:
        self._factors = random.integers(0, 1 << 64, (_BLOCKS, 8), dtype=np.uint64) | np.uint64(1)
        self._places = random.integers(0, 1 << 64, _BLOCKS, dtype=np.uint64)
        self._orderings = random.integers(0, 1 << 64, _ORDERINGS, dtype=np.uint64) | np.uint64(1)

    def signatures(self, contents: Contents) -> Words:
        """The signatures of pages, shape (n, orderings)."""
        words = contents.view(np.uint64).reshape(len(contents), _BLOCKS, -1)
        sums = np.full((len(contents), _BLOCKS), self._places, dtype=np.uint64)
        for at in range(words.shape[2]):
            mixed = (words[:, :, at] ^ np.uint64(at + 1)) * self._factors[:, at % 8]
            sums += mixed ^ (mixed >> np.uint64(32))
        found = np.empty((len(contents), _ORDERINGS), dtype=np.uint64)
        for at, factor in enumerate(self._orderings):
            mixed = (sums ^ (sums >> np.uint64(29))) * factor
            mixed ^= mixed >> np.uint64(32)
            found[:, at] = mixed.min(axis=1)
        return found


def candidates(signatures: Words, asked: npt.NDArray[np.bool_]) -> Places:
    """Pairs of pages that may be near: one that is asked about and another, shape (n, 2).

    Of pages with a signature in common each is paired with the one before it, and with the first.
    """
    pairs = [np.zeros((0, 2), dtype=np.int64)]
    for at in range(signatures.shape[1] if len(signatures) else 0):
        order = np.argsort(signatures[:, at], kind="stable")
        values = signatures[order, at]
        new = np.ones(len(order), dtype=np.bool_)
        new[1:] = values[1:] != values[:-1]
        starts = np.flatnonzero(new)
        first = order[starts[np.cumsum(new) - 1]]
        before, after = np.roll(order, 1), np.roll(order, -1)
        last = np.roll(new, -1)
        pairs.append(np.stack([order, first], axis=1)[~new])
        pairs.append(np.stack([order, before], axis=1)[~new])
        pairs.append(np.stack([order, after], axis=1)[new & ~last])
    joined = np.concatenate(pairs)
    found: Places = np.unique(joined[asked[joined[:, 0]]], axis=0)
    return found


def nearest(pairs: Places, fetch: Fetch) -> Places:
    """For each page that is near to another its nearest, shape (n, 3): page, other, bytes.

    Args:
        pairs: candidates, sorted.
        fetch: reads pages.
    """
    best: dict[int, tuple[int, int]] = {}
    for part, ours, theirs in read_pairs(pairs, fetch):
        counts = np.count_nonzero(ours != theirs, axis=1)
        near = (counts > 0) & (counts <= MOST_BYTES)
        for (page, other), count in zip(part[near].tolist(), counts[near].tolist(), strict=True):
            if page not in best or count < best[page][1]:
                best[page] = other, count
    rows = [(page, *best[page]) for page in sorted(best)]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def read_pairs(pairs: Places, fetch: Fetch) -> Iterator[tuple[Places, Contents, Contents]]:
    """Pairs in parts, with the contents of both; those that cannot be read are left out."""
    for start in range(0, len(pairs), _AT_ONCE):
        part = pairs[start : start + _AT_ONCE]
        wanted, back = np.unique(part[:, :2], return_inverse=True)
        contents, known = fetch(wanted)
        sides = back.reshape(-1, 2)
        both = known[sides].all(axis=1)
        yield part[both], contents[sides[both, 0]], contents[sides[both, 1]]
