"""The metric family of the recommendations."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric

from ksmtrace.plugins.advice.rules import RULES, Recommendation


def family(recommendations: Iterable[Recommendation]) -> Metric:
    """A series for each rule: 1 for those of these recommendations, 0 for the others."""
    family = GaugeMetricFamily(
        "ksmtrace_advice",
        "1 for each rule that recommends something now. `ksmtrace live --once --json` tells the evidence and the command.",
        labels=["rule"],
    )
    given = {one.rule for one in recommendations}
    for rule in RULES:
        family.add_metric([rule.__name__], int(rule.__name__ in given))
    return family
