"""Draws a section as text: its lead, figures, charts and tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

from ksmtrace.drawing.charts import ChartView
from ksmtrace.drawing.lines import one_line
from ksmtrace.drawing.tables import TableView
from ksmtrace.section import Cell, Chart, Figure, Section, Table
from ksmtrace.units import format_value

_PROCESS_COLUMNS = ("process", "comm", "pid", "guest", "vm", "cgroup")


class SectionView:
    """A section as wide as the console.

    Args:
        section: what to draw.
        sort: number of the column by which tables are sorted, numbers descending; None leaves their
            order.
        backwards: the other way round.
        needle: text that rows of heat maps and of tables with processes must contain.
    """

    def __init__(
        self,
        section: Section,
        *,
        sort: int | None = None,
        backwards: bool = False,
        needle: str = "",
    ) -> None:
        self._section = section
        self._sort = sort
        self._backwards = backwards
        self._needle = needle.casefold()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        section = self._section
        yield Text(one_line(section.title), "bold underline")
        yield Text(one_line(section.lead), "bold")
        if section.figures:
            yield Text()
            yield figures_table(section.figures)
        for chart in section.charts:
            yield Text()
            yield ChartView(filter_chart(chart, self._needle))
        for table in section.tables:
            if table.rows:
                yield Text()
                yield from self._table(table)
        if section.exactness:
            yield Text()
            yield Text(one_line(section.exactness), "dim")

    def _table(self, table: Table) -> Iterator[Text | TableView]:
        shown = filter_table(table, self._needle)
        sort = None if self._sort is None or self._sort >= len(table.columns) else self._sort
        rows = (
            shown.rows[:: -1 if self._backwards else 1]
            if sort is None
            else sorted_rows(shown.rows, sort, backwards=self._backwards)
        )
        hidden = len(table.rows) - len(rows)
        title = Text(one_line(table.title), "bold")
        yield title.append(f"  ({hidden:,} rows hidden by the filter)", "dim") if hidden else title
        if rows:
            yield TableView(replace(table, rows=rows), sort, backwards=self._backwards)
        if table.note:
            yield Text(one_line(table.note), "dim")


def figures_table(figures: Sequence[Figure]) -> RichTable:
    """Figures one below the other, each with its remarks."""
    drawn = RichTable.grid(padding=(0, 2, 0, 0))
    drawn.add_column(overflow="fold")
    drawn.add_column(justify="right", no_wrap=True)
    drawn.add_column()
    for figure in figures:
        value = Text(
            format_value(figure.value, figure.unit), "dim" if figure.value is None else "bold"
        )
        drawn.add_row(
            Text(one_line(figure.name)), value, Text(one_line(", ".join(remarks(figure))), "dim")
        )
    return drawn


def remarks(figure: Figure) -> list[str]:
    """What is said behind a figure: how exact it is, or that it is not known, and its note."""
    how = "not known" if figure.value is None else figure.exactness
    return [remark for remark in (how, figure.note) if remark]


def sorted_rows(
    rows: Sequence[Sequence[Cell]], column: int, *, backwards: bool = False
) -> list[Sequence[Cell]]:
    """Rows sorted by one column: numbers descending, then texts ascending, then None.

    Backwards, numbers ascend and texts descend; None is last all the same.
    """

    def place(row: Sequence[Cell]) -> tuple[int, float, str]:
        value = row[column]
        return (1, 0, value.casefold()) if isinstance(value, str) else (0, -(value or 0), "")

    known = [row for row in rows if row[column] is not None]
    unknown = [row for row in rows if row[column] is None]
    return [*sorted(known, key=place, reverse=backwards), *unknown]


def filter_table(table: Table, needle: str) -> Table:
    """The table with only the rows that contain `needle`, a casefolded text.

    A table without processes is returned as it is.
    """
    named = any(word in name.casefold() for name in table.columns for word in _PROCESS_COLUMNS)
    if not needle or not named:
        return table
    rows = [row for row in table.rows if any(needle in str(cell).casefold() for cell in row)]
    return replace(table, rows=rows)


def filter_chart(chart: Chart, needle: str) -> Chart:
    """A heat map with only the rows whose labels contain `needle`.

    One without such rows, and any other chart, is returned as it is.
    """
    if not needle or chart.kind != "heat":
        return chart
    series = {name: values for name, values in chart.series.items() if needle in name.casefold()}
    return replace(chart, series=series) if series else chart
