"""Draws charts with characters: block elements where the output has them, else ASCII."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from ksmtrace.drawing.lines import one_line
from ksmtrace.drawing.palette import BAD, RAMP, STATES, series_colours
from ksmtrace.drawing.scales import Scale, mean, resample
from ksmtrace.section import Chart
from ksmtrace.units import format_value

_ROWS = 4
_MOST_BARS = 24
_MOST_HEAT_ROWS = 40
_MARGIN = 12
_WIDEST_LABEL = 24


@dataclass(frozen=True, slots=True)
class Glyphs:
    """Characters to draw with: `heights` of columns, the `bar`, `shades` and `states` of cells."""

    heights: str
    bar: str
    shades: str
    states: str


BLOCKS = Glyphs(" ▁▂▃▄▅▆▇█", "█", "·░▒▓█", "█▒v░·x")
ASCII = Glyphs(" .:-=+*%#", "#", ".:+*#", "#+v-.x")
_CODES = "0123456789abcdefghijklmnopqrstuvwxyz"


class ChartView:
    """A `Chart` of any kind, as wide as the console."""

    def __init__(self, chart: Chart) -> None:
        self._chart = chart

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        chart = self._chart
        glyphs = ASCII if options.ascii_only else BLOCKS
        yield _line(Text(one_line(chart.title), "bold"))
        if not chart.x or not chart.series:
            yield _line(Text("  nothing yet", "dim"))
        elif chart.kind == "heat":
            yield from _heat(chart, options.max_width, glyphs)
        elif chart.kind == "bar" and len(chart.x) <= _MOST_BARS:
            yield from _bars(chart, options.max_width, glyphs)
        else:
            yield from _strips(chart, options.max_width, glyphs)
        if chart.note:
            yield Text(one_line(chart.note), "dim")


def _line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "crop"
    return text


def _strips(chart: Chart, width: int, glyphs: Glyphs) -> Iterator[Text]:
    """One strip of columns for each series, one below the other, all on one scale.

    Those that are 0 all the time, beside others, have one line together.
    """
    shown, zeros = without_zeros(chart)
    scale = Scale.of(value for values in chart.series.values() for value in values)
    across = max(8, width - _MARGIN - 1)
    colours = series_colours(list(shown))
    for (name, values), colour in zip(shown.items(), colours, strict=True):
        last = next((value for value in reversed(values) if value is not None), None)
        head = Text(f"{one_line(name)}: ", colour)
        yield _line(head.append(f"{format_value(last, chart.units[1])} at the end"))
        shares = [scale.share(value) for value in resample(chart.x, values, across, mean)]
        for row in range(_ROWS - 1, -1, -1):
            label = {_ROWS - 1: scale.top, 0: scale.bottom}.get(row)
            mark = "" if label is None else format_value(label, chart.units[1])
            drawn = "".join(_piece(share, row, glyphs.heights) for share in shares)
            yield _line(Text.assemble((f"{mark:>{_MARGIN}.{_MARGIN}} ", "dim"), (drawn, colour)))
    yield _axis(chart, across, _MARGIN + 1)
    if zeros:
        yield Text(zeros, "dim")


def without_zeros(chart: Chart) -> tuple[Mapping[str, Sequence[float | None]], str]:
    """The series without those that are 0 all the time, beside others; and a line naming these."""
    flat = [name for name, values in chart.series.items() if not any(values) and 0 in values]
    if not flat or len(flat) == len(chart.series):
        return chart.series, ""
    shown = {name: values for name, values in chart.series.items() if name not in flat}
    zero = format_value(0, chart.units[1])
    return shown, f"{zero} all the time: {', '.join(map(one_line, flat))}"


def _piece(share: float | None, row: int, heights: str) -> str:
    """The part of a column that is in `row`, the lowest being 0; a value above 0 is visible."""
    if share is None:
        return " "
    steps = len(heights) - 1
    height = math.ceil(share * _ROWS * steps - 1e-9)
    return heights[min(max(height - row * steps, 0), steps)]


def _axis(chart: Chart, across: int, margin: int) -> Text:
    first, last = (_position(chart, at) for at in (0, -1))
    name = one_line(chart.x_name)
    gap = max(1, across - len(first) - len(last))
    middle = f" {name} " if gap >= len(name) + 2 else ""
    return _line(Text(" " * margin + first + f"{middle:^{gap}}" + last, "dim"))


def _position(chart: Chart, at: int) -> str:
    return one_line(format_value(chart.x[at], chart.units[0]))


def _bars(chart: Chart, width: int, glyphs: Glyphs) -> Iterator[Text]:
    """One bar below the other, its value behind it; those below 0 have the colour `BAD`."""
    length = math.log1p if chart.log else float
    largest = Scale.of(
        length(abs(value or 0)) for values in chart.series.values() for value in values
    )
    labels = [_position(chart, at) for at in range(len(chart.x))]
    margin = min(max(map(len, [*labels, one_line(chart.x_name)])), _WIDEST_LABEL, width // 3)
    texts = [
        [format_value(value, chart.units[1]) for value in values]
        for values in chart.series.values()
    ]
    room = max(4, width - margin - 3 - max(len(text) for row in texts for text in row))
    names, colours = ", ".join(map(one_line, chart.series)), series_colours(list(chart.series))
    names += " (logarithmic)" * chart.log
    yield _line(Text(f"{one_line(chart.x_name):>{margin}.{margin}}  {names}", "dim"))
    for at, label in enumerate(labels):
        for number, values in enumerate(chart.series.values()):
            value = values[at] or 0
            bar = glyphs.bar * math.ceil((largest.share(length(abs(value))) or 0) * room - 1e-9)
            line = Text(f"{'' if number else label:>{margin}.{margin}}  ")
            line.append(bar, colours[number] if value >= 0 else f"bold {BAD}")
            yield _line(line.append(f" {texts[number][at]}" if bar else texts[number][at]))


def _heat(chart: Chart, width: int, glyphs: Glyphs) -> Iterator[Text]:
    """One line for each row; a cell of several positions shows their highest value."""
    labels = [one_line(name) for name in chart.series]
    margin = min(max(map(len, labels)), _WIDEST_LABEL, width // 3)
    across = min(max(8, width - margin - 1), len(chart.x))
    cells = _Cells(chart.legend, glyphs)
    rows = list(chart.series.values())
    for label, values in list(zip(labels, rows, strict=True))[:_MOST_HEAT_ROWS]:
        line = Text(f"{label:>{margin}.{margin}} ")
        for value in resample(range(len(values)), values, across, max):
            line.append(*cells.drawn(value))
        yield _line(line)
    if len(labels) > _MOST_HEAT_ROWS:
        yield _line(Text(f"{'':>{margin}} and {len(labels) - _MOST_HEAT_ROWS:,} rows more", "dim"))
    yield _axis(chart, across, margin + 1)
    legend = Text(" " * (margin + 1))
    for value, meaning in enumerate(chart.legend):
        legend.append(*cells.drawn(value))
        legend.append(f" {one_line(meaning)}   ", "dim")
    yield legend


class _Cells:
    """Characters and colours of a heat map: of states, where all its values are, else of levels."""

    def __init__(self, legend: Sequence[str], glyphs: Glyphs) -> None:
        self._levels = max(len(legend), 1)
        states = [STATES.get(meaning) for meaning in legend]
        self._colours = None if None in states else [state or "" for state in states]
        self._shades = glyphs.states if self._colours else glyphs.shades

    def drawn(self, value: float | None) -> tuple[str, str]:
        """Character and colour of a value from 0 to the number of levels - 1."""
        if value is None:
            return " ", ""
        step = min(max(round(value), 0), self._levels - 1)
        if self._colours is not None and self._levels <= len(self._shades):
            return self._shades[step], self._colours[step]
        colour = _spread(step, self._levels, RAMP)
        if self._levels > len(self._shades):
            return _CODES[min(step, len(_CODES) - 1)], colour
        return _spread(step, self._levels, self._shades), colour


def _spread(step: int, levels: int, choices: Sequence[str]) -> str:
    """The choice for a step; step 0 has the first and the last step has the last."""
    return choices[round(step * (len(choices) - 1) / max(levels - 1, 1))]
