"""The life of merges on the screen and in the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from rich.panel import Panel

from ksmtrace.figures import Row, panel_rows, section_figures
from ksmtrace.model.log_histogram import survival
from ksmtrace.panel import figures_panel
from ksmtrace.plugins.merge_life.figures import FIGURES
from ksmtrace.plugins.merge_life.lives import LATENCY_BUCKETS, PASS_NAMES, STAGES, Lives
from ksmtrace.section import Chart, Section, Table
from ksmtrace.units import counted, format_value

_LABELS = {"candidate": "unique"}
"""What a stage is called, where that is not its key."""


def panel(figures: Row) -> Iterator[Panel]:
    """Stages and times of the JSON document, usable 26 columns wide."""
    rows = panel_rows(FIGURES, figures, {"merge_half_life_seconds": _half_life(figures)})
    return figures_panel("merge life", rows)


def section(figures: Row, lives: Lives, *, spans: bool) -> Section:
    """How fast pages are merged, and how long that lasts; `spans`: ends of merges are seen."""
    notes = {"merge_half_life_seconds": _half_life_note(figures)}
    timed = figures["merge_latency_buckets_pages"] is not None
    return Section(
        "How long merges take and last",
        _lead(figures),
        section_figures(FIGURES, figures, notes),
        [_stages_table(figures)] if figures["seen_pages"] is not None else [],
        [
            *(_latency_charts(lives, timed=timed) if figures["seen_pages"] is not None else ()),
            *(_survival_chart(lives) if spans and timed else ()),
        ],
        "Exact for pages that were new to ksmd in this run; times within 5%. What was merged "
        "before is left out.",
    )


def _latency_charts(lives: Lives, *, timed: bool) -> Iterable[Chart]:
    if not len(lives.latency):
        return
    counts = lives.latency_counts()
    used = np.flatnonzero(counts)
    chosen = slice(int(used[0]), int(used[-1]) + 1)
    most = int(np.flatnonzero(lives.latency_passes)[-1]) + 1
    bounds = [*(f"<= {format_value(bound, 'seconds')}" for bound in LATENCY_BUCKETS), "more"]
    if timed:
        yield Chart(
            "Time from first look to merge",
            "bar",
            "time",
            bounds[chosen],
            {"pages": counts[chosen]},
            ("text", "pages"),
            log=True,
        )
    yield Chart(
        "The same in passes of ksmd" if timed else "From first look to merge, in passes of ksmd",
        "bar",
        "passes",
        list(PASS_NAMES[:most]),
        {"pages": lives.latency_passes[:most].tolist()},
        ("text", "pages"),
        log=True,
        note="The pass of the first look counts as 1.",
    )


def _survival_chart(lives: Lives) -> Iterable[Chart]:
    if not len(lives.spans.ended):
        return
    points = [
        (0.0, 1.0),
        *survival(lives.spans.ended, lives.lasting()),
    ]
    yield Chart(
        "Share of merges that last longer",
        "line",
        "time since the merge",
        [at for at, _ in points],
        {"share": [share for _, share in points]},
        ("seconds", "ratio"),
        note="Kaplan and Meier's estimate; merges that last still count as long as they have.",
    )


def _half_life(figures: Row) -> str | None:
    half, above = (figures[f"merge_half_life_{name}seconds"] for name in ("", "above_"))
    if half is not None:
        return format_value(half, "seconds")
    return None if above is None else f"> {format_value(above, 'seconds')}"


def _half_life_note(figures: Row) -> str:
    above = figures["merge_half_life_above_seconds"]
    return (
        "" if above is None else f"more than half last still, over {format_value(above, 'seconds')}"
    )


def _lead(figures: Row) -> str:
    measured, half = figures["merge_latency_pages"], _half_life(figures)
    if measured is None:
        return "How long pages wait to be merged, and how long merges last, cannot be told here."
    if not measured:
        return "No page that was new to ksmd has been merged yet."
    if figures["merge_latency_p50_seconds"] is None:
        return f"{counted(measured, 'page')} new to ksmd merged; how long that took is not known."
    fast = (
        f"Of {format_value(measured, 'pages')} new pages that were merged, half waited at most "
        f"{format_value(figures['merge_latency_p50_seconds'], 'seconds')}, nine tenths "
        f"{format_value(figures['merge_latency_p90_seconds'], 'seconds')}"
    )
    if half is None:
        return f"{fast}."
    return f"{fast}; half of all merges last {half.replace('>', 'over')}."


def _stages_table(figures: Row) -> Table:
    meanings = (
        "ksmd looked at it",
        "waited in the unstable tree",
        "joined a stable node",
        "left it and lived on",
        "unmapped, exited or no longer mergeable",
    )
    seen = figures["seen_pages"]
    rows = [
        (_LABELS.get(name, name), count, count / seen if count is not None and seen else None, what)
        for name, what in zip(STAGES, meanings, strict=True)
        for count in [figures[f"{name}_pages"]]
    ]
    return Table(
        "Stages of life",
        ("stage", "pages", "of seen", "what it means"),
        ("text", "pages", "ratio", "text"),
        rows,
    )
