"""Analyzer of how pages come to be merged and how long that lasts: each rmap_item from first sight to last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

import numpy as np
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from rich.panel import Panel

from ksmtrace import hookimpl
from ksmtrace.events import EventBatch, EventKind
from ksmtrace.model.durations import half_life, survival
from ksmtrace.model.lives import MOST_PASSES, STAGES, Lives
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.panel import figures_panel
from ksmtrace.section import Chart, Figure, Section, Table
from ksmtrace.session import Session
from ksmtrace.units import written

LATENCY_BUCKETS = tuple(4.0**exponent for exponent in range(-4, 9))
"""Upper bounds in seconds, 4 ms to 18 hours."""

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
            by_pass = dict(zip(_pass_names(), self._lives.latency_passes.tolist(), strict=True))
            by_seconds = dict(zip(_bucket_names(), self._latency_counts(), strict=True))
        return {
            **self._figures(session),
            "merge_latency_passes": by_pass,
            "merge_latency_buckets_pages": by_seconds,
        }

    def _latency_counts(self) -> list[int]:
        latency = self._lives.latency
        counted = [0, *latency.within(LATENCY_BUCKETS), len(latency)]
        return [after - before for before, after in pairwise(counted)]

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
        figures = self._figures(session)
        lives = CounterMetricFamily(
            "ksmtrace_lives_pages_total",
            "rmap_items that reached a stage of their life, each counted once. Few candidates of those seen: memory "
            "changes too fast; few merged of the candidates: pages have no twins.",
            labels=["stage"],
        )
        for name in STAGES:
            if (value := figures[f"{name}_pages"]) is not None:
                lives.add_metric([name], value)
        if lives.samples:
            yield lives
        if figures["merge_latency_pages"] is not None:
            bounds = [*map(str, LATENCY_BUCKETS), "+Inf"]
            counts = np.cumsum(self._latency_counts()).tolist()
            yield HistogramMetricFamily(
                "ksmtrace_merge_latency_seconds",
                "From ksmd's first sight of a page to its merge. p90 of hours: raise pages_to_scan or use the advisor.",
                buckets=list(zip(bounds, counts, strict=True)),
                sum_value=self._lives.latency.sum_ns / 1e9,
            )
        if (half := figures["merge_half_life_seconds"]) is not None:
            yield GaugeMetricFamily(
                "ksmtrace_merge_half_life_seconds",
                "Time that half of the merges last at least. Shorter than a few passes: merging is undone as fast as it "
                "is done, advise less memory.",
                half,
            )

    @hookimpl
    def ksmtrace_panels(self, session: Session) -> Iterable[Panel]:
        """One panel of figures, usable 26 columns wide."""
        figures = self._figures(session)
        rows = ((name, figures[f"{name}_pages"]) for name in STAGES)
        times = (
            ("latency p50", written(figures["merge_latency_p50_seconds"], "seconds")),
            ("  p90", written(figures["merge_latency_p90_seconds"], "seconds")),
            ("half-life", _half_life(figures)),
        )
        yield figures_panel("merge life", (*rows, *times), "blue")

    @hookimpl
    def ksmtrace_sections(self, session: Session) -> Iterable[Section]:
        """How fast pages are merged, and how long that lasts."""
        if not _sees(session, _NEEDS):
            return
        figures = self._figures(session)
        told = [
            Figure("latency of half", figures["merge_latency_p50_seconds"], "seconds"),
            Figure("latency of nine tenths", figures["merge_latency_p90_seconds"], "seconds"),
            Figure("half-life", figures["merge_half_life_seconds"], "seconds", "derived", _half_life_note(figures)),
            Figure("cut off by losses", figures["cut_pages"], "pages"),
        ]  # fmt: skip
        yield Section(
            "Life of merges",
            _lead(figures),
            told,
            [_stages_table(figures)],
            [*self._latency_charts(), *self._survival_chart(session)],
            "Exact for pages met while all others were known; times within 5 %. What was merged before the trace is left out.",
        )

    def _latency_charts(self) -> Iterable[Chart]:
        if not len(self._lives.latency):
            return
        counts = self._latency_counts()
        used = np.flatnonzero(counts)
        chosen = slice(int(used[0]), int(used[-1]) + 1)
        most = int(np.flatnonzero(self._lives.latency_passes)[-1]) + 1
        bounds = [*(f"<= {written(bound, 'seconds')}" for bound in LATENCY_BUCKETS), "more"]
        yield Chart(
            "From first sight to merge",
            "bar",
            "time",
            bounds[chosen],
            {"pages": counts[chosen]},
            ("text", "pages"),
        )
        yield Chart(
            "The same in passes of ksmd",
            "bar",
            "passes",
            _pass_names()[:most],
            {"pages": self._lives.latency_passes[:most].tolist()},
            ("text", "pages"),
            note="The pass of the first look counts as 1.",
        )

    def _survival_chart(self, session: Session) -> Iterable[Chart]:
        if not _sees(session, _NEEDS_OF_SPANS) or not len(self._lives.spans.ended):
            return
        points = [
            (0.0, 1.0),
            *survival(self._lives.spans.ended, self._lives.lasting()),
        ]
        yield Chart(
            "Merges that last longer",
            "line",
            "time since the merge",
            [at for at, _ in points],
            {"share": [share for _, share in points]},
            ("seconds", "ratio"),
            note="Kaplan and Meier's estimate; merges that last still count as long as they have.",
        )


def _sees(session: Session, kinds: Iterable[EventKind]) -> bool:
    return all(map(session.sees, kinds))


def _pass_names() -> list[str]:
    return [*map(str, range(1, MOST_PASSES + 1)), "more"]


def _bucket_names() -> list[str]:
    return [*(f"{bound:g}" for bound in LATENCY_BUCKETS), "more"]


def _half_life(figures: Mapping[str, float | None]) -> str:
    above = figures["merge_half_life_above_seconds"]
    if figures["merge_half_life_seconds"] is None and above is not None:
        return f"> {written(above, 'seconds')}"
    return written(figures["merge_half_life_seconds"], "seconds")


def _half_life_note(figures: Mapping[str, float | None]) -> str:
    above = figures["merge_half_life_above_seconds"]
    return "" if above is None else f"more than half last still, over {written(above, 'seconds')}"


def _lead(figures: Mapping[str, float | None]) -> str:
    measured, half = figures["merge_latency_pages"], _half_life(figures)
    if not measured:
        return "No page that was new to ksmd has been merged yet."
    fast = (
        f"Of {written(measured, 'pages')} new pages that were merged, half waited at most "
        f"{written(figures['merge_latency_p50_seconds'], 'seconds')}, nine tenths "
        f"{written(figures['merge_latency_p90_seconds'], 'seconds')}"
    )
    return (
        f"{fast}."
        if half == "-"
        else f"{fast}; half of all merges last {half.replace('>', 'over')}."
    )


def _stages_table(figures: Mapping[str, float | None]) -> Table:
    said = (
        "ksmd looked at it",
        "waited in the unstable tree",
        "joined a stable node",
        "left it and lived on",
        "unmapped, exited or no longer mergeable",
    )
    seen = figures["seen_pages"]
    rows = [
        (name, count, count / seen if count is not None and seen else None, what)
        for name, what in zip(STAGES, said, strict=True)
        for count in [figures[f"{name}_pages"]]
    ]
    return Table(
        "Stages of life",
        ("stage", "pages", "of seen", "what it means"),
        ("text", "pages", "ratio", "text"),
        rows,
    )
