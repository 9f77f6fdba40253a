"""Compares counts of events with what the kernel counted itself over the same time.

A difference is shown, never smoothed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind, Flag, Gauge
from ksmtrace.events.readings import Reading
from ksmtrace.events.totals import Outcome, Totals
from ksmtrace.session import Exactness, Session


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison, since the first reading of the kernel's counters.

    Attributes:
        name: what is counted.
        against: the kernel's counter, or the other count of events.
        events: the number of events seen.
        other: what `against` says.
    """

    name: str
    against: str
    events: int
    other: int


class SelfCheck:
    """Comparisons at the last reading of the kernel's counters.

    Attributes:
        rows: those that this run's probes and this kernel's counters allow; they stand still once
            the stream has ended.
    """

    def __init__(self, session: Session) -> None:
        self._sees = {kind: session.counts(kind) for kind in EventKind}
        self._limited = bool(session.only_pids)
        # Derived from the attempts, appends would agree with them whatever happened.
        appends = session.probes.get(EventKind.STABLE_APPEND)
        self._appends_have_their_own_probe = (
            appends is not None and appends.exactness is Exactness.EXACT
        )
        self._by_kind = np.zeros(256, dtype=np.int64)
        self._succeeded = 0
        self._totals = Totals()
        self._ended = False
        self._first: Mapping[Gauge, int] | None = None
        self._found_from: tuple[int, int] | None = None
        self._found: Row | None = None
        self.rows: tuple[Row, ...] = ()

    def apply(self, batch: EventBatch) -> None:
        """Count the events of a batch."""
        if self._limited:
            return
        self._totals.apply(batch)
        self._ended |= batch.count(EventKind.STREAM_END) > 0
        if self._first is not None:
            self._by_kind += batch.by_kind
            attempts = batch.of(EventKind.TRY_TO_MERGE_ONE_PAGE)
            merged = (attempts["err"] == 0) & (attempts["flags"] & int(Flag.ZERO_PAGE) == 0)
            self._succeeded += int(np.count_nonzero(merged))

    def read(self, reading: Reading) -> None:
        """Compare, at a reading, what was counted up to and with the batch that ends with it.

        A reading of which a gauge failed is passed over, and one that older events follow.
        """
        if self._limited or self._ended or reading.failed or reading.behind:
            return
        sample = reading.values
        if self._first is None and not reading.at_scan_stop:
            self._first = sample
        if Gauge.CANDIDATES_FOUND in sample:
            self._compare_found(sample[Gauge.CANDIDATES_FOUND])
        elif self._first is not None and not reading.at_scan_stop:
            self.rows = tuple(self._compare(self._first, sample))

    def _compare_found(self, found: int) -> None:
        ours = self._count(EventKind.CMP_AND_MERGE_PAGE) + self._count(EventKind.SKIPPED)
        if self._found_from is None:
            self._found_from = (ours, found)
        ours_before, found_before = self._found_from
        self._found = Row(
            "candidates", "ksm_next_page_pmd_entry", ours - ours_before, found - found_before
        )

    def _compare(self, first: Mapping[Gauge, int], now: Mapping[Gauge, int]) -> list[Row]:
        rows = []
        for name, kind, gauge in (
            ("examined", EventKind.CMP_AND_MERGE_PAGE, Gauge.PAGES_SCANNED),
            ("skipped", EventKind.SKIPPED, Gauge.PAGES_SKIPPED),
            ("cow_faults", EventKind.COW_FAULT, Gauge.COW_KSM),
        ):
            if self._sees[kind] and gauge in now and gauge in first:
                counted = now[gauge] - first[gauge]
                rows.append(Row(name, gauge.name.lower(), self._count(kind), counted))
        undone = self._sees[EventKind.TRY_TO_MERGE_ONE_PAGE] and self._sees[EventKind.BREAK_COW]
        if undone and self._appends_have_their_own_probe:
            kept = self._succeeded + self._counted_merges() - self._count(EventKind.BREAK_COW)
            rows.append(
                Row("merged", "stable_tree_append", kept, self._count(EventKind.STABLE_APPEND))
            )
        if self._found is not None:
            rows.append(self._found)
        return rows

    def _count(self, kind: EventKind) -> int:
        return int(self._by_kind[kind] + self._totals.by_kind[kind])

    def _counted_merges(self) -> int:
        done = Outcome(EventKind.TRY_TO_MERGE_ONE_PAGE)
        return self._totals.counts.get(done, 0)

    def to_json(self) -> dict[str, dict[str, int | str]]:
        """Each comparison: events, the other count and its name, the difference."""
        return {
            row.name: {
                "events": row.events,
                "against": row.against,
                "counted": row.other,
                "difference": row.events - row.other,
            }
            for row in self.rows
        }
