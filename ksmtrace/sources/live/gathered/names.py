"""Names of processes (PROCESS): where ksmd comes to one, its name precedes the first candidate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ksmtrace.events import numbers as kinds
from ksmtrace.events.record import Records, true_rows
from ksmtrace.sources.live.gathered.chunk import Ints
from ksmtrace.sources.live.gathered.places import NAMED, PLACE_SHIFT
from ksmtrace.sources.live.gathered.rows import Rows
from ksmtrace.sources.live.gathered.visit import Visit


class Names:
    """Names that wait for the first candidate of their process in this pass."""

    def __init__(self) -> None:
        self._waiting: dict[int, Records] = {}
        self._entered: set[int] = set()

    def take(self, held: Records) -> npt.NDArray[np.bool_]:
        """Keep the names that ksmd came to; returns which records of `held` they are.

        The name behind an MM_ENTER is of the task that registered.
        """
        kind = held["kind"]
        taken = np.zeros(len(held), dtype=bool)
        rows = true_rows((kind == kinds.MM_ENTER) | (kind == kinds.PROCESS))
        for row in rows.tolist():
            mm = int(held["mm"][row])
            if kind[row] == kinds.MM_ENTER:
                self._entered.add(mm)
            elif mm in self._entered:
                self._entered.remove(mm)
            else:
                self._waiting[mm] = held[row : row + 1].copy()
                taken[row] = True
        return taken

    def add(self, rows: Rows, visited: Visit, when: Ints) -> None:
        """The name of each process before its first candidate; not where all pages were skipped."""
        if not self._waiting:
            return
        for stretch in visited.walk.stretches:
            name = self._waiting.get(stretch.mm)
            if name is None:
                continue
            examined = true_rows(~visited.walk.skipped[stretch.first : stretch.stop])
            if len(examined):
                place = visited.place[stretch.first + examined[:1]]
                name["ts"] = when[place]
                rows.add(name, (place << PLACE_SHIFT) + NAMED)
            if len(examined) or stretch.ended:
                del self._waiting[stretch.mm]

    def clear(self) -> None:
        """The pass is over."""
        self._waiting.clear()
