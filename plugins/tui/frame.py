"""One screenful: a picture of the run as the view state asks for it, within the terminal's size."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from ksmtrace.drawing.palette import GOOD, UNSURE
from ksmtrace.drawing.sections import SectionView
from ksmtrace.plugins.tui.overview import overview, view_names
from ksmtrace.plugins.tui.panels import (
    Guarded,
    counts_table,
    gauge_table,
    header,
    probes_in_full,
)
from ksmtrace.plugins.tui.picture import PROBES, Picture
from ksmtrace.plugins.tui.process import process_view
from ksmtrace.plugins.tui.view_state import OVERVIEW, PROCESS, ViewState

Lines = list[list[Segment]]

_KEYS = (
    ("q quit", "q"),
    ("? help", "?"),
    ("1-a views", ""),
    ("Enter process", "enter"),
    ("p pause", "p"),
    ("[ ] pass", ""),
    ("/ filter", "/"),
    ("s sort", "s"),
)
_HELP = (
    ("1-9, a letter", "an analyzer in detail: the overview names them"),
    ("0, Esc", "the overview"),
    ("Tab, left, right", "the next view or process, the one before"),
    ("up, down, PgUp, PgDn", "choose a process of the overview, scroll other views"),
    ("Enter", "all about the process that is chosen"),
    ("s, S", "sort tables by the next column, the other way"),
    ("/", "only processes with this text in their name"),
    ("p", "the picture stands, tracing goes on; again: now"),
    ("[, ], g", "look back: the pass before, the next, one by number"),
    ("m", "the mouse selects text; again: it clicks"),
    ("q", "end the run: the outcome is printed, exit status 0"),
    ("Ctrl-Z, Ctrl-C", "suspend, fg goes on; end the run, exit status 130"),
)


def frame(
    console: Console,
    picture: Picture,
    state: ViewState,
    size: tuple[int, int],
    *,
    listens: bool,
    over: bool,
    passes: int | None = None,
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
        passes: how many are over by now, where `picture` may be older.
    """
    draw = _Canvas(console, *size)
    top = draw.lines(
        header(picture.document, _status(state, picture, passes, over=over, listens=listens))
    )
    bottom = draw.lines(_footer(state, listens=listens))
    room = max(0, size[1] - len(top) - len(bottom))
    if state.help:
        middle = _scrolled(draw.lines(_help(picture, size[0])), state, room)
    elif state.view == OVERVIEW:
        middle = overview(draw, picture, state, room)
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


def pressed_at(lines: Lines, click: str) -> str:
    """The key that a click on these lines stands for, "" for none; `click` as `keys` gives it."""
    x, y = map(int, click.split()[1:])
    if y >= len(lines):
        return ""
    at = 0
    for segment in lines[y]:
        at += segment.cell_length
        if x < at:
            return str(segment.style.meta.get("press", "")) if segment.style else ""
    return ""


def _status(
    state: ViewState, picture: Picture, passes: int | None, *, over: bool, listens: bool
) -> Text:
    if state.at is not None:
        of = f"PASS {picture.document['passes']:,} of {passes or 0:,}, p: now"
        return Text(of, f"bold reverse {UNSURE}")
    if state.paused:
        return Text("PAUSED, p goes on", f"bold reverse {UNSURE}")
    if over:
        return Text("ended, q quits", f"bold {GOOD}")
    return Text("" if listens else "Ctrl-C ends", "dim")


def _footer(state: ViewState, *, listens: bool) -> Text:
    line = Text(no_wrap=True, overflow="crop")
    if state.prompt is not None:
        line.append(f"{state.asks}: {state.prompt}", "bold")
        return line.append("_", "blink").append("   Enter takes it, Esc does not", "dim")
    if state.needle:
        line.append(f"filter: {state.needle}  ", f"bold {UNSURE}")
    for said, key in _KEYS if listens else ():
        style = Style(dim=True, meta={"press": key} if key else {})
        line.append(said, style).append("  ")
    return line


def _detail(picture: Picture, state: ViewState) -> RenderableType:
    if state.view == PROCESS:
        return Group(*process_view(picture, state.process))
    if state.view == PROBES:
        tables = (
            gauge_table(picture.document),
            *([counts_table(picture.document)] if picture.document["self_check"]["counts"] else []),
            probes_in_full(picture.document, picture.counters),
        )
        return Group(*(part for table in tables for part in (table, Text())))
    sections = picture.sections_of(state.view)
    shown: Sequence[RenderableType] = [
        SectionView(section, sort=state.sort, backwards=state.backwards, needle=state.needle)
        for section in sections
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


def _help(picture: Picture, width: int) -> RenderableType:
    table = Table.grid(padding=(0, 3, 0, 0))
    for keys, meaning in _HELP:
        table.add_row(Text(keys, "bold"), Text(meaning))
    views = view_names(picture, width)
    return Group(table, Text(), *views, Text(), Text("any other key goes back", "dim"))
