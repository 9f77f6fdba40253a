"""Counts of pages by reason: of each mapping, and in total; and stretches of equal reasons."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ksmtrace.estimate.pages import Words
from ksmtrace.why.decisions import Decision
from ksmtrace.why.reason import Reason
from ksmtrace.why.survey import Area
from ksmtrace.why.why import Answer

Table = npt.NDArray[np.int64]
"""Shape (len(Reason), 3): pages, those that are present, and those that are equal to another."""

PAGES, PRESENT, EQUAL = range(3)


def table_of(answer: Answer, area: Area) -> Table:
    """The counts of a mapping."""
    table = np.zeros((len(Reason), 3), dtype=np.int64)
    mine = slice(area.first, area.end)
    equal = answer.decided.equal[mine] > 0
    if area.reason is not None:
        table[area.reason] = area.pages, area.present, np.count_nonzero(equal)
        return table
    reasons = answer.decided.reasons[mine]
    present = np.bincount(reasons, minlength=len(Reason))
    table[:, PAGES] = table[:, PRESENT] = present
    table[:, EQUAL] = np.bincount(reasons[equal], minlength=len(Reason))
    others = np.bincount(area.other_reasons, minlength=len(Reason))
    table[:, PAGES] += others
    others[Reason.SWAPPED] = 0
    table[:, PRESENT] += others
    table[Reason.NEVER_TOUCHED, PAGES] += area.pages - table[:, PAGES].sum()
    return table


def total_of(tables: Sequence[Table]) -> Table:
    """The sum of tables."""
    total: Table = np.sum(tables, axis=0, dtype=np.int64)
    return total


@dataclass(frozen=True, slots=True)
class Run:
    """Pages next to each other of which the same holds.

    Attributes:
        start, end: the first one's address, and that behind the last.
        equal: how many other pages are equal to each.
        mappings: how often the frame of each is mapped; None where not known or not there.
        last: what ksmd decided last, by a capture; None without, and for what is not there.
        frames: of the pages.
    """

    start: int
    end: int
    reason: Reason
    equal: int
    mappings: int | None
    last: Decision | None
    frames: Words

    @property
    def pages(self) -> int:
        """How many."""
        return (self.end - self.start) // mmap.PAGESIZE


def runs_of(answer: Answer, area: Area) -> Iterator[Run]:
    """The pages of a mapping, by address, as runs."""
    mine = slice(area.first, area.end)
    address = answer.pages.address[mine]
    reasons = answer.decided.reasons[mine].astype(np.int64)
    last = np.full(len(address), -1) if answer.last is None else answer.last[mine]
    columns = [reasons, answer.decided.equal[mine], answer.mappings[mine], last.astype(np.int64)]
    values, frames = np.stack(columns, axis=1), answer.pages.frame[mine]
    if area.reason is None:
        others = np.full((len(area.other_addresses), 4), (0, 0, 0, -1), dtype=np.int64)
        others[:, 0] = area.other_reasons
        address = np.concatenate([address, area.other_addresses])
        values = np.concatenate([values, others])
        order = np.argsort(address)
        frames = np.concatenate([frames, np.zeros(len(others), dtype=np.uint64)])
        address, values, frames = address[order], values[order], frames[order]
    absent = Reason.NEVER_TOUCHED if area.reason is None else area.reason
    at = area.mapping.start
    for first, behind in _alike(address, values):
        start, end = int(address[first]), int(address[behind - 1]) + mmap.PAGESIZE
        if at < start:
            yield Run(at, start, absent, 0, None, None, frames[:0])
        reason, equal, mappings, decision = values[first].tolist()
        told = None if decision < 0 else Decision(decision)
        yield Run(start, end, Reason(reason), equal, mappings or None, told, frames[first:behind])
        at = end
    if at < area.mapping.end:
        yield Run(at, area.mapping.end, absent, 0, None, None, frames[:0])


def _alike(address: Words, values: Table) -> Iterator[tuple[int, int]]:
    """First and end of each stretch of pages next to each other with equal values."""
    if not len(address):
        return
    new = np.any(values[1:] != values[:-1], axis=1)
    new |= address[1:] - address[:-1] != mmap.PAGESIZE
    cuts = (np.flatnonzero(new) + 1).tolist()
    yield from zip([0, *cuts], [*cuts, len(address)], strict=True)
