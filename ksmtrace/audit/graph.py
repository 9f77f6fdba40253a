"""The graph of sharing: groups of processes, and how many frames each two have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ksmtrace.audit.sharing import Sharer

Counts = npt.NDArray[np.int64]

MOST_GROUPS = 1000
"""Groups that are told apart; those with fewest frames are one beyond that."""
REST = "(others)"


@dataclass(frozen=True, slots=True)
class Graph:
    """Groups and what they share.

    Attributes:
        names: of the groups, those with most frames first.
        processes: how many are in each.
        common: frames that two groups both map; on the diagonal those that a group maps itself,
            shape (n, n).
        pages: pages of each group that map merged frames, shape (n,).
    """

    names: Sequence[str]
    processes: Counts
    common: Counts
    pages: Counts

    def pairs(self) -> list[tuple[int, int, int]]:
        """Places of each two groups that have frames in common, and how many; most first."""
        first, second = np.nonzero(np.triu(self.common, 1))
        counts = self.common[first, second]
        order = np.argsort(-counts, kind="stable")
        rows = zip(first[order], second[order], counts[order], strict=True)
        return [(int(a), int(b), int(count)) for a, b, count in rows]


def build_graph(sharers: Sequence[Sharer], names: Sequence[str]) -> Graph:
    """The graph of the groups that processes are in.

    Args:
        sharers: the processes.
        names: of the group of each.
    """
    groups: dict[str, list[Sharer]] = {}
    for sharer, name in zip(sharers, names, strict=True):
        if len(sharer.frames):
            groups.setdefault(name, []).append(sharer)
    merged = {name: _frames(members) for name, members in groups.items()}
    order = sorted(groups, key=lambda name: (-len(merged[name]), name))
    kept, rest = order[:MOST_GROUPS], order[MOST_GROUPS:]
    if rest:
        groups[REST] = [one for name in rest for one in groups.pop(name)]
        merged[REST] = _frames(groups[REST])
        kept.append(REST)
    return Graph(
        names=kept,
        processes=np.array([len(groups[name]) for name in kept], dtype=np.int64),
        common=_common([merged[name] for name in kept]),
        pages=np.array([sum(one.pages for one in groups[name]) for name in kept], dtype=np.int64),
    )


def _frames(members: Sequence[Sharer]) -> npt.NDArray[np.uint64]:
    return np.unique(np.concatenate([one.frames for one in members]))


def _common(frames: Sequence[npt.NDArray[np.uint64]]) -> Counts:
    """How many frames each two groups have in common.

    Frames that the same groups map are counted together: there are far fewer such sets of groups
    than frames, and fewer pairs to go through.
    """
    count = len(frames)
    found = np.zeros((count, count), dtype=np.int64)
    if not count:
        return found
    every = np.concatenate(frames)
    owner = np.repeat(np.arange(count), [len(one) for one in frames])
    order = np.argsort(every, kind="stable")
    every, owner = every[order], owner[order]
    begins = np.flatnonzero(np.r_[True, every[1:] != every[:-1]])
    ends = np.r_[begins[1:], len(every)]
    sets: dict[bytes, int] = {}
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        key = owner[begin:end].tobytes()
        sets[key] = sets.get(key, 0) + 1
    for key, weight in sets.items():
        members = np.frombuffer(key, dtype=owner.dtype)
        found[np.ix_(members, members)] += weight
    return found
