"""The panel that an analyzer shows on the screen: figures under a title, from 26 columns wide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.panel import Panel
from rich.table import Table
from rich.text import Text


def figures_panel(
    title: str, figures: Iterable[tuple[str | Text, float | str | None]], style: str = "dim"
) -> Iterator[Panel]:
    """A panel with one line per figure, or none without figures.

    Numbers get thousands separators, None is shown as "-". Labels and texts are shown as they are:
    markup in them has no effect.
    """
    rows = list(figures)
    if not rows:
        return
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(overflow="ellipsis", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for label, value in rows:
        shown = value if isinstance(value, str) else f"{value:,}" if value is not None else "-"
        table.add_row(
            label if isinstance(label, Text) else Text(label),
            Text(shown, style="dim" if value is None else ""),
        )
    yield Panel(table, title=Text(title, style="bold"), border_style=style)
