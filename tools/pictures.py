"""Draws a picture of each dashboard from a real Prometheus's answers: `make pictures`.

No Grafana is needed: panels lie as the dashboard says, and show what its queries return. A paced
replay of the bundled capture is scraped.
"""

import hashlib
import json
import math
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import vl_convert

from ksmtrace.drawing.palette import series_colours
from ksmtrace.report.axes import divisor
from ksmtrace.units import format_value
from support.command import KSMTRACE
from support.dashboards import dashboards, metrics, substituted
from support.prometheus import Prometheus, free_port, prometheus, until

REPOSITORY = Path(__file__).parent.parent
CAPTURE = REPOSITORY / "tests/replay/data/debian-6.1.ksmtrace"
PICTURES = REPOSITORY / "docs/pictures"

RATE_INTERVAL, STEP_SECONDS = "30s", 4
LAST_PASS = 38
"""The pass of the capture after which the pictures end: soon all is quiet, and rates are 0."""

COLUMN_PIXELS, ROW_PIXELS, GAP_PIXELS, TITLE_PIXELS = 46, 25, 8, 34
FONT = "Arial, Helvetica, Liberation Sans, sans-serif"
UNITS = {"bytes": "bytes", "s": "seconds", "percentunit": "ratio", "cps": "a second"}
LEGEND = {
    **{
        "title": None,
        "orient": "bottom",
        "columns": {"expr": "max(2, floor(width / 110))"},
        "labelLimit": 130,
    },
    **{"symbolSize": 40, "symbolLimit": 6, "labelFontSize": 9, "rowPadding": 0},
}
MOST_ROWS, MOST_LETTERS = 12, 34
NAMES_PIXELS, TABLE_PIXELS = 130, 560
NAMES = {"labelLimit": NAMES_PIXELS}

Series = list[tuple[str, list[tuple[float, float]]]]


def collect(speed: str) -> dict[str, list[Series]]:
    """By dashboard and panel, what its queries return over a replay: legend, (seconds, value)."""
    port = free_port()
    command = [KSMTRACE, "replay", str(CAPTURE), "--speed", speed, "-p", "no:tui"]
    command += ["--listen", f"127.0.0.1:{port}"]
    with (
        tempfile.TemporaryDirectory() as directory,
        prometheus(Path(directory), port) as server,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run,
    ):  # fmt: skip
        until(lambda: server.instant("ksmtrace_passes_total"))
        began = time.time()
        until(lambda: server.instant(f"ksmtrace_passes_total >= {LAST_PASS}"), 600)
        span = (began, time.time())
        found = {
            uid: [_panel(server, panel, span) for panel in document["panels"]]
            for uid, document in dashboards().items()
        }
        run.terminate()
    return found


def _panel(server: Prometheus, panel: dict[str, Any], span: tuple[float, float]) -> Series:
    found: Series = []
    for target in panel["targets"]:
        asked = substituted(target["expr"], RATE_INTERVAL, f"{math.ceil(span[1] - span[0])}s")
        start = span[1] if target.get("instant") else span[0]
        for series in server.range(asked, start, span[1], STEP_SECONDS):
            points = [(float(at) - span[0], float(value)) for at, value in series["values"]]
            seen = [(at, value) for at, value in points if not math.isnan(value)]
            if seen:
                found.append((_legend(panel, target, series["metric"]), seen))
    return found


def _legend(panel: dict[str, Any], target: dict[str, Any], labels: dict[str, str]) -> str:
    labels = {**labels, "instance": "host"}
    if panel["type"] == "table":
        order = panel["transformations"][-1]["options"]["indexByName"]
        row = " ".join(labels[name] for name in order if labels.get(name))
        return f"{row}\n{target['legendFormat']}"
    text = re.sub(r"{{(\w+)}}", lambda name: labels.get(name[1], ""), target["legendFormat"])
    return " ".join(text.split()) or "-"


def made_of(document: dict[str, Any]) -> str:
    """What a dashboard's picture shows, as a number: its panels, and the metrics that they ask for.

    They are those at the end of the capture, as it must give them (`make accept`).
    """
    asked = {
        name
        for panel in document["panels"]
        for target in panel["targets"]
        for name in metrics(substituted(target["expr"]))
    }
    lines = Path(f"{CAPTURE}.prom").read_text().splitlines()
    shown = [line for line in lines if re.match(r"\w*", line)[0] in asked]  # type: ignore[index]
    parts = json.dumps([document["title"], document["panels"], shown], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def picture(document: dict[str, Any], panels: list[Series]) -> str:
    """The dashboard as SVG: each panel drawn for itself, at its place."""
    drawn = [
        _placed(panel, series, number)
        for number, (panel, series) in enumerate(zip(document["panels"], panels, strict=True))
    ]
    places = [panel["gridPos"] for panel in document["panels"]]
    height = TITLE_PIXELS + max(at["y"] + at["h"] for at in places) * ROW_PIXELS
    width = 24 * COLUMN_PIXELS
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'font-family="{FONT}">',
            f"<desc>made of {made_of(document)}</desc>",
            f'<rect width="{width}" height="{height}" fill="white"/>',
            '<text x="8" y="22" font-size="18" '
            f'font-weight="bold">{escape(document["title"])}</text>',
            *drawn,
            "</svg>\n",
        ]
    )


