"""The recommendations on the screen and in the report."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.panel import Panel
from rich.text import Text

from ksmtrace.plugins.advice.rules import Recommendation
from ksmtrace.section import Section, Table
from ksmtrace.units import counted

_NOT_KSM = "advice is about KSM, and this is another daemon"


def panel(recommendations: Sequence[Recommendation] | None) -> Panel:
    """A line for each, most important first; None where there can be none."""
    lines = [Text(one.advice, no_wrap=True, overflow="ellipsis") for one in recommendations or ()]
    if not lines:
        none = _NOT_KSM if recommendations is None else "nothing to recommend"
        lines = [Text(none, style="dim", no_wrap=True, overflow="ellipsis")]
    return Panel(Group(*lines), title=Text("advice", style="bold"), border_style="dim")


def section(recommendations: Sequence[Recommendation] | None) -> Section:
    """Each with its evidence and its command, which is printed and never run."""
    if recommendations is None:
        return Section("What to do?", f"{_NOT_KSM[0].upper()}{_NOT_KSM[1:]}.", exactness="absent")
    count = len(recommendations)
    lead = f"{counted(count, 'recommendation')}: {recommendations[0].advice}" if count else ""
    return Section(
        "What to do?",
        lead or "Nothing to recommend.",
        tables=[
            Table(f"{one.advice} ({one.evidence})", ("command",), ("text",), [(one.command,)])
            for one in recommendations
        ],
        exactness="Derived from the figures of this run; ksmtrace never runs a command.",
    )
