"""The report as one page of HTML, without scripts, that loads nothing.

It is readable on a phone, in the dark and on paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from ksmtrace import __version__
from ksmtrace.drawing.lines import one_line
from ksmtrace.drawing.summary import Document, advice, facts, length, verdict
from ksmtrace.report.svg import draw
from ksmtrace.report.write import MARK
from ksmtrace.section import Cell, Chart, Section, Table
from ksmtrace.units import format_value

WIDE, NARROW = 760, 260
"""Widths of each chart's two drawings, in pixels: one for screens and paper, one for phones."""


def page(document: Document, sections: Sequence[Section], *, began_ns: int, name: str) -> str:
    """The page.

    Args:
        document: the run's JSON document.
        sections: those of all plugins.
        began_ns: CLOCK_REALTIME when the run began.
        name: of the capture.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["line"] = one_line
    kernel = one_line(document["kernel"]["release"])
    charts = _Charts()
    return environment.from_string(_resource("page.html")).render(
        mark=Markup(MARK),  # noqa: S704
        style=_resource("style.css"),
        version=__version__,
        title=f"KSM on {kernel}, {length(document)}",
        began=datetime.fromtimestamp(began_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        facts=facts(document),
        lost=document["events"]["lost"],
        verdict=verdict(document),
        advice=advice(document),
        name=name,
        sections=[_fields(section, number, charts) for number, section in enumerate(sections)],
    )


def _resource(name: str) -> str:
    return resources.files("ksmtrace.report").joinpath(name).read_text(encoding="utf-8")


class _Charts:
    """Draws the charts of a page, and names them."""

    def __init__(self) -> None:
        self._drawn = 0

    def draw(self, chart: Chart) -> dict[str, Any]:
        drawings = []
        if chart.x and chart.series:
            for width in (WIDE, NARROW):
                self._drawn += 1
                # Markup is what Jinja does not escape: it comes from our own drawing alone.
                drawings.append(Markup(draw(chart, width, f"c{self._drawn}")))  # noqa: S704
        return {"title": chart.title, "note": chart.note, "drawings": drawings}


def _fields(section: Section, number: int, charts: _Charts) -> dict[str, Any]:
    return {
        "id": f"s{number}",
        "title": section.title,
        "lead": section.lead,
        "figures": [
            {
                "name": figure.name,
                "value": format_value(figure.value, figure.unit),
                "unit": figure.unit if figure.unit == "pages" and figure.value is not None else "",
                "remarks": [remark for remark in (figure.exactness, figure.note) if remark],
            }
            for figure in section.figures
        ],
        "charts": [charts.draw(chart) for chart in section.charts],
        "tables": [_table(table) for table in section.tables],
        "exactness": section.exactness,
    }


def _table(table: Table) -> dict[str, Any]:
    numeric = [unit != "text" for unit in table.units]

    def cells(row: Sequence[Cell]) -> list[tuple[str, bool]]:
        shown = (format_value(value, unit) for value, unit in zip(row, table.units, strict=True))
        return list(zip(shown, numeric, strict=True))

    return {
        "title": table.title,
        "note": table.note,
        "columns": list(zip(table.columns, numeric, strict=True)),
        "rows": [cells(row) for row in table.rows],
    }
