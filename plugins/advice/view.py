"""The recommendations on the screen and in the report."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.panel import Panel
from rich.text import Text

from ksmtrace.plugins.advice.rules import Recommendation
from ksmtrace.section import Section, Table


def panel(recommendations: Sequence[Recommendation]) -> Panel:
    """A line for each, most important first."""
    lines = [Text(one.advice, no_wrap=True, overflow="ellipsis") for one in recommendations]
    if not lines:
        lines = [Text("nothing to recommend", style="dim")]
    return Panel(Group(*lines), title=Text("advice", style="bold"), border_style="white")


def section(recommendations: Sequence[Recommendation]) -> Section:
    """Each with its evidence and its command, which is printed and never run."""
    count = len(recommendations)
    lead = (
        f"{count} recommendation{'s' * (count > 1)}: {recommendations[0].advice}" if count else ""
    )
    return Section(
        "What to do?",
        lead or "Nothing to recommend.",
        tables=[
            Table(one.advice, ("why",), ("text",), [(one.evidence,)], note=one.command)
            for one in recommendations
        ],
        exactness="derived",
    )