def _placed(panel: dict[str, Any], series: Series, number: int) -> str:
    """One panel as an SVG element; its number makes the identifiers of Vega unique."""
    at = panel["gridPos"]
    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "title": {"text": panel["title"], "anchor": "start", "fontSize": 12, "frame": "group"},
        "width": at["w"] * COLUMN_PIXELS - GAP_PIXELS,
        "height": at["h"] * ROW_PIXELS - GAP_PIXELS,
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": {"left": 5, "right": 5, "top": 5, "bottom": 16},
        "background": "#fafafa",
        "config": {"font": FONT, "axis": {"gridOpacity": 0.4}, "view": {"stroke": None}},
        **DRAWN[panel["type"]](series, _unit(panel["fieldConfig"]["defaults"]["unit"]), panel),
    }
    svg = vl_convert.vegalite_to_svg(spec)
    svg = re.sub(r'(id="|url\(#)', rf"\g<1>p{number}-", svg)
    place = f'x="{at["x"] * COLUMN_PIXELS}" y="{at["y"] * ROW_PIXELS + TITLE_PIXELS}"'
    return svg.replace("<svg ", f"<svg {place} ", 1)


def _unit(name: str) -> str:
    return UNITS.get(name, "")


def _rows(series: Series, across: float, up: float) -> list[dict[str, Any]]:
    return [
        {"x": round(at / across, 2), "y": float(f"{value / up:.4g}"), "s": name}
        for name, points in series
        for at, value in points
    ]


def _lines(series: Series, unit: str, panel: dict[str, Any]) -> dict[str, Any]:
    up, named = divisor((value for _, points in series for _, value in points), unit)
    stacked = panel["fieldConfig"]["defaults"]["custom"].get("stacking", {}).get("mode") == "normal"
    names = list(dict.fromkeys(name for name, _ in series))
    y = {"field": "y", "type": "quantitative", "title": named or None, "axis": {"tickCount": 4}}
    return {
        "data": {"values": _rows(series, 1, up)},
        "mark": {"type": "area" if stacked else "line", "strokeWidth": 1.5},
        "encoding": {
            "x": {
                "field": "x",
                "type": "quantitative",
                "title": None,
                "axis": {"tickCount": 5, "labelExpr": "datum.label + ' s'"},
            },
            "y": y | ({"stack": "zero"} if stacked else {}),
            "color": {
                "field": "s",
                "type": "nominal",
                "sort": names,
                "scale": {"domain": names, "range": series_colours(names)},
                "legend": LEGEND,
            },
        },
    }


def _last(series: Series) -> Iterable[tuple[str, float]]:
    return ((name, points[-1][1]) for name, points in series)


def _stat(series: Series, unit: str, panel: dict[str, Any]) -> dict[str, Any]:
    said = []
    for name, value in _last(series):
        said.append(_rounded(panel, value, unit))
        if name != panel["title"]:
            said.append(name)
    size = 24 if len(said) == 1 else 12
    text = {
        "data": {"values": [{}]},
        "mark": {
            "type": "text",
            "fontSize": size,
            "text": said or ["no data"],
            "dy": -7 * (len(said) - 1),
        },
    }
    course = {
        "data": {"values": _rows(series[:1], 1, 1)},
        "mark": {"type": "area", "opacity": 0.15},
        "encoding": {
            "x": {"field": "x", "type": "quantitative", "axis": None},
            "y": {"field": "y", "type": "quantitative", "axis": None},
        },
    }
    return {"layer": [course, text]}


def _rounded(panel: dict[str, Any], value: float, unit: str) -> str:
    decimals = panel["fieldConfig"]["defaults"].get("decimals")
    return _said(value if decimals is None else round(value, decimals), unit)


def _said(value: float, unit: str) -> str:
    if unit == "a second":
        return f"{value:.3g}/s"
    return format_value(value, unit)


def _bars(series: Series, unit: str, _panel: dict[str, Any]) -> dict[str, Any]:
    rows = [
        {"label": name[:MOST_LETTERS], "y": value, "v": _said(value, unit)}
        for name, value in _last(series)
    ]
    value = {
        "mark": {"type": "text", "align": "left", "dx": 4},
        "encoding": {"text": {"field": "v"}, "x": {"value": 0}},
    }
    return {
        "data": {"values": rows},
        "encoding": {
            "y": {"field": "label", "type": "nominal", "sort": None, "title": None, "axis": NAMES},
            "x": {"field": "y", "type": "quantitative", "axis": None},
        },
        "layer": [{"mark": {"type": "bar", "opacity": 0.6}}, value],
    }


def _table(series: Series, _unit_of_all: str, panel: dict[str, Any]) -> dict[str, Any]:
    units = {
        override["matcher"]["options"]: _unit(override["properties"][0]["value"])
        for override in panel["fieldConfig"]["overrides"]
    }
    cells = []
    for name, value in _last(series):
        row, column = name.split("\n")
        cells.append((row, column, value))
    shown = list(dict.fromkeys(row for row, _, _ in cells))[:MOST_ROWS]
    rows = [
        {"row": row, "column": column, "v": _said(value, units[column])}
        for row, column, value in cells
        if row in shown
    ]
    top = {"orient": "top", "labelAngle": 0, "domain": False, "ticks": False}
    across = {"field": "column", "type": "nominal", "sort": list(units), "title": None, "axis": top}
    names = {"domain": False, "ticks": False, "labelLimit": TABLE_PIXELS}
    return {
        "data": {"values": rows},
        "mark": {"type": "text"},
        "encoding": {
            "x": across,
            "y": {"field": "row", "type": "nominal", "sort": None, "title": None, "axis": names},
            "text": {"field": "v"},
        },
    }


DRAWN = {"stat": _stat, "timeseries": _lines, "bargauge": _bars, "table": _table}


def main(speed: str) -> None:
    """Draw all of them."""
    PICTURES.mkdir(exist_ok=True)
    for uid, panels in collect(speed).items():
        (PICTURES / f"{uid}.svg").write_text(picture(dashboards()[uid], panels), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:] or ("real",))
