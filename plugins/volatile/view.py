"""Volatile pages on the screen and in the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.panel import Panel
from rich.text import Text

from ksmtrace.events import EventKind
from ksmtrace.figures import names_of, panel_rows, section_figures
from ksmtrace.model.processes import label_of
from ksmtrace.model.timeline import Timeline
from ksmtrace.panel import figures_panel
from ksmtrace.plugins.volatile.cause import LIVE, REMEDIES, Cause
from ksmtrace.plugins.volatile.figures import FIGURES
from ksmtrace.section import Cell, Chart, Section, Table
from ksmtrace.session import Knowledge
from ksmtrace.units import counted, share

_LABELS = {
    Cause.CHANGED: "changing",
    Cause.FORK_SHARED: "shared by a fork",
    Cause.HELD: "locked or pinned",
    Cause.HUGE_PAGE: "huge page",
    Cause.SKIPPED: "smart scan",
    Cause.CHAIN_FULL: "chain full",
    Cause.GONE: "address gone",
    Cause.OTHER: "other",
}
_EXACTNESS = (
    "Derived from each examination's checksums, attempts and tree; references of huge pages and of "
    "pages in the swap cache are not told from pins; ksmd's CPU time is shared out by "
    "examinations"
)

_NOTHING = {"skipped_pages": 0, "gone_pages": 0}
"""Pages passed over and pages gone cost no examination."""

Json = Mapping[str, Any]


def panel(analysis: Json) -> Iterator[Panel]:
    """Outcomes, the causes met and the three processes with most, usable 26 columns wide."""
    rows = panel_rows(FIGURES, analysis)
    counted = {c: _counted(c, analysis) for c in REMEDIES if c is not Cause.CHANGED}
    rows += [(_LABELS[cause], count) for cause, count in counted.items() if count]
    for process in (analysis["processes"] or ())[:3]:
        rows.append((Text(label_of(process)), process["changed_pages"]))
    return figures_panel("volatile", rows)


def _counted(cause: Cause, analysis: Json) -> int:
    if cause in (Cause.SKIPPED, Cause.GONE):
        return int(analysis[f"{cause.name.lower()}_pages"] or 0)
    lines = analysis["causes"]
    return int(lines[cause.name.lower()]["examined_pages"] or 0) if lines else 0


def section(analysis: Json, over_time: Timeline) -> Section:
    """All of it."""
    lines = analysis["causes"] or {}
    tables = [
        Table(
            "Why pages do not merge, by cause",
            ("cause", "examined in vain", "pages now", "ksmd's CPU", "what to do"),
            ("text", "pages", "pages", "seconds", "text"),
            [
                (
                    _LABELS[cause],
                    *(lines[cause.name.lower()][key] for key in ("examined_pages", "now_pages")),
                    lines[cause.name.lower()]["ksmd_cpu_seconds"],
                    remedy,
                )
                for cause, remedy in REMEDIES.items()
                if lines
            ],
            "pages passed over by smart scan and pages gone are among the figures",
        ),
        _by_cause("Examined in vain, by process", "process", analysis["cause_processes"] or ()),
        _by_cause("Memory ranges with most such pages now", "range", analysis["ranges"] or ()),
    ]
    return Section(
        "Why pages do not merge",
        _lead(analysis),
        section_figures(FIGURES, analysis),
        tables,
        [_chart(over_time, lines)],
        _EXACTNESS,
    )


def _by_cause(title: str, name: str, rows: Sequence[Json]) -> Table:
    places = [
        label_of(row) if name == "process" else f"{label_of(row)} {row['start']}-{row['end']}"
        for row in rows
    ]
    keys = {cause: f"{cause.name.lower()}_pages" for cause in REMEDIES}
    met = [c for c, key in keys.items() if any(row.get(key, 0) != 0 for row in rows)]
    cells: list[tuple[Cell, ...]] = [
        (place, *(row.get(keys[cause]) for cause in met))
        for place, row in zip(places, rows, strict=True)
    ]
    columns = (name, *(_LABELS[cause] for cause in met))
    never = (
        ", ".join(
            _LABELS[cause] for cause, key in keys.items() if cause not in met and key in rows[0]
        )
        if rows
        else ""
    )
    note = f"0 in all of them: {never}" if never else ""
    return Table(title, columns, ("text", *["pages"] * len(met)), cells, note)


def _chart(over_time: Timeline, lines: Json) -> Chart:
    told = [cause for cause in LIVE if lines and lines[cause.name.lower()]["now_pages"] is not None]
    return Chart(
        "Pages neither merged nor unique, by cause, as each pass ended",
        "line",
        "time",
        over_time.column("seconds"),
        {_LABELS[cause]: over_time.column(cause.name) for cause in told},
        ("seconds", "pages"),
        needs=names_of((EventKind.CMP_AND_MERGE_PAGE, Knowledge.TREES)),
    )


def _lead(analysis: Json) -> str:
    ratio, lines = analysis["wasted_ratio"], analysis["causes"]
    if analysis["examined_pages"] and not lines:
        return "There are no trees: why pages do not merge is no question."
    if ratio is None or not lines:
        return "No examination was seen one by one: why pages do not merge cannot be told here."
    worst = max(REMEDIES, key=lambda cause: _counted(cause, {**analysis, **_NOTHING}))
    if not _counted(worst, {**analysis, **_NOTHING}):
        return f"None of {counted(analysis['examined_pages'], 'examination')} was in vain."
    lead = (
        f"{share(ratio)} of {counted(analysis['examined_pages'], 'examination')} were in vain, "
        f"most of them by this cause: {_LABELS[worst]} ({REMEDIES[worst]})."
    )
    worst_process = analysis["cause_processes"][:1]
    return lead + "".join(f" Most are of {label_of(process)}." for process in worst_process)
