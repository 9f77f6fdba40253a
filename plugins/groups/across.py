"""How many KSM pages several groups share: counts alone, which name nobody."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ksmtrace.model.nodes import FIRST_NODE
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.plugins.groups.group import Group, group_of

_NOBODY = 0
"""The place of processes of no known group."""


class Across(NamedTuple):
    """KSM pages with two sharers or more, in pages.

    Attributes:
        within: all sharers are of one group.
        across: they are of two groups or more; processes of no known group are one. Both are None
            where it is not known who shares what.
    """

    within: int | None
    across: int | None


def shared_across(reconstruction: Reconstruction) -> Across:
    """Of the pages that are merged now."""
    places: dict[Group | None, int] = {None: _NOBODY}
    group_of_process = {
        process.number: places.setdefault(group_of(process), len(places))
        for process in reconstruction.processes.known()
    }
    alive = reconstruction.items.numbers()
    state = reconstruction.state[alive]
    merged = state >= FIRST_NODE
    node = state[merged]
    if not len(node):
        return Across(0, 0)
    owners, back = np.unique(reconstruction.owner[alive][merged], return_inverse=True)
    groups = np.array([group_of_process.get(one, _NOBODY) for one in owners.tolist()])[back]
    order = np.lexsort((groups, node))
    node, groups = node[order], groups[order]
    begins = np.flatnonzero(np.r_[True, node[1:] != node[:-1]])
    ends = np.r_[begins[1:], len(node)] - 1
    # sorted by group within a node: the first and the last differ where any do
    several = groups[begins] != groups[ends]
    alone = begins == ends
    return Across(int(np.count_nonzero(~several & ~alone)), int(np.count_nonzero(several)))
