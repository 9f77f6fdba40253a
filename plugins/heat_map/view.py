"""The heat map on the screen and in the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.panel import Panel
from rich.text import Text

from ksmtrace.drawing.palette import STATES
from ksmtrace.figures import section_figures
from ksmtrace.plugins.heat_map.figures import LABELS, PAGES
from ksmtrace.plugins.heat_map.grid import Grid, State
from ksmtrace.section import Chart, Section
from ksmtrace.units import counted, share

LETTERS = {
    State.UNKNOWN: ".",
    State.MERGED: "m",
    State.CANDIDATE: "c",
    State.VOLATILE: "v",
    State.SKIPPED: "s",
    State.GONE: "x",
}

_DRAWN = {
    State.UNKNOWN: (" ", ""),
    State.MERGED: ("█", STATES["merged"]),
    State.CANDIDATE: ("▒", STATES["unique"]),
    State.VOLATILE: ("v", STATES["neither"]),
    State.SKIPPED: ("░", STATES["skipped"]),
    State.GONE: ("·", STATES["gone"]),
}
"""Character and colour of each state; the characters alone say it too."""

_LEGEND = (*LABELS.values(), "gone")
_PANEL_ROWS, _PANEL_COLUMNS = 8, 22

Maps = Sequence[tuple[str, int, int, Grid]]
"""Of each process: how to call it, the pass of its first column, its rmap_items, its grid."""


def panel(label: str, grid: Grid) -> Panel:
    """One map in a small space, usable 26 columns wide."""
    cells = grid.view(_PANEL_ROWS, _PANEL_COLUMNS).tolist()
    lines = [Text(label, style="bold", no_wrap=True, overflow="ellipsis")]
    for row in cells:
        line = Text()
        for cell in row:
            character, style = _DRAWN[State(cell)]
            line.append(character, style)
        lines.append(line)
    lines += [
        Text(f"column {_passes(grid)}", style="dim"),
        Text("█ merged ▒ unique", style="dim"),
        Text("v neither ░ skipped", style="dim"),
        Text("· gone", style="dim"),
    ]
    return Panel(Text("\n").join(lines), title=Text("heat map", style="bold"), border_style="dim")


def section(maps: Maps, pages: Mapping[str, int]) -> Section:
    """All maps; `pages` are those of all processes by state."""
    total = sum(pages.values())
    lead = "No pass was seen in which every page's tree is known: no map."
    if maps and total:
        shares = ", ".join(
            f"{share(count / total)} {LABELS[state]}" for state, count in pages.items() if count
        )
        lead = f"Of {counted(total, 'page')} that ksmd tracks: {shares}. Most are of {maps[0][0]}."
    return Section(
        "Memory over time",
        lead,
        section_figures(PAGES, pages) if maps else [],
        charts=[_chart(*one) for one in maps],
        exactness="Derived: where most pages of a cell were as each pass ended; gone counts "
        "against the most there were.",
    )


def _chart(label: str, first_pass: int, rmap_items: int, grid: Grid) -> Chart:
    cells = grid.cells().tolist()
    return Chart(
        f"{label}: {counted(rmap_items, 'page')} at the end",
        "heat",
        "pass",
        [first_pass + column * grid.passes_per_column for column in range(grid.columns)],
        {
            f"{start:#x}": [None if cell == State.UNKNOWN else cell - 1 for cell in row]
            for start, row in zip(grid.rows(), cells, strict=True)
        },
        legend=_LEGEND,
        note=scale(grid),
    )


def scale(grid: Grid) -> str:
    """How much a column and a row are."""
    return f"one column = {_passes(grid)}, one row = {_size(grid.row_shift)}"


def _passes(grid: Grid) -> str:
    return counted(grid.passes_per_column, "pass", "passes")


def _size(shift: int) -> str:
    for unit, bits in (("TiB", 40), ("GiB", 30), ("MiB", 20)):
        if shift >= bits:
            return f"{1 << shift - bits} {unit}"
    return f"{1 << shift - 10} KiB"
