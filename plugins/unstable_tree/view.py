"""The unstable tree on the screen."""

from __future__ import annotations

from collections.abc import Mapping

from rich.panel import Panel

from ksmtrace.panel import figures_panel

_ROWS = (
    ("unshared", "unshared_pages"),
    ("inserted", "inserted_pages"),
    ("  last pass", "last_pass_inserted_pages"),
    ("taken out", "removed_pages"),
    ("  matched", "matched_pages"),
    ("gone", "gone_pages"),
)


def panel(figures: Mapping[str, int | None]) -> Panel:
    """The figures of the JSON document, usable 26 columns wide."""
    rows = ((label, figures[key]) for label, key in _ROWS)
    return figures_panel("unstable tree", rows, "yellow")
