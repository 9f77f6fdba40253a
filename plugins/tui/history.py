"""Pictures of the passes that are over, so that one can look back: the longer a run, the fewer."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from ksmtrace.plugins.tui.picture import Picture

MOST_PASSES = 128
"""A picture takes about 0.4 MiB."""


class History:
    """Pictures by the number of passes that were over; at most `most`.

    When it is full every second one is dropped, and from then on half as many are kept.

    Args:
        most: an even number.
    """

    def __init__(self, most: int = MOST_PASSES) -> None:
        self._most = most
        self._step = 1
        self._seen = 0
        self._kept: list[tuple[int, Picture]] = []

    def wants(self) -> bool:
        """Whether the pass that ends now is one to be kept; asked once for each."""
        self._seen += 1
        return (self._seen - 1) % self._step == 0

    def add(self, number: int, picture: Picture) -> None:
        """Keep the picture of a run in which so many passes are over."""
        # a new list: the screen's thread may be looking at the old one
        kept = [*self._kept, (number, picture)]
        if len(kept) == self._most:
            kept = kept[::2]
            self._step *= 2
        self._kept = kept

    @property
    def passes(self) -> Sequence[int]:
        """The numbers of passes of which there is a picture, ascending."""
        return [number for number, _ in self._kept]

    def at(self, number: int) -> Picture | None:
        """The picture as of that pass, or of the last one before it that was kept."""
        kept = self._kept
        found = bisect_right([one for one, _ in kept], number)
        return kept[found - 1][1] if found else None
