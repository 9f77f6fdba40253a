"""The report as one page of HTML that loads nothing.

It is readable on a phone, in the dark and on paper. Its one script sorts and searches tables; the
page's policy allows that by its hash and no other, and without it the page is whole.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from ksmtrace import __version__
from ksmtrace.drawing import palette
from ksmtrace.drawing.charts import without_zeros
from ksmtrace.drawing.lines import one_line
from ksmtrace.drawing.sections import remarks
from ksmtrace.drawing.summary import Document, advice, facts, length, tunables_told, verdict
from ksmtrace.model.verdict import Answer
from ksmtrace.report.flow import flow_of
from ksmtrace.report.flow_svg import draw_flow
from ksmtrace.report.svg import draw
from ksmtrace.report.write import MARK
from ksmtrace.section import Cell, Chart, Figure, Section, Table
from ksmtrace.session import Session
from ksmtrace.units import counted, format_value

WIDE, NARROW = 760, 260
"""Widths of each chart's two drawings, in pixels: one for screens and paper, one for phones."""

WIDE_FLOW, NARROW_FLOW = 880, 340
"""The same of the first picture, which has no axes."""


_TONES = {Answer.WORTH_IT: "good", Answer.COSTS_MORE: "bad"}
"""By answer of the verdict, the class of the element that shows it."""


def page(
    document: Document,
    sections: Sequence[Section],
    *,
    session: Session,
    tunables: Mapping[str, str],
    name: str,
) -> str:
    """The page.

    Args:
        document: the run's JSON document.
        sections: those of all plugins.
        session: the facts of the run.
        tunables: as they stood at its end.
        name: of the capture.
    """
    kernel = one_line(document["kernel"]["release"])
    host = one_line(session.host)
    began = datetime.fromtimestamp(session.realtime_ns / 1e9, UTC)
    return _page(
        sections,
        title=f"KSM on {f'{host}, ' if host else ''}{kernel}, {length(document)}",
        began=began.strftime("%Y-%m-%d %H:%M:%S UTC"),
        facts=facts(document, host),
        tunables=tunables_told(session.tunables, tunables),
        verdict=_verdict(document),
        advice=advice(document) if "advice" in document["analyzers"] else None,
        flow=_flow(document),
        name=name,
    )


def sections_page(
    sections: Sequence[Section],
    *,
    title: str,
    facts: Sequence[str],
    verdict: tuple[str, str] | None = None,
    good: bool | None = None,
    tunables: Mapping[str, str] | None = None,
    name: str,
) -> str:
    """A page of what is no run.

    Args:
        sections: what it tells.
        title: a few words.
        facts: of the host, each in a few words.
        verdict: an answer, and what follows it.
        good: whether the answer is a good one; None for one of the verdict on KSM, or neither.
        tunables: as they stand.
        name: of what it was made from.
    """
    answer, rest = verdict or ("", "")
    head = _answer(one_line(answer), one_line(rest))
    if good is not None:
        head["tone"] = "good" if good else "bad"
    return _page(
        sections,
        title=one_line(title),
        began="",
        facts=[one_line(fact) for fact in facts],
        tunables=[f"{name} {one_line(value)}" for name, value in (tunables or {}).items()],
        verdict=None if verdict is None else head,
        advice=None,
        flow=None,
        name=name,
    )


def _page(sections: Sequence[Section], **head: object) -> str:
    """The page of sections under a head, whose parts page.html names."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["line"] = one_line
    script = _resource("script.js")
    charts = _Charts()
    return environment.from_string(_resource("page.html")).render(
        mark=Markup(MARK),  # noqa: S704
        palette=palette,
        style=_resource("style.css"),
        script=Markup(script),  # noqa: S704
        script_hash=Markup(_hash(script)),  # noqa: S704
        version=__version__,
        sections=[_fields(section, number, charts) for number, section in enumerate(sections)],
        **head,
    )


def _hash(script: str) -> str:
    """The source of a Content-Security-Policy that allows this script alone."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _verdict(document: Document) -> dict[str, str] | None:
    """The answer, what follows it, and the class by which it is coloured; None without one."""
    sentence = verdict(document)
    if not sentence:
        return None
    answer = one_line(document["analyzers"]["balance"]["verdict"])
    return _answer(answer, sentence.removeprefix(answer))


def _answer(answer: str, rest: str) -> dict[str, str]:
    return {
        "answer": f"{answer[:1].upper()}{answer[1:]}",
        "rest": rest,
        "tone": next((tone for of, tone in _TONES.items() if of == answer), "unsure"),
    }


def _flow(document: Document) -> dict[str, Any]:
    """The first picture, which answers alone: where pages went."""
    flow = flow_of(document)
    pages = flow.pages
    drawings = [
        # Markup is what Jinja does not escape: it comes from our own drawing alone.
        Markup(draw_flow(flow, width, meanings=width == WIDE_FLOW))  # noqa: S704
        for width in (WIDE_FLOW, NARROW_FLOW)
    ]
    return {
        "title": flow.title,
        "pages": counted(pages, "page") if pages else "",
        "drawings": drawings if flow.branches else [],
        "note": flow.note,
    }


def _resource(name: str) -> str:
    return resources.files("ksmtrace.report").joinpath(name).read_text(encoding="utf-8")


class _Charts:
    """Draws the charts of a page, and names them."""

    def __init__(self) -> None:
        self._drawn = 0

    def draw(self, chart: Chart) -> dict[str, Any]:
        drawings, notes = [], [chart.note]
        if chart.kind == "line":
            series, zeros = without_zeros(chart)
            chart = replace(chart, series=series)
            notes.append(zeros)
        if chart.x and chart.series:
            for width in (WIDE, NARROW):
                self._drawn += 1
                # Markup is what Jinja does not escape: it comes from our own drawing alone.
                drawings.append(Markup(draw(chart, width, f"c{self._drawn}")))  # noqa: S704
        return {"title": chart.title, "notes": [*filter(None, notes)], "drawings": drawings}


def _fields(section: Section, number: int, charts: _Charts) -> dict[str, Any]:
    return {
        "id": f"s{number}",
        "title": section.title,
        "lead": section.lead,
        "figures": [
            {
                "name": figure.name,
                "value": format_value(figure.value, figure.unit),
                "unit": _unit(figure),
                "remarks": remarks(figure),
            }
            for figure in section.figures
        ],
        "charts": [charts.draw(chart) for chart in section.charts],
        "tables": [_table(table) for table in section.tables if table.rows],
        "exactness": section.exactness,
    }


def _unit(figure: Figure) -> str:
    """What stands behind the value: pages are named, other values have their unit."""
    if figure.unit != "pages" or figure.value is None:
        return ""
    return "page" if figure.value == 1 else "pages"


def _table(table: Table) -> dict[str, Any]:
    numeric = [unit != "text" for unit in table.units]
    return {
        "title": table.title,
        "note": table.note,
        "columns": list(zip(table.columns, numeric, strict=True)),
        "rows": [
            [_cell(value, unit) for value, unit in zip(row, table.units, strict=True)]
            for row in table.rows
        ],
    }


def _cell(value: Cell, unit: str) -> dict[str, Any]:
    """What a cell shows, and what it is sorted by where that is a number."""
    attributes = "" if unit == "text" else ' class="n"'
    if isinstance(value, int | float) and math.isfinite(value):
        attributes += f' data-v="{value!r}"'
    # numbers alone are in it
    return {"text": format_value(value, unit), "attributes": Markup(attributes)}  # noqa: S704
