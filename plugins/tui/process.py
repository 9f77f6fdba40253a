"""One process: all that the sections have to say of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from rich.console import RenderableType
from rich.text import Text

from ksmtrace.drawing.charts import ChartView
from ksmtrace.drawing.lines import one_line
from ksmtrace.drawing.sections import figures_table
from ksmtrace.drawing.tables import TableView
from ksmtrace.plugins.tui.picture import Picture
from ksmtrace.section import Chart, Figure, Section, Table


def process_view(picture: Picture, label: str) -> Iterator[RenderableType]:
    """The rows, figures and maps of the process that is called `label`."""
    yield Text(label, "bold underline")
    of = dict(picture.processes()).get(label)
    if of is not None:
        places = (f"{name} {one_line(of[name])}" for name in ("cgroup", "vm") if of.get(name))
        if said := "   ".join(places):
            yield Text(said, "dim")
    found = False
    for _, section in picture.sections:
        parts = list(_parts(section, label))
        if parts:
            found = True
            yield Text()
            yield Text(one_line(section.title), "bold")
            yield from parts
    if not found:
        yield Text()
        yield Text("No analyzer has anything to say of it now.", "dim")


def _parts(section: Section, label: str) -> Iterator[RenderableType]:
    told: list[list[Figure]] = []
    whole = re.compile(rf"(?<!\S){re.escape(label)}(?![^\s,:])")
    for table in section.tables:
        rows = [row for row in table.rows if any(whole.search(_text(cell)) for cell in row)]
        if len(rows) == 1 and _text(rows[0][0]) == label:
            figures = _figures(table, rows[0])
            if figures not in told:  # a process is a guest of its own, too
                told.append(figures)
                yield figures_table(figures)
        elif rows:
            yield Text(one_line(table.title), "dim")
            yield TableView(replace(table, rows=rows))
    for chart in section.charts:
        if whole.search(one_line(chart.title)):
            yield ChartView(chart)
        elif label in map(one_line, chart.series):
            yield ChartView(_only(chart, label))


def _text(cell: object) -> str:
    return one_line(cell) if isinstance(cell, str) else ""


def _figures(table: Table, row: object) -> list[Figure]:
    assert isinstance(row, (list, tuple))
    return [
        Figure(name, value, "" if unit == "text" else unit)
        for name, unit, value in zip(table.columns[1:], table.units[1:], row[1:], strict=True)
        if value is not None
    ]


def _only(chart: Chart, label: str) -> Chart:
    series = {name: values for name, values in chart.series.items() if one_line(name) == label}
    return replace(chart, series=series)
