"""Analyzer of the life of merges: how fast ksmd merges pages, and how long merges last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ksmtrace import hookimpl
from ksmtrace.events import EventBatch
from ksmtrace.figures import known
from ksmtrace.model.log_histogram import half_life
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.plugins.merge_life.figures import FIGURES, SPANS
from ksmtrace.plugins.merge_life.lives import BUCKET_NAMES, PASS_NAMES, STAGES, Lives
from ksmtrace.plugins.merge_life.metrics import metrics
from ksmtrace.plugins.merge_life.view import panel, section
from ksmtrace.section import Section
from ksmtrace.session import Session

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from rich.panel import Panel


class Plugin:
    """What becomes of rmap_items, how long ksmd takes to merge them, and how long a merge lasts.

    JSON: `FIGURES`.
    """

    def __init__(self) -> None:
        self._lives = Lives()

    @hookimpl
    def ksmtrace_batch(self, batch: EventBatch, reconstruction: Reconstruction) -> None:
        """Follow each rmap_item through its stages."""
        self._lives.apply(batch, reconstruction)

    @hookimpl
    def ksmtrace_analysis(self, session: Session) -> dict[str, Any]:
        """The figures of `FIGURES`."""
        lives, lasting = self._lives, self._lives.lasting()
        half, above = half_life(lives.spans.ended, lasting)
        figures = {
            **{f"{stage}_pages": lives.counts[stage] for stage in STAGES},
            "cut_pages": lives.cut,
            "merge_latency_pages": len(lives.latency),
            "merge_latency_p50_seconds": lives.latency.quantile(0.5),
            "merge_latency_p90_seconds": lives.latency.quantile(0.9),
            "ended_merges_pages": len(lives.spans.ended),
            "lasting_merges_pages": len(lasting),
            "merge_half_life_seconds": half,
            "merge_half_life_above_seconds": above,
            "merge_latency_passes": _by(PASS_NAMES, lives.latency_passes.tolist()),
            "merge_latency_buckets_pages": _by(BUCKET_NAMES, lives.latency_counts()),
        }
        return known(FIGURES, session, figures)

    @hookimpl
    def ksmtrace_metrics(self, session: Session) -> Iterable[Metric]:
        """Metric families of what this run can see."""
        return metrics(self.ksmtrace_analysis(session), self._lives)

    @hookimpl
    def ksmtrace_panels(self, session: Session) -> Iterable[Panel]:
        """One panel of figures, usable 26 columns wide."""
        return panel(self.ksmtrace_analysis(session))

    @hookimpl
    def ksmtrace_sections(self, session: Session) -> Iterable[Section]:
        """How fast pages are merged, and how long that lasts."""
        spans = all(map(session.knows, SPANS))
        yield section(self.ksmtrace_analysis(session), self._lives, spans=spans)


def _by(names: Iterable[str], counts: Iterable[int]) -> dict[str, int]:
    return dict(zip(names, counts, strict=True))
