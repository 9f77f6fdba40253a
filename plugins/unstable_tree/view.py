"""The unstable tree on the screen and in the report."""

from __future__ import annotations

from collections.abc import Iterator

from rich.panel import Panel

from ksmtrace.figures import Row, panel_rows, section_figures
from ksmtrace.panel import figures_panel
from ksmtrace.plugins.unstable_tree.figures import FIGURES
from ksmtrace.section import Section
from ksmtrace.units import counted, format_value


def panel(figures: Row) -> Iterator[Panel]:
    """Who waits, and what comes of it, usable 26 columns wide; none where nothing is known."""
    return figures_panel("unstable tree", panel_rows(FIGURES, figures))


def section(figures: Row) -> Section:
    """The section of these figures, which are those of the JSON document."""
    return Section(
        "Unique pages",
        _lead(figures),
        section_figures(FIGURES, figures),
        exactness="Derived from each examination and removal; pages now are checked against the "
        "kernel's gauge.",
    )


def _lead(figures: Row) -> str:
    waiting, inserted, matched = (
        figures[f"{name}_pages"] for name in ("unshared", "inserted", "matched")
    )
    if waiting is None:
        return "How many pages are unique is not known."
    lead = f"{counted(waiting, 'unchanged page')} without a twin so far"
    if not inserted or matched is None:
        return f"{lead}."
    return (
        f"{lead}; of {format_value(inserted, 'pages')} that were put into the unstable tree, "
        f"{format_value(matched, 'pages')} found a twin."
    )
