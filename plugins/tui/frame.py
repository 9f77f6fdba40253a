"""One screenful: a picture of the run as the view state asks for it, within the terminal's size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ksmtrace.drawing.lines import one_line
from ksmtrace.drawing.sections import SectionView
from ksmtrace.plugins.tui.panels import (
    WIDE,
    Guarded,
    counts_table,
    gauge_table,
    header,
    probe_table,
    probes_in_full,
    side_by_side,
)
from ksmtrace.plugins.tui.picture import PROBES, Picture
from ksmtrace.plugins.tui.view_state import OVERVIEW, ViewState

Lines = list[list[Segment]]

_ROOMY_LINES = 36
_LEADING = ("balance", "advice")
"""The analyzers that conclude: their leads are shown in full length."""
_KEYS = "q quit  ? help  1-9 a-z details  Tab next  p pause  / filter  s sort"
_HELP = (
    ("1-9, a letter", "an analyzer in detail: the overview names them"),
    ("0, Esc", "the overview"),
    ("Tab, arrows left, right", "the next view, the one before"),
    ("arrows up, down, PgUp, PgDn", "scroll a view that is longer than the screen"),
    ("s", "sort tables by the next column, after the last as they were"),
    ("/", "only processes with this text in their name; nothing and Enter: all"),
    ("p", "pause: the picture stands, tracing goes on; again to go on"),
    ("q", "end the run: the outcome is printed, exit status 0"),
    ("Ctrl-C", "the same, exit status 130"),
)


def frame(
    console: Console,
    picture: Picture,
    state: ViewState,
    size: tuple[int, int],
    *,
    listens: bool,
    over: bool,
) -> Lines:
    """At most as many lines as the screen has, none wider than it.

    Scrolls `state` back to where there is text.

    Args:
        console: knows what the terminal can show.
        picture: the run at one moment.
        state: what of it is to be seen.
        size: columns and lines.
        listens: somebody can press keys.
        over: the run has ended.
    """
    draw = _Canvas(console, *size)
    top = draw.lines(header(picture.document, _status(state, over=over, listens=listens)))
    bottom = draw.lines(_footer(state, listens=listens))
    room = max(0, size[1] - len(top) - len(bottom))
    if state.help:
        middle = draw.lines(_help(picture))[:room]
    elif state.view == OVERVIEW:
        middle = _overview(draw, picture, room)
    else:
        middle = _scrolled(draw.lines(_detail(picture, state)), state, room)
    padding: Lines = [[] for _ in range(room - len(middle))]
    return [*top, *middle, *padding, *bottom][: size[1]]


class _Canvas:
    """Turns renderables into lines of one width."""

    def __init__(self, console: Console, width: int, height: int) -> None:
        self._console = console
        self._options: ConsoleOptions = console.options.update(
            width=width, height=None, no_wrap=False
        )
        self.width, self.height = width, height

    def lines(self, *renderables: RenderableType) -> Lines:
        """The lines of these, one below the other."""
        drawn = self._console.render_lines(Group(*renderables), self._options, pad=False)
        return [list(Segment.adjust_line_length(line, self.width, pad=False)) for line in drawn]


def _status(state: ViewState, *, over: bool, listens: bool) -> Text:
    if state.paused:
        return Text("PAUSED, p goes on", "bold black on yellow")
    if over:
        return Text("ended, q quits", "bold green")
    return Text("" if listens else "Ctrl-C ends", "dim")


def _footer(state: ViewState, *, listens: bool) -> Text:
    if state.prompt is not None:
        line = Text(f"process: {state.prompt}", "bold", no_wrap=True, overflow="crop")
        return line.append("_", "blink").append("   Enter takes it, Esc does not", "dim")
    line = Text(no_wrap=True, overflow="crop")
    if state.needle:
        line.append(f"filter: {state.needle}  ", "bold yellow")
    return line.append(_KEYS if listens else "", "dim")


def _overview(draw: _Canvas, picture: Picture, room: int) -> Lines:
    """Leads of the sections, the panels that fit, then gauges and probes where there is room."""
    views = picture.views()
    leads = draw.lines(*_leads(picture, views), _others(picture, views))
    gap: Lines = [[]] if draw.height >= _ROOMY_LINES else []
    parts: list[Lines] = [leads[:room]]
    left = room - len(leads)

    def place(part: Lines) -> None:
        nonlocal left
        part = [*gap, *part]
        if len(part) <= left:
            parts.append(part)
            left -= len(part)

    first, *others = _panel_rows(draw, picture, left - len(gap)) or [[]]
    if first:
        place(first)
    place(draw.lines(gauge_table(picture.document)))
    wide = draw.width >= WIDE
    place(draw.lines(probe_table(picture.document, picture.counters, wide=wide)))
    for row in others:
        place(row)
    return [line for part in parts for line in part]


def _leads(picture: Picture, views: dict[str, str]) -> Iterable[RenderableType]:
    for name, key in views.items():
        for section in picture.sections_of(name):
            leading = name in _LEADING
            line = Text(no_wrap=not leading, overflow="fold" if leading else "ellipsis")
            line.append_text(_key(key)).append(f" {one_line(section.title)}: ", "bold cyan")
            yield line.append(one_line(section.lead), "bold" if leading else "")


def _others(picture: Picture, views: dict[str, str]) -> Text:
    """The views that no lead names."""
    line = Text()
    for name, key in views.items():
        if not picture.sections_of(name):
            line.append_text(_key(key)).append(f" {one_line(name)}  ", "dim")
    return line


def _key(key: str) -> Text:
    return Text(key, "bold yellow")


def _panel_rows(draw: _Canvas, picture: Picture, room: int) -> list[Lines]:
    """The panels in rows, those that are lower than the room alone."""
    guarded = (Guarded(name, panel) for name, panel in picture.panels)
    fitting = [panel for panel in guarded if len(draw.lines(panel)) <= room]
    per_row = max(1, min(len(fitting), draw.width // 26))
    return [
        draw.lines(side_by_side(fitting[start : start + per_row], draw.width))
        for start in range(0, len(fitting), per_row)
    ]


def _detail(picture: Picture, state: ViewState) -> RenderableType:
    if state.view == PROBES:
        tables = (
            gauge_table(picture.document),
            *([counts_table(picture.document)] if picture.document["self_check"]["counts"] else []),
            probes_in_full(picture.document, picture.counters),
        )
        return Group(*(part for table in tables for part in (table, Text())))
    sections = picture.sections_of(state.view)
    shown: Sequence[RenderableType] = [
        SectionView(section, sort=state.sort, needle=state.needle) for section in sections
    ] or [Guarded(state.view, panel) for panel in picture.panels_of(state.view)]
    return Group(*shown) if shown else Text("nothing to tell yet", "dim")


def _scrolled(lines: Lines, state: ViewState, room: int) -> Lines:
    """As many lines as there is room for, from `state.scroll` on, which is brought into range.

    The last line shows how many more there are.
    """
    most = max(0, len(lines) - room)
    state.scroll = min(state.scroll, most)
    shown = lines[state.scroll : state.scroll + room]
    if state.scroll < most and shown:
        below = len(lines) - state.scroll - room + 1
        shown[-1] = [Segment(f"-- {below} lines more: arrow down --")]
    return shown


def _help(picture: Picture) -> RenderableType:
    table = Table.grid(padding=(0, 3, 0, 0))
    for keys, meaning in _HELP:
        table.add_row(Text(keys, "bold"), Text(meaning))
    views = Text(no_wrap=False)
    for name, key in picture.views().items():
        views.append_text(_key(key)).append(f" {one_line(name)}   ")
    return Group(table, Text(), views, Text(), Text("any key goes back", "dim"))
