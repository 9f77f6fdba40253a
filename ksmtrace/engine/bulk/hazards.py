"""Nodes of the stable tree that a search would change: chains, and nodes whose page is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ksmtrace.engine.bulk.shadow_tree import Words, words_of
from ksmtrace.engine.ksm.stable_node import Place, StableNode
from ksmtrace.engine.machine.rbtree import RbNode, RbRoot

if TYPE_CHECKING:
    from ksmtrace.engine.bulk.bulk_result import Mask
    from ksmtrace.engine.machine.memory import Frame

_MOST = 256
"""With more of them the tree is walked."""


class Hazards:
    """All such nodes; false when there are none.

    Attributes:
        chains: heads of chains.
        freed: KSM pages that nobody maps any more, and whose nodes ksmd has not removed yet.
    """

    def __init__(self) -> None:
        self.chains: set[StableNode] = set()
        self.freed: set[Frame] = set()

    def __bool__(self) -> bool:
        return bool(self.chains or self.freed)

    def too_many(self) -> bool:
        """Whether there are more than can be looked at for every batch."""
        return len(self.chains) + len(self.freed) > _MOST

    def are_above(self, node: RbNode | None) -> bool:
        """Whether a walk that ends at `node` comes by one, `node` included."""
        freed = self.freed
        while node is not None:
            assert isinstance(node, StableNode), "the stable tree holds stable nodes"
            if node.kpage is None or node.kpage in freed:
                return True
            node = node.rb_parent
        return False

    def meet(self, root: RbRoot, units: list[bytes]) -> Mask:
        """For each content, whether a search of the tree at `root` may come by one.

        A search comes by all nodes that are above the place where its content belongs: what
        belongs below a node is between two of those above that.
        """
        if root.rb_node is None:
            return np.zeros(len(units), np.bool_)
        gone = (page.stable_node for page in self.freed)
        nodes = [
            *self.chains,
            *(node for node in gone if node is not None and node.place is Place.TREE),
        ]
        reach = np.array([_below(node) for node in nodes], np.uint64).reshape(-1, 2)
        reach = reach[np.argsort(reach[:, 0])]
        last = np.maximum.accumulate(reach[:, 1])
        words = _first_words(units)
        at = np.searchsorted(reach[:, 0], words, side="right") - 1
        found: Mask = (at >= 0) & (words <= np.append(last, np.uint64(0))[at])
        return found


def _below(node: StableNode) -> tuple[int, int]:
    # The first words of the nearest smaller and of the nearest greater node above this one.
    low, high = None, None
    child: RbNode = node
    parent = child.rb_parent
    while parent is not None and (low is None or high is None):
        if parent.rb_right is child:
            low = parent if low is None else low
        else:
            high = parent if high is None else high
        child, parent = parent, parent.rb_parent
    return (
        0 if low is None else int.from_bytes(low.rb_key[:8], "big"),
        2**64 - 1 if high is None else int.from_bytes(high.rb_key[:8], "big"),
    )


def _first_words(units: list[bytes]) -> Words:
    return words_of([unit[:8] for unit in units])
