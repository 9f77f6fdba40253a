"""Which events of a stream are wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind
from ksmtrace.listing.words import FUNCTIONS, READINGS

_HAS_ADDRESS = np.zeros(256, dtype=bool)
_HAS_ADDRESS[
    [
        *(EventKind.CMP_AND_MERGE_PAGE, EventKind.TRY_TO_MERGE_ONE_PAGE, EventKind.REPLACE_PAGE),
        *(EventKind.BREAK_COW, EventKind.STABLE_APPEND, EventKind.REMOVE_RMAP_ITEM),
        *(EventKind.SKIPPED, EventKind.COW_FAULT, EventKind.SNAPSHOT),
    ]
] = True
"""Kinds whose `address` is one of a process."""


Numbers = npt.NDArray[np.int64] | npt.NDArray[np.uint64]


class Span(NamedTuple):
    """Numbers from `first` to `last`, both included."""

    first: int
    last: int

    def has(self, numbers: Numbers) -> npt.NDArray[np.bool_]:
        """Which of these numbers are in it."""
        found: npt.NDArray[np.bool_] = (numbers >= self.first) & (numbers <= self.last)
        return found


@dataclass(frozen=True, slots=True)
class Choice:
    """What is wanted; each empty tuple wants all.

    Attributes:
        kinds: of events; all but readings where empty.
        mms: addresses of mm_structs, as events have them.
        pids: of processes (tgid).
        addresses: in the processes' address spaces.
        passes: numbers of ksmd's passes (ksm_scan.seqnr).
    """

    kinds: tuple[EventKind, ...] = ()
    mms: tuple[int, ...] = ()
    pids: tuple[int, ...] = ()
    addresses: tuple[Span, ...] = ()
    passes: tuple[Span, ...] = ()

    def wanted_kinds(self) -> frozenset[EventKind]:
        """The kinds of events that are wanted."""
        return frozenset(self.kinds) or frozenset(EventKind) - READINGS

    def rows(
        self,
        batch: EventBatch,
        pids: npt.NDArray[np.int64],
        passes: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.intp]:
        """The rows of `batch` that are wanted.

        Args:
            batch: events.
            pids: of the process of each; -1 where it is not known.
            passes: the pass in which each happened; -1 for none.
        """
        wanted = np.isin(batch.kind, tuple(self.wanted_kinds()))
        if self.mms:
            wanted &= np.isin(batch.events["mm"], np.array(self.mms, dtype=np.uint64))
        if self.pids:
            wanted &= np.isin(pids, self.pids)
        if self.addresses:
            # the last byte of a page belongs to it as well as the first
            page = batch.events["address"]
            spans = [Span(span.first & ~0xFFF, span.last) for span in self.addresses]
            wanted &= _HAS_ADDRESS[batch.kind] & _any(spans, page)
        if self.passes:
            wanted &= _any(self.passes, passes)
        return np.flatnonzero(wanted)


def _any(spans: list[Span] | tuple[Span, ...], numbers: Numbers) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = np.logical_or.reduce([span.has(numbers) for span in spans])
    return found


def kind_named(text: str) -> EventKind:
    """The kind of that name, or of what its function is called.

    Raises:
        ValueError: there is none.
    """
    for kind in EventKind:
        if text.lower() in (kind.name.lower(), FUNCTIONS[kind]):
            return kind
    raise ValueError(
        f"{text[:60]!r} is no kind of event "
        f"(known: {', '.join(one.name.lower() for one in EventKind)})"
    )
