"""Draws charts as SVG, by Vega; the identifiers of each are its own, so a page can hold many."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import vl_convert

from ksmtrace.drawing.lines import one_line
from ksmtrace.report.vega_lite import WORD_JOINER, spec_of
from ksmtrace.section import Chart

_SVG = "http://www.w3.org/2000/svg"
_MARK = "graphics-symbol"
_REFERENCE = re.compile(r"#([\w-]+)")

ElementTree.register_namespace("", _SVG)


def draw(chart: Chart, width: int, name: str) -> str:
    """The chart as an SVG element that takes its colour from the page.

    Args:
        chart: has at least one position and one series.
        width: of the plot in pixels; axes come on top of that.
        name: letters and digits, another for each chart of the page.
    """
    drawn = vl_convert.vegalite_to_svg(spec_of(chart, width)).replace(WORD_JOINER, "")
    # A library on this machine has just drawn it: the document is no stranger's.
    root = ElementTree.fromstring(drawn)  # noqa: S314
    for element in root.iter():
        _rename(element, name)
        described = element.get("aria-label")
        if described and element.get("role") == _MARK and not len(element):
            title = ElementTree.SubElement(element, f"{{{_SVG}}}title")
            title.text = described
    root.set("role", "group")
    root.set("aria-label", one_line(chart.title))
    return ElementTree.tostring(root, encoding="unicode")


def _rename(element: ElementTree.Element, name: str) -> None:
    """Identifiers get the chart's name in front: Vega counts them from 0 in every chart."""
    for key, value in element.items():
        if key == "id":
            element.set(key, f"{name}-{value}")
        elif value.startswith(("url(#", "#")) and key not in ("fill", "stroke", "color"):
            element.set(key, _REFERENCE.sub(rf"#{name}-\1", value))
