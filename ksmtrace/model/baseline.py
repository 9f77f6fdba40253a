"""Stable pages that nothing tells of, because they were there before the first event."""

from __future__ import annotations

from dataclasses import dataclass

from ksmtrace.model.nodes import NodeTable


@dataclass(frozen=True, slots=True)
class Baseline:
    """How many there were, by the kernel's counters.

    Attributes:
        pages_shared: stable nodes.
        pages_sharing: rmap_items beyond the first of each.
    """

    pages_shared: int = 0
    pages_sharing: int = 0

    def shared_with(self, nodes: NodeTable) -> int:
        """Stable nodes together with those that events tell of.

        A node from before that events have met meanwhile is one of both, and counts once.
        """
        if not self.pages_shared:
            return nodes.shared
        met = nodes.adopted - nodes.told
        known = sum(1 for number in met if nodes.members[number])
        return nodes.shared + max(self.pages_shared - known, 0)
