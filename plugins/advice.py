"""Analyzer that concludes: what to do about KSM on this host, from the figures of all the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from rich.console import Group
from rich.panel import Panel
from rich.text import Text

from ksmtrace import hookimpl
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.model.rules import RULES, Recommendation, recommend
from ksmtrace.section import Section, Table
from ksmtrace.session import Session


class Plugin:
    """At most five recommendations, most important first.

    JSON:
        recommendations: each with the `rule` (of `ksmtrace.model.rules`), the `advice`, the `evidence` for it, and the `command`
            that would do it, which is printed and never run.
    """

    def __init__(self) -> None:
        self._given: list[Recommendation] = []
        self._tunables: Mapping[str, str] = {}

    @hookimpl
    def ksmtrace_batch(self, reconstruction: Reconstruction) -> None:
        """Keep the tunables at hand."""
        self._tunables = reconstruction.tunables

    @hookimpl
    def ksmtrace_conclude(self, document: Mapping[str, Any], session: Session) -> dict[str, object]:
        """The recommendations."""
        self._given = recommend(document, self._tunables or session.tunables)
        return {"recommendations": [one.to_json() for one in self._given]}

    @hookimpl
    def ksmtrace_metrics(self) -> Iterable[Metric]:
        """Which rules speak."""
        family = GaugeMetricFamily(
            "ksmtrace_advice",
            "1 for each rule that recommends something now. `ksmtrace live --once --json` tells the evidence and the command.",
            labels=["rule"],
        )
        given = {one.rule for one in self._given}
        for rule in RULES:
            family.add_metric([rule.__name__], int(rule.__name__ in given))
        yield family

    @hookimpl
    def ksmtrace_panels(self) -> Iterable[Panel]:
        """The recommendations, a line each."""
        lines = [Text(one.advice, no_wrap=True, overflow="ellipsis") for one in self._given]
        if not lines:
            lines = [Text("nothing to recommend", style="dim")]
        yield Panel(Group(*lines), title=Text("advice", style="bold"), border_style="white")

    @hookimpl
    def ksmtrace_sections(self) -> Iterable[Section]:
        """The recommendations with their evidence and commands, which are printed, never run."""
        count = len(self._given)
        lead = (
            f"{count} recommendation{'s' * (count > 1)}: {self._given[0].advice}" if count else ""
        )
        yield Section(
            "What to do?",
            lead or "Nothing to recommend.",
            tables=[
                Table(one.advice, ("why",), ("text",), [(one.evidence,)], note=one.command)
                for one in self._given
            ],
            exactness="derived",
        )
