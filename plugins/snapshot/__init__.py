"""Analyzer of the snapshot: what a tracer that joins late found merged already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ksmtrace import hookimpl
from ksmtrace.events import EventBatch, EventKind
from ksmtrace.figures import families, known
from ksmtrace.plugins.snapshot.figures import FIGURES
from ksmtrace.session import Session

if TYPE_CHECKING:
    from prometheus_client.core import Metric

TOP = 10
"""How many processes are listed."""


class Plugin:
    """KSM pages that were mapped before the first event, by process.

    JSON: `FIGURES`.
    """

    def __init__(self) -> None:
        self._frames: set[int] = set()
        self._by_pid: Counter[int] = Counter()

    @hookimpl
    def ksmtrace_batch(self, batch: EventBatch) -> None:
        """Take in the snapshot; it comes before all else."""
        found = batch.of(EventKind.SNAPSHOT)
        if len(found):
            self._frames.update(found["pfn"].tolist())
            self._by_pid.update(found["aux"].tolist())

    @hookimpl
    def ksmtrace_analysis(self, session: Session) -> dict[str, Any]:
        """The figures of `FIGURES`."""
        ranked = sorted(self._by_pid.items(), key=lambda entry: (-entry[1], entry[0]))
        probe = session.probes.get(EventKind.SNAPSHOT)
        figures = {
            "via": probe.via if probe else None,
            "ksm_pages": len(self._frames),
            "mapped_pages": self._by_pid.total(),
            "processes": [{"pid": pid, "mapped_pages": count} for pid, count in ranked[:TOP]],
            "other_mapped_pages": sum(count for _, count in ranked[TOP:]),
        }
        return known(FIGURES, session, figures)

    @hookimpl
    def ksmtrace_metrics(self, session: Session) -> Iterable[Metric]:
        """How much was merged before the trace began."""
        return families(FIGURES, self.ksmtrace_analysis(session))
