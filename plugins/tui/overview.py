"""The overview: does it pay, who gains, what is wasted, what to do; then the rest.

What matters most comes first; what has no room is left out from the end, never out of order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from rich.console import RenderableType
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from ksmtrace.drawing.lines import one_line
from ksmtrace.drawing.palette import BAD, GOOD, UNKNOWN, UNSURE, series_colours
from ksmtrace.drawing.sparklines import sparkline
from ksmtrace.model.verdict import Answer
from ksmtrace.plugins.tui.memory import memory_bar, packed
from ksmtrace.plugins.tui.panels import WIDE, Guarded, gauge_table, probe_table, side_by_side
from ksmtrace.plugins.tui.picture import PROBES, Picture
from ksmtrace.plugins.tui.view_state import ViewState
from ksmtrace.units import format_value

Lines = list[list[Segment]]
Rows = Callable[[int], Table]
"""Draws a table of so many rows at most."""

_ROOMY_LINES = 36
_TABLES_BESIDE = 96
"""Columns from which on two tables are side by side."""

_MOST_ROWS = 8
_LEADING = ("balance", "advice")
"""The analyzers whose leads are drawn out above: verdict and advice."""

_WASTED = {
    "changed": "written to between two looks",
    "fork_shared": "shared by a fork already",
    "held": "locked or pinned",
    "huge_page": "part of a huge page",
    "chain_full": "all copies full",
    "other": "other",
}
"""Causes of examinations that come to nothing, and what to call them."""

VERDICTS = {
    Answer.WORTH_IT.value: GOOD,
    Answer.COSTS_MORE.value: BAD,
    Answer.NOT_SETTLED.value: UNSURE,
}
"""Colours of verdicts; the others have that of what is not known."""


class Canvas(Protocol):
    """What turns renderables into lines."""

    width: int
    height: int

    def lines(self, *renderables: RenderableType) -> Lines:
        """The lines of these, one below the other."""


def overview(draw: Canvas, picture: Picture, state: ViewState, room: int) -> Lines:
    """At most `room` lines."""
    gap: Lines = [[]] if draw.height >= _ROOMY_LINES else []
    verdict, advice = draw.lines(*_verdict(picture)), draw.lines(*_advice(picture))
    head = [*verdict[: max(1, room - len(advice))], *advice]
    middle = draw.lines(*memory_bar(picture, draw.width), *_sparklines(picture, draw.width))
    names = draw.lines(*view_names(picture, draw.width))
    left = room - len(head) - len(middle) - len(names) - len(gap) * 2
    who = _who(draw, picture, state, max(0, left - len(gap)))
    parts = [part for part in (head, middle, who) if part]
    rest: list[Lines] = []
    left = room - sum(map(len, parts)) - len(gap) * len(parts)
    for wrap in (True, False):
        leads = draw.lines(*_leads(picture, wrap=wrap))
        if len(leads) <= left:
            names = leads
            break
    left -= len(names)
    for part in _rest(draw, picture):
        if len(part) + len(gap) > left:
            break
        rest.append(part)
        left -= len(part) + len(gap)
    lines: Lines = []
    for part in (*parts, names, *rest):
        lines += [*(gap if lines else []), *part]
    return lines[:room]


def _verdict(picture: Picture) -> Iterator[Text]:
    balance = picture.document["analyzers"].get("balance", {})
    word, reasons = balance.get("verdict"), balance.get("verdict_reasons") or ()
    if not isinstance(word, str):
        return
    line = Text(one_line(word).upper(), f"bold {VERDICTS.get(word, UNKNOWN)}")
    line.append(f"  {one_line('; '.join(map(str, reasons)))}.", "not bold default")
    if balance.get("verdict_change"):
        line.append(f" {one_line(balance['verdict_change'])}", "not bold default")
    yield line


def _advice(picture: Picture) -> Iterator[Text]:
    """What to do, and the command on a line of its own, so that it can be copied."""
    advice = picture.document["analyzers"].get("advice", {})
    given = advice.get("recommendations")
    for one in given or ():
        yield Text("Do: ", "bold").append(one_line(one["advice"]), "not bold")
        yield Text(f"    {one_line(one['command'])}", "bold")
    if given is not None and not given:
        yield Text("Do: nothing to recommend", "dim")


def _sparklines(picture: Picture, width: int) -> Iterator[Text]:
    """A line for each series that an analyzer wants seen here."""
    found = [
        (name, chart, chart.series[name])
        for _, section in picture.sections
        for chart in section.charts
        for name in chart.brief
        if name in chart.series
    ]
    said = []
    for _, chart, values in found:
        known = [value for value in values if value is not None]
        now, most = (format_value(v, chart.units[1]) for v in (known[-1], max(known)))
        said.append(f"{now} now, {most} at most")
    label = max((len(one_line(name)) for name, _, _ in found), default=0) + 2
    behind = max(map(len, said), default=0)
    colours = series_colours([name for name, _, _ in found])
    for (name, chart, values), words, colour in zip(found, said, colours, strict=True):
        across = max(8, width - label - behind - 2)
        line = Text(f"{one_line(name):<{label}}", no_wrap=True, overflow="crop")
        line.append(sparkline(chart.x, values, across), colour)
        yield line.append(f" {words:>{behind}}")


def _who(draw: Canvas, picture: Picture, state: ViewState, room: int) -> Lines:
    """Who gains and what is wasted, side by side where there is room for both."""
    gains, wasted = _gains(picture, state), _wasted(picture)
    if draw.width >= _TABLES_BESIDE and gains and wasted:
        most = min(room - 1, _MOST_ROWS)
        if most < 1:
            return []
        return draw.lines(side_by_side((gains(most), wasted(most)), draw.width, 40))
    tables = [table for table in (gains, wasted) if table]
    each, more = divmod(room, max(1, len(tables)))
    if each < 2:  # a heading and a row
        return []
    sizes = [each - 1 + (at < more) for at in range(len(tables))]
    return draw.lines(
        *(table(min(most, _MOST_ROWS)) for table, most in zip(tables, sizes, strict=True))
    )


def _gains(picture: Picture, state: ViewState) -> Rows | None:
    kept = picture.processes(state.needle)
    if not kept and state.needle and picture.processes():
        return lambda _: _table(f"Who gains: no process has {state.needle!r} in its name")
    if not kept:
        return None
    labels, rows = [name for name, _ in kept], [row for _, row in kept]
    chosen = state.row(labels)
    keys = {
        "saved_bytes": ("saved", "bytes"),
        "net_saved_bytes": ("net saved", "bytes"),
        "ksmd_cpu_seconds": ("ksmd's CPU", "seconds"),
        "user_break_pages": ("pages written", "pages"),
    }
    shown = {key: told for key, told in keys.items() if any(r.get(key) is not None for r in rows)}

    def table(most: int) -> Table:
        drawn = _table("Who gains", *(name for name, _ in shown.values()))
        first = max(0, min(chosen - most + 1, len(rows) - most))
        for at, row in list(enumerate(rows))[first : first + most]:
            style = Style(reverse=at == chosen, meta={"press": f"process {at}"})
            cells = (format_value(row.get(key), unit) for key, (_, unit) in shown.items())
            drawn.add_row(Text(overflow="ellipsis").append(labels[at], style), *cells)
        return drawn

    return table


def _wasted(picture: Picture) -> Rows | None:
    causes: Mapping[str, Any] = picture.document["analyzers"].get("volatile", {}).get("causes")
    rows = [
        (_WASTED[name], one["examined_pages"], one["ksmd_cpu_seconds"])
        for name, one in (causes or {}).items()
        if name in _WASTED and one["examined_pages"]
    ]
    if not rows:
        return None
    rows.sort(key=lambda row: -row[1])

    def table(most: int) -> Table:
        drawn = _table("Examined in vain", "times", "ksmd's CPU")
        for name, pages, spent in rows[:most]:
            cells = (format_value(pages, "pages"), format_value(spent, "seconds"))
            drawn.add_row(Text(name), *cells)
        return drawn

    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, expand=True, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first, no_wrap=True, overflow="ellipsis", ratio=1, min_width=12)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def view_names(picture: Picture, width: int) -> list[Text]:
    """Every view with its key."""
    views = [
        Text.assemble((key, "bold"), f" {_title(picture, name)}", style=_pressing(key))
        for name, key in picture.views().items()
    ]
    return packed(views, width)


def _title(picture: Picture, name: str) -> str:
    """What a view is called."""
    if name == PROBES:
        return "Probes"
    return one_line(next((s.title for s in picture.sections_of(name)), name))


def _leads(picture: Picture, *, wrap: bool) -> Iterator[RenderableType]:
    """The views with what each has to say, cut to a line each unless they may `wrap`."""
    views = picture.views()
    leading = Text(no_wrap=True, overflow="ellipsis")
    for name in filter(views.__contains__, _LEADING):
        shown = f"{views[name]} {_title(picture, name)}   "
        leading.append(shown, Style(bold=True) + _pressing(views[name]))
    if leading:
        yield leading
    drawn = Table.grid()
    drawn.add_column(no_wrap=True, min_width=2)
    drawn.add_column(no_wrap=not wrap, overflow="fold" if wrap else "ellipsis")
    for name, key in views.items():
        if name in _LEADING:
            continue
        style = Style(bold=True) + _pressing(key)
        sections = picture.sections_of(name)
        if not sections:
            drawn.add_row(Text(f"{key} ", style), Text(_title(picture, name), style))
        for section in sections:
            line = Text().append(one_line(section.title), style)
            drawn.add_row(Text(f"{key} ", style), line.append(f"  {one_line(section.lead)}"))
    yield drawn


def _pressing(key: str) -> Style:
    """A click on it is that key."""
    return Style(meta={"press": key})


def _rest(draw: Canvas, picture: Picture) -> Iterator[Lines]:
    """What is looked at less often: how far to believe it, then the panels in their order."""
    yield draw.lines(gauge_table(picture.document))
    wide = draw.width >= WIDE
    yield draw.lines(probe_table(picture.document, picture.counters, wide=wide))
    panels = [Guarded(name, panel) for name, panel in picture.panels]
    per_row = max(1, min(len(panels), draw.width // 30))
    for start in range(0, len(panels), per_row):
        yield draw.lines(side_by_side(panels[start : start + per_row], draw.width))
