"""Leaves out of a section what this run cannot know, and says so: unknown is never drawn as 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ksmtrace.events.kinds import EventKind
from ksmtrace.section import Chart, Section, Table
from ksmtrace.session import Knowledge, Session

_NEEDS: dict[str, EventKind | Knowledge] = {
    **{kind.name.lower(): kind for kind in EventKind},
    **{one.value: one for one in Knowledge},
}


def known_parts(section: Section, session: Session) -> Section:
    """The section without what this run cannot know; its exactness ends in what that is, and why.

    Left out are figures that rest on what the run does not know, series and charts without a
    value, and columns in which nothing is known.
    """
    missing: dict[str, list[str]] = {}

    def leave_out(name: str, needs: Sequence[str]) -> None:
        why = dict.fromkeys(_why_not(session, needs))
        missing.setdefault(", ".join(why), []).append(name)

    figures = []
    for figure in section.figures:
        if figure.value is None and _why_not(session, figure.needs):
            leave_out(figure.name, figure.needs)
        else:
            figures.append(figure)
    charts = []
    for chart in section.charts:
        drawn = _with_known_series(chart)
        if (drawn.series and chart.x) or not (chart.x or _why_not(session, chart.needs)):
            charts.append(drawn)
        else:
            leave_out(f"chart of {_lowered(chart.title)}", chart.needs)
    tables = []
    for table in section.tables:
        kept, without = _with_known_columns(table)
        tables.append(kept)
        for name in without:
            leave_out(name, ())
    exactness = section.exactness
    if missing:
        said = "; ".join(
            ", ".join(dict.fromkeys(names)) + f" ({why})" * bool(why)
            for why, names in missing.items()
        )
        before = exactness.removesuffix(".")
        exactness = f"{before}{'. ' * bool(before)}Not known in this run: {said}."
    return replace(
        section,
        figures=tuple(figures),
        charts=tuple(charts),
        tables=tuple(tables),
        exactness=exactness,
    )


def _why_not(session: Session, needs: Sequence[str]) -> list[str]:
    found = (session.why_not(_NEEDS[need]) for need in needs if need in _NEEDS)
    return [why for why in found if why]


def _with_known_series(chart: Chart) -> Chart:
    if chart.kind == "heat":
        return chart
    known = {
        name: values
        for name, values in chart.series.items()
        if any(value is not None for value in values)
    }
    return chart if len(known) == len(chart.series) else replace(chart, series=known)


def _with_known_columns(table: Table) -> tuple[Table, list[str]]:
    """The table without columns in which nothing is known, and what those are called."""
    if not table.rows:
        return table, []
    kept = [
        at
        for at in range(len(table.columns))
        if at == 0 or any(row[at] is not None for row in table.rows)
    ]
    if len(kept) == len(table.columns):
        return table, []
    without = [name for at, name in enumerate(table.columns) if at not in kept]
    cut = replace(
        table,
        columns=[table.columns[at] for at in kept],
        units=[table.units[at] for at in kept],
        rows=[[row[at] for at in kept] for row in table.rows],
    )
    return cut, without


def _lowered(title: str) -> str:
    return title[:1].lower() + title[1:]
