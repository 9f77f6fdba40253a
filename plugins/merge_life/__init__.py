"""Analyzer of how pages come to be merged and how long that lasts: each rmap_item from first sight to last."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import Metric
from rich.panel import Panel

from ksmtrace import hookimpl
from ksmtrace.events import EventBatch, EventKind
from ksmtrace.model.durations import half_life
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.plugins.merge_life.lives import BUCKET_NAMES, PASS_NAMES, STAGES, Lives
from ksmtrace.plugins.merge_life.metrics import families
from ksmtrace.plugins.merge_life.view import panel, section
from ksmtrace.section import Section
from ksmtrace.session import Session

_NEEDS = (EventKind.CMP_AND_MERGE_PAGE, EventKind.STABLE_APPEND)
_NEEDS_OF_SPANS = (
    EventKind.STABLE_APPEND,
    EventKind.REMOVE_RMAP_ITEM,
    EventKind.REMOVE_STABLE_NODE,
)


class Plugin:
    """What becomes of rmap_items, how long ksmd takes to merge them, and how long a merge lasts.

    JSON, each None where this run cannot know it:
        seen_pages: rmap_items that events spoke of; after a loss those alive are met anew and count again.
        candidate_pages: those of them that were ever in the unstable tree.
        merged_pages: those that ever joined a stable node, each once.
        broken_pages: those that ever left the stable tree and lived on: written to, or their KSM page was gone.
        gone_pages: those that were freed: unmapped, exited, or no longer mergeable.
        cut_pages: those alive at a loss, of which it is not known what became: so many of seen_pages may be there twice.
        merge_latency_pages: rmap_items measured from first sight to first STABLE_APPEND; only those that were surely new
            when first seen: after KSM was empty, or after a whole pass.
        merge_latency_p50_seconds, merge_latency_p90_seconds: within 5 %.
        merge_latency_passes: merge_latency_pages by the number of passes that it took, the first look's included;
            "1" is merged at first look, "more" above 8.
        merge_latency_buckets_pages: the same by seconds; each key is an upper bound, "more" above the last.
        ended_merges_pages, lasting_merges_pages: merges seen that ended, and that last still or were cut off by a loss.
        merge_half_life_seconds: time that half of the merges last at least (Kaplan and Meier, lasting ones censored).
        merge_half_life_above_seconds: where that is None, a bound that it is above.
    """

    def __init__(self) -> None:
        self._lives = Lives()

    @hookimpl
    def ksmtrace_batch(self, batch: EventBatch, reconstruction: Reconstruction) -> None:
        """Follow each rmap_item through its stages."""
        self._lives.apply(batch, reconstruction)

    @hookimpl
    def ksmtrace_analysis(self, session: Session) -> dict[str, object]:
        """The figures of the class docstring."""
        if not _sees(session, _NEEDS):
            by_pass = by_seconds = None
        else:
            by_pass = dict(zip(PASS_NAMES, self._lives.latency_passes.tolist(), strict=True))
            by_seconds = dict(zip(BUCKET_NAMES, self._lives.latency_counts(), strict=True))
        return {
            **self._figures(session),
            "merge_latency_passes": by_pass,
            "merge_latency_buckets_pages": by_seconds,
        }

    def _figures(self, session: Session) -> dict[str, float | None]:
        lives = _sees(session, _NEEDS)
        spans = _sees(session, _NEEDS_OF_SPANS)
        lasting = self._lives.lasting()
        half, above = half_life(self._lives.spans.ended, lasting)
        gone = lives and session.sees(EventKind.REMOVE_RMAP_ITEM)
        return {
            **{f"{name}_pages": self._lives.counts[name] if lives else None for name in STAGES[:3]},
            "broken_pages": self._lives.counts["broken"] if spans else None,
            "gone_pages": self._lives.counts["gone"] if gone else None,
            "cut_pages": self._lives.cut if lives else None,
            "merge_latency_pages": len(self._lives.latency) if lives else None,
            "merge_latency_p50_seconds": self._lives.latency.quantile(0.5) if lives else None,
            "merge_latency_p90_seconds": self._lives.latency.quantile(0.9) if lives else None,
            "ended_merges_pages": len(self._lives.spans.ended) if spans else None,
            "lasting_merges_pages": len(lasting) if spans else None,
            "merge_half_life_seconds": half if spans else None,
            "merge_half_life_above_seconds": above if spans else None,
        }

    @hookimpl
    def ksmtrace_metrics(self, session: Session) -> Iterable[Metric]:
        """Metric families of what this run can see."""
        return families(self._figures(session), self._lives)

    @hookimpl
    def ksmtrace_panels(self, session: Session) -> Iterable[Panel]:
        """One panel of figures, usable 26 columns wide."""
        return [panel(self._figures(session))]

    @hookimpl
    def ksmtrace_sections(self, session: Session) -> Iterable[Section]:
        """How fast pages are merged, and how long that lasts."""
        if _sees(session, _NEEDS):
            spans = _sees(session, _NEEDS_OF_SPANS)
            yield section(self._figures(session), self._lives, spans=spans)


def _sees(session: Session, kinds: Iterable[EventKind]) -> bool:
    return all(map(session.sees, kinds))
