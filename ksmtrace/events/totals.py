"""Counts of events that are not sent one by one: TOTAL records, and what they come to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ksmtrace.events import numbers as kinds
from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind, Flag
from ksmtrace.events.record import Records, empty_records


class Outcome(NamedTuple):
    """What is counted together.

    Attributes:
        kind: number of an `EventKind`.
        err: the result, 0 or -errno.
        zero_page: whether it is about the zero page (`Flag.ZERO_PAGE`).
    """

    kind: int
    err: int = 0
    zero_page: bool = False


def total_records(counts: Mapping[Outcome, int], ts: int | None = None) -> Records:
    """A TOTAL record for each of `counts`, in order of outcome.

    Args:
        counts: how often each has happened.
        ts: time of the records; None for now.
    """
    records = empty_records(len(counts))
    records["kind"] = kinds.TOTAL
    records["ts"] = time.monotonic_ns() if ts is None else ts
    for index, (outcome, count) in enumerate(sorted(counts.items())):
        records["address"][index], records["err"][index] = outcome.kind, outcome.err
        records["flags"][index] = Flag.ZERO_PAGE if outcome.zero_page else 0
        records["aux"][index] = count
    return records


class Totals:
    """The last count of each outcome.

    Attributes:
        counts: by outcome, those that were sent.
    """

    def __init__(self) -> None:
        self.counts: dict[Outcome, int] = {}

    def apply(self, batch: EventBatch) -> None:
        """Follow the TOTAL records of a batch."""
        for record in batch.of(kinds.TOTAL):
            zero_page = bool(record["flags"] & Flag.ZERO_PAGE)
            outcome = Outcome(int(record["address"]), int(record["err"]), zero_page)
            self.counts[outcome] = int(record["aux"])

    @property
    def by_kind(self) -> npt.NDArray[np.int64]:
        """How often each kind has happened; shape (256,)."""
        found = np.zeros(256, dtype=np.int64)
        for outcome, count in self.counts.items():
            if outcome.kind < len(found):
                found[outcome.kind] += count
        return found

    def of(self, kind: EventKind) -> dict[Outcome, int]:
        """The outcomes of one kind."""
        return {outcome: count for outcome, count in self.counts.items() if outcome.kind == kind}
