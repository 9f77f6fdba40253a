"""Charts as Vega-Lite specifications.

Texts of the run are values of the data, never names of fields, which Vega would parse.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ksmtrace.drawing.lines import one_line
from ksmtrace.drawing.palette import RAMP, STATES, series_colours
from ksmtrace.drawing.scales import resample
from ksmtrace.report.axes import axis_title, divisor
from ksmtrace.section import Chart
from ksmtrace.units import format_value

Spec = dict[str, Any]

MOST_BARS = 24
"""A chart of more bars is drawn as a line."""

_DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4], [1, 3])
_LEAST = "rgba(138,143,152,0.2)"
_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
_LINE_HEIGHT, _BAR_HEIGHT, _ROW_HEIGHT = 200, 20, 16
_MOST_BANDS, _MOST_ROWS = 100, 60
_PIXELS_A_CELL, _PIXELS_A_TICK = 4, 80
_FEW_POINTS = 40
_NAMES = ("s", "row", "label", "title", "domain", "sort")
"""Keys whose texts Vega takes for names of its own where it has such."""

WORD_JOINER = "\u2060"
"""Stands behind words in a specification, and is to be taken out of what Vega draws."""

_CONFIG: Spec = {
    "font": "Arial, Helvetica, Liberation Sans, sans-serif",
    "view": {"stroke": None},
    "axis": {
        **{f"{part}Color": "currentColor" for part in ("label", "title", "domain", "tick", "grid")},
        "gridOpacity": 0.15,
        "domainOpacity": 0.5,
        "labelLimit": 130,
        "titleFontWeight": "normal",
    },
    "legend": {"labelColor": "currentColor", "orient": "top", "title": None, "labelLimit": 240},
    "text": {"color": "currentColor"},
}


def spec_of(chart: Chart, width: int) -> Spec:
    """The specification of a chart, `width` pixels wide, without its title.

    Marks have descriptions: what a screen reader says, and what is shown when the pointer rests on
    them.
    """
    if chart.kind == "heat":
        drawn = _heat(chart, width)
    elif chart.kind == "bar" and len(chart.x) <= MOST_BARS:
        drawn = _bars(chart, width)
    else:
        drawn = _lines(chart, width)
    return {
        "$schema": _SCHEMA,
        "background": None,
        "padding": {"left": 24, "right": 5, "top": 5, "bottom": 5},
        "width": width,
        "config": _CONFIG,
        **_text_only(drawn),
    }


def _text_only(spec: Any, key: str = "") -> Any:  # noqa: ANN401 - any part of a specification
    """The same, with texts of which Vega makes nothing but text.

    A word that is a function of Vega's expressions ("if"), or a member of every JavaScript object
    ("constructor"), is looked up as that in places where only text can be. With `WORD_JOINER`
    behind it, it is neither.
    """
    match spec:
        case dict():
            return {name: _text_only(value, name) for name, value in spec.items()}
        case list():
            return [_text_only(value, key) for value in spec]
        case str() if key in _NAMES and spec.isidentifier():
            return f"{spec}{WORD_JOINER}"
    return spec


def _coloured(names: Sequence[str], ranges: Sequence[object], *, legend: bool) -> Spec:
    shown = {} if legend else {"legend": None}
    chosen = [ranges[number % len(ranges)] for number in range(len(names))]
    return {"field": "s", "type": "nominal", "scale": {"domain": names, "range": chosen}, **shown}


def _places(chart: Chart) -> list[float]:
    places = [float(at) for at in chart.x if not isinstance(at, str)]
    return places if len(places) == len(chart.x) else [float(n) for n in range(len(chart.x))]


def _lines(chart: Chart, width: int) -> Spec:
    """A step line for each series, and invisible bands with the values in words."""
    places = _places(chart)
    across, x_unit = divisor(places, chart.units[0])
    up, y_unit = divisor((v for vs in chart.series.values() for v in vs), chart.units[1])
    names = _distinct(list(chart.series))
    rows = [
        {"x": place / across, "y": None if value is None else value / up, "s": name}
        for name, values in zip(names, chart.series.values(), strict=True)
        for place, value in _thinned(places, values, width)
    ]
    mark = {"type": "line", "interpolate": "step-after", "strokeWidth": 2, "aria": False}
    line = {
        "data": {"values": rows},
        "mark": {
            **mark,
            "point": {"size": 16, "aria": False} if len(rows) <= _FEW_POINTS else False,
        },
        "encoding": {
            "color": _coloured(names, series_colours(names), legend=len(names) > 1),
            "strokeDash": _coloured(names, _DASHES, legend=len(names) > 1),
            "y": {
                "field": "y",
                "type": "quantitative",
                "title": axis_title(names[0] if len(names) == 1 else "", y_unit),
            },
        },
    }
    bands = {
        "data": {"values": list(_bands(chart, places, across))},
        "mark": {"type": "rect", "fill": "currentColor", "fillOpacity": 0},
        "encoding": {"x2": {"field": "to"}, "description": {"field": "d"}},
    }
    x: Spec = {"field": "x", "type": "quantitative", "scale": {"nice": False}}
    x |= {"title": axis_title(chart.x_name, x_unit), "axis": {"tickCount": width // _PIXELS_A_TICK}}
    return {"height": _LINE_HEIGHT, "layer": [line, bands], "encoding": {"x": x}}


def _thinned(
    places: Sequence[float], values: Sequence[float | None], width: int
) -> list[tuple[float, float | None]]:
    """About as many points as the drawing is wide, the last among them."""
    points = list(zip(places, values, strict=True))
    step = max(1, len(points) // width)
    last = [] if (len(points) - 1) % step == 0 else points[-1:]
    return points[::step] + last


def _bands(chart: Chart, places: Sequence[float], across: float) -> Iterator[Spec]:
    step = max(1, -(-len(places) // _MOST_BANDS))
    for start in range(0, len(places), step):
        end = min(start + step, len(places) - 1)
        texts = [
            f"{one_line(name)}: {format_value(values[start], chart.units[1])}"
            for name, values in chart.series.items()
        ]
        at = one_line(format_value(chart.x[start], chart.units[0]))
        words = f"{one_line(chart.x_name)} {at}: {', '.join(texts)}"
        yield {"x": places[start] / across, "to": places[end] / across, "d": words}


def _bars(chart: Chart, width: int) -> Spec:
    """A bar for each position and series, with its value in words behind it."""
    labels = _distinct([format_value(at, chart.units[0]) for at in chart.x])
    up, unit = divisor((v for vs in chart.series.values() for v in vs), chart.units[1])
    names = _distinct(list(chart.series))
    rows = [
        {
            "label": label,
            "y": (value or 0) / up,
            "end": max(value or 0, 0) / up,
            "s": name,
            "v": format_value(value, chart.units[1]),
            "d": f"{label}: {name} {format_value(value, chart.units[1])}",
        }
        for name, values in zip(names, chart.series.values(), strict=True)
        for label, value in zip(labels, values, strict=True)
    ]
    several = len(names) > 1
    y = {"field": "label", "type": "nominal", "sort": None, "title": None}
    x: Spec = {"field": "y", "type": "quantitative"}
    x |= {"title": axis_title("" if several else names[0], unit) + ", logarithmic" * chart.log}
    x |= {"axis": {"tickCount": width // _PIXELS_A_TICK}}
    if chart.log:
        tens = [0, *(10**power for power in range(_digits(chart, up)))]
        x |= {"scale": {"type": "symlog", "constant": 1}, "axis": {"values": tens}}
    bar = {
        "mark": {"type": "bar"},
        "encoding": {
            "color": _coloured(names, series_colours(names), legend=several),
            "description": {"field": "d"},
        },
    }
    value = {
        "mark": {"type": "text", "align": "left", "dx": 4, "aria": False},
        "encoding": {"text": {"field": "v"}, "x": {"field": "end", "type": "quantitative"}},
    }
    offset = {"yOffset": {"field": "s", "sort": names}} if several else {}
    return {
        "height": {"step": _BAR_HEIGHT},
        "data": {"values": rows},
        "layer": [bar, value],
        "encoding": {"y": y, "x": x, **offset},
    }


def _digits(chart: Chart, up: float) -> int:
    """Digits of the largest value before its point, one at least."""
    largest = max((abs(v or 0) for vs in chart.series.values() for v in vs), default=0)
    return max(1, len(str(int(largest / up))))


def _heat(chart: Chart, width: int) -> Spec:
    """A row of cells for each series; equal neighbours are one cell.

    A cell of several positions has their highest value.
    """
    shown = list(chart.series.items())[:_MOST_ROWS]
    labels = _distinct([name for name, _ in shown])
    count = max(1, min(len(chart.x), width // _PIXELS_A_CELL))
    meanings = _distinct(list(chart.legend)) or [""]
    rows = [
        {
            "x": start,
            "to": end,
            "row": label,
            "s": meanings[level],
            "d": f"{label}, {_from_to(chart, start, end, count)}: {meanings[level]}",
        }
        for label, (_, values) in zip(labels, shown, strict=True)
        for start, end, level in _runs(
            resample(range(len(values)), values, count, max), len(meanings)
        )
    ]
    ramp = (_LEAST, *RAMP[1:])
    colours = [
        STATES.get(meaning) or ramp[round(n * (len(ramp) - 1) / max(len(meanings) - 1, 1))]
        for n, meaning in enumerate(meanings)
    ]
    ends = [one_line(format_value(chart.x[at], chart.units[0])) for at in (0, -1)]
    x = {"field": "x", "type": "quantitative", "scale": {"domain": [0, count], "nice": False}}
    x |= {"title": f"{one_line(chart.x_name)}, {ends[0]} to {ends[1]}"}
    x |= {"axis": {"labels": False, "ticks": False, "grid": False}}
    colour = _coloured(meanings, colours, legend=True)
    return {
        "height": {"step": _ROW_HEIGHT},
        "data": {"values": rows},
        "mark": {"type": "rect"},
        "encoding": {
            "y": {"field": "row", "type": "nominal", "sort": None, "title": None},
            "x": x,
            "x2": {"field": "to"},
            "color": colour,
            "description": {"field": "d"},
        },
    }


def _runs(cells: Sequence[float | None], levels: int) -> Iterator[tuple[int, int, int]]:
    """(first, end, level) of runs of equal cells; cells without a value are left out."""
    start = 0
    for at in range(1, len(cells) + 1):
        if at == len(cells) or cells[at] != cells[start]:
            level = cells[start]
            if level is not None:
                yield start, at, min(max(round(level), 0), levels - 1)
            start = at


def _from_to(chart: Chart, start: int, end: int, count: int) -> str:
    first, last = (
        chart.x[min(at * len(chart.x) // count, len(chart.x) - 1)] for at in (start, end - 1)
    )
    return " to ".join(
        dict.fromkeys(one_line(format_value(at, chart.units[0])) for at in (first, last))
    )


def _distinct(names: Sequence[str]) -> list[str]:
    """The names on one line each, numbered where two of them are the same."""
    lines = [one_line(name) for name in names]
    return [
        line if lines.count(line) == 1 else f"{line} ({number})"
        for number, line in enumerate(lines, 1)
    ]
