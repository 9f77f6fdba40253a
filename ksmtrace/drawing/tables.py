"""Draws a table as text: cells are never cut; columns without room are named below the table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

from ksmtrace.drawing.lines import one_line
from ksmtrace.section import Table
from ksmtrace.units import format_value

_TEXT_COLUMNS = 20
"""Width down to which a column of text may be folded."""

_GAP = 2


class TableView:
    """A table as wide as the console.

    Where it would be too wide, columns that have only 0 and None go first, then those at the right.

    Args:
        table: what to draw.
        sort: number of the column by which its rows are sorted, which is marked; None marks none.
        backwards: it is sorted the other way.
    """

    def __init__(self, table: Table, sort: int | None = None, *, backwards: bool = False) -> None:
        self._table = table
        names = [one_line(name) for name in table.columns]
        self._heads = [
            name + (" ^" if backwards else " v") * (at == sort) for at, name in enumerate(names)
        ]
        self._cells = [self._column(at) for at in range(len(names))]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        kept = self._fitting(options.max_width)
        drawn = RichTable(
            box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold dim"
        )
        for at in kept:
            drawn.add_column(
                Text(self._heads[at]),
                justify="left" if self._is_text(at) else "right",
                min_width=self._need(at),
                no_wrap=not self._is_text(at),
                overflow="fold",
            )
        for row in zip(*(self._cells[at] for at in kept), strict=True):
            drawn.add_row(*map(Text, row))
        yield drawn
        left_out = [self._heads[at] for at in range(len(self._heads)) if at not in kept]
        if left_out:
            yield Text(f"no room for: {', '.join(left_out)}", "dim")

    def _column(self, at: int) -> Sequence[str]:
        unit = self._table.units[at]
        return [one_line(format_value(row[at], unit)) for row in self._table.rows]

    def _is_text(self, at: int) -> bool:
        return self._table.units[at] == "text"

    def _need(self, at: int) -> int:
        longest = max(map(cell_len, (self._heads[at], *self._cells[at])))
        return min(longest, _TEXT_COLUMNS) if self._is_text(at) else longest

    def _fitting(self, width: int) -> list[int]:
        """The columns to draw, in their order; the first one always."""
        order = list(range(len(self._heads)))
        empty = [at for at in order if not any(row[at] for row in self._table.rows)]
        leaving = [*reversed(empty), *(at for at in reversed(order) if at not in empty)]
        while len(order) > 1 and sum(self._need(at) + _GAP for at in order) - _GAP > width:
            at = next(at for at in leaving if at in order and at != 0)
            order.remove(at)
        return order
