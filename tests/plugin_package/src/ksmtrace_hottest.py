"""Which page does ksmd try to merge most often? A whole plugin of another package."""

import os
import sys
from collections import Counter

from prometheus_client.core import GaugeMetricFamily
from rich.text import Text

from ksmtrace import hookimpl
from ksmtrace.events import EventKind
from ksmtrace.section import Chart, Figure, Section

if os.environ.get("HOTTEST_PRINTS"):
    print("imported \x1b[2J")
if os.environ.get("HOTTEST_EXITS") == "import":
    raise SystemExit("no")


class Plugin:
    """Counts attempts by address."""

    def __init__(self):
        self.attempts = Counter()

    @hookimpl
    def ksmtrace_batch(self, batch):
        if os.environ.get("HOTTEST_RAISES"):
            raise RuntimeError("told to raise")
        if os.environ.get("HOTTEST_PRINTS"):
            print("a batch")
        if os.environ.get("HOTTEST_EXITS") == "batch":
            sys.exit()
        self.attempts.update(batch.of(EventKind.TRY_TO_MERGE_ONE_PAGE)["address"].tolist())

    def hottest(self):
        return max(self.attempts.values(), default=0)

    @hookimpl
    def ksmtrace_analysis(self):
        return {"attempts": self.attempts.total(), "hottest_attempts": self.hottest()}

    @hookimpl
    def ksmtrace_metrics(self):
        name = os.environ.get("HOTTEST_METRIC", "ksmtrace_hottest_attempts")
        yield GaugeMetricFamily(name, "Attempts at one address.", self.hottest())

    @hookimpl
    def ksmtrace_panels(self):
        yield Text(f"hottest address: {self.hottest()} attempts")

    @hookimpl
    def ksmtrace_sections(self):
        top = sorted(self.attempts.items(), key=lambda entry: (-entry[1], entry[0]))[:10]
        chart = Chart(
            "Attempts by address",
            "bar",
            "address",
            [f"{a:#x}" for a, _ in top],
            {"attempts": [n for _, n in top]},
            ("text", ""),
        )
        lead = f"The hottest address was tried {self.hottest()} times."
        yield Section(
            "Hottest addresses", lead, [Figure("attempts", self.attempts.total())], charts=[chart]
        )
