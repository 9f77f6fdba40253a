"""Analyzer of the snapshot: what a tracer that joins late found merged already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from prometheus_client.core import Metric

from ksmtrace import hookimpl
from ksmtrace.events import EventBatch, EventKind
from ksmtrace.plugins.snapshot.metrics import family
from ksmtrace.session import Session

TOP = 10
"""How many processes are listed."""


class Plugin:
    """KSM pages that were mapped before the first event, by process.

    JSON:
        via: how they were told from other pages; KPF_KSM lies on some kernels, see `probes.snapshot`.
        ksm_pages: distinct frames; as pages_shared, but for nodes that nothing maps any more.
        mapped_pages: page table entries; as pages_shared + pages_sharing, but for pages left since the last pass.
        processes: those with most of them, most first: pid and mapped_pages.
        other_mapped_pages: those of all other processes.
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
    def ksmtrace_analysis(self, session: Session) -> dict[str, object]:
        """The figures of the class docstring."""
        ranked = sorted(self._by_pid.items(), key=lambda entry: (-entry[1], entry[0]))
        probe = session.probes.get(EventKind.SNAPSHOT)
        return {
            "via": probe.via if probe else None,
            "ksm_pages": len(self._frames),
            "mapped_pages": self._by_pid.total(),
            "processes": [{"pid": pid, "mapped_pages": count} for pid, count in ranked[:TOP]],
            "other_mapped_pages": sum(count for _, count in ranked[TOP:]),
        }

    @hookimpl
    def ksmtrace_metrics(self) -> Iterable[Metric]:
        """How much was merged before the trace began."""
        return [family(self._by_pid.total())]
