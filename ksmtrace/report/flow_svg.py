"""Draws where pages went as SVG: one bar, and a ribbon from it to each destination."""

from __future__ import annotations

from xml.etree import ElementTree

from ksmtrace.report.flow import Branch, Flow
from ksmtrace.units import format_value, share

_SVG = "http://www.w3.org/2000/svg"
_HEIGHT, _BAR, _GAP = 220, 14, 4
_LINE, _TWO_LINES, _LEADING = 20, 36, 16
_THINNEST = 1.5
_FONT = "Arial, Helvetica, Liberation Sans, sans-serif"

ElementTree.register_namespace("", _SVG)


def draw_flow(flow: Flow, width: int, *, meanings: bool) -> str:
    """The flow, which has branches, as an SVG element.

    Args:
        flow: what to draw.
        width: in pixels.
        meanings: whether each destination has its meaning behind it; without, there is little
            room, and how many pages it has is below its name.
    """
    thick = [max(_THINNEST, branch.pages / flow.pages * _HEIGHT) for branch in flow.branches]
    line = _LINE if meanings else _TWO_LINES
    slots = [max(line, one) for one in thick]
    height = sum(slots) + _GAP * (len(slots) - 1)
    root = ElementTree.Element(
        f"{{{_SVG}}}svg",
        {
            "viewBox": f"0 0 {width} {height:.1f}",
            "width": str(width),
            "height": f"{height:.0f}",
            "role": "group",
            "aria-label": flow.title,
            "font-family": _FONT,
            "font-size": "13",
        },
    )
    at = width * 0.3
    left, right = (height - sum(thick)) / 2, 0.0
    for branch, size, slot in zip(flow.branches, thick, slots, strict=True):
        top = right + (slot - size) / 2
        said = _said(branch, flow)
        mark = ElementTree.SubElement(
            root, f"{{{_SVG}}}g", {"role": "graphics-symbol", "aria-label": said}
        )
        ElementTree.SubElement(mark, f"{{{_SVG}}}title").text = said
        _part(mark, branch.colour, "1", f"M0 {left:.1f}h{_BAR}v{size:.1f}h-{_BAR}z")
        _part(mark, branch.colour, "0.45", _ribbon(left, top, size, at))
        _part(mark, branch.colour, "1", f"M{at:.1f} {top:.1f}h{_BAR}v{size:.1f}h-{_BAR}z")
        _label(mark, branch, flow, at + _BAR + 6, right + slot / 2 + 4.5, meanings=meanings)
        left, right = left + size, right + slot + _GAP
    return ElementTree.tostring(root, encoding="unicode")


def _said(branch: Branch, flow: Flow) -> str:
    pages = format_value(branch.pages, "pages")
    return f"{branch.name}: {pages} of {format_value(flow.pages, 'pages')}, {branch.meaning}"


def _part(mark: ElementTree.Element, colour: str, opacity: str, path: str) -> None:
    how = {"d": path, "fill": colour, "fill-opacity": opacity}
    ElementTree.SubElement(mark, f"{{{_SVG}}}path", how)


def _ribbon(left: float, top: float, size: float, at: float) -> str:
    middle = (_BAR + at) / 2
    return (
        f"M{_BAR} {left:.1f}C{middle:.1f} {left:.1f} {middle:.1f} {top:.1f} {at:.1f} {top:.1f}"
        f"v{size:.1f}C{middle:.1f} {top + size:.1f} {middle:.1f} {left + size:.1f} "
        f"{_BAR} {left + size:.1f}z"
    )


def _label(
    mark: ElementTree.Element, branch: Branch, flow: Flow, x: float, y: float, *, meanings: bool
) -> None:
    label = ElementTree.SubElement(
        mark, f"{{{_SVG}}}text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "fill": "currentColor"}
    )
    name = ElementTree.SubElement(label, f"{{{_SVG}}}tspan", {"font-weight": "bold"})
    name.text = branch.name
    pages = f"{format_value(branch.pages, 'pages')} ({share(branch.pages / flow.pages)})"
    if meanings:
        name.tail = f" {pages}"
        more = ElementTree.SubElement(label, f"{{{_SVG}}}tspan", {"fill-opacity": "0.75"})
        more.text = f"  {branch.meaning}"
    else:
        label.set("y", f"{y - _LEADING / 2:.1f}")
        below = {"x": f"{x:.1f}", "dy": str(_LEADING)}
        ElementTree.SubElement(label, f"{{{_SVG}}}tspan", below).text = pages
