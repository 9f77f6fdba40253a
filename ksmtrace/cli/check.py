"""`--check`: one line for Nagios, Icinga and their like, and the statuses of their plugins.

Both as the Monitoring Plugins Development Guidelines have them: a status, a text, and performance
data behind a bar; exit status 0, 1, 2 or 3 whatever happens.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import zip_longest
from typing import Any

from ksmtrace.cli.thresholds import METRICS, Threshold, threshold
from ksmtrace.errors import KsmtraceError
from ksmtrace.lines import one_line
from ksmtrace.model.verdict import Answer


class PluginStatus(IntEnum):
    """Exit status of a monitoring plugin."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


_MILDEST = (
    *(PluginStatus.OK, PluginStatus.UNKNOWN),
    *(PluginStatus.WARNING, PluginStatus.CRITICAL),
)
"""The worst of several is the one that comes last here."""

OF_ANSWER = {
    Answer.WORTH_IT: PluginStatus.OK,
    Answer.TOO_LITTLE: PluginStatus.OK,
    Answer.NOTHING: PluginStatus.OK,
    Answer.OFF: PluginStatus.OK,
    Answer.COSTS_MORE: PluginStatus.WARNING,
    Answer.NOT_SETTLED: PluginStatus.UNKNOWN,
    Answer.NOT_KNOWN: PluginStatus.UNKNOWN,
}
"""Status by verdict. Those that are UNKNOWN are left to the thresholds where there are any."""


def add_check_options(parser: ArgumentParser) -> None:
    """`--check`, and its thresholds."""
    group = parser.add_argument_group(
        "check for a monitoring system",
        "With --check one line is printed as Nagios and Icinga read it, and the exit status is 0 "
        "OK, 1 WARNING, 2 CRITICAL or 3 UNKNOWN, whatever happens: by the verdict, and by ranges "
        f"of {', '.join(METRICS)} in the syntax of monitoring plugins.",
    )
    group.add_argument("--check", action="store_true", help="print that line")
    for letter, name in (("-w", "warning"), ("-c", "critical")):
        group.add_argument(
            letter,
            f"--{name}",
            type=threshold,
            action="append",
            default=[],
            metavar="METRIC=RANGE",
            help=f"{name.upper()} where METRIC is outside RANGE, as saved=100MiB: where less "
            "is saved, or ksmd=20%% where ksmd takes more of a core",
        )


def asks_for_check(arguments: Sequence[str]) -> bool:
    """Whether a command line is that of a check, also where it cannot be parsed."""
    for word, follower in zip_longest(arguments, arguments[1:], fillvalue=""):
        option, equals, value = word.partition("=")
        if _may_be("--check", option):
            return True
        if _may_be("--format", option) and (value if equals else follower) == "check":
            return True
    return False


def _may_be(option: str, word: str) -> bool:
    """Whether argparse takes a word for the option, shortened as it may be."""
    return len(word) > len("--c") and option.startswith(word)


def unknown_line(reason: object) -> str:
    """The line of a check that could not be made."""
    return _line(PluginStatus.UNKNOWN, str(reason))


@dataclass(frozen=True, slots=True)
class Check:
    """What is checked.

    Attributes:
        warning, critical: the ranges, by metric.
    """

    warning: Mapping[str, Threshold]
    critical: Mapping[str, Threshold]

    @classmethod
    def of(cls, options: Namespace) -> Check:
        """What the options of a verb ask for.

        Raises:
            KsmtraceError: a metric has two ranges of one status.
        """
        return cls(
            _one_each("--warning", options.warning), _one_each("--critical", options.critical)
        )

    def line_and_status(self, document: Mapping[str, Any]) -> tuple[str, PluginStatus]:
        """The line to print of a JSON document, and the exit status."""
        if failed := document["plugins_failed"]:
            name, why = next(iter(failed.items()))
            return unknown_line(f"plugin {name} failed: {why}"), PluginStatus.UNKNOWN
        values = {name: _value(document, name) for name in METRICS}
        found = list(self._found(values))
        status, verdict = _verdict(document, thresholds=bool(self.warning or self.critical))
        status = max((status, *(one for one, _ in found)), key=_MILDEST.index)
        performance = " ".join(self._performance(name, value) for name, value in values.items())
        text = "; ".join([*(said for _, said in found), verdict])
        return f"{_line(status, text)} | {performance}", status

    def _found(self, values: Mapping[str, float | None]) -> Iterator[tuple[PluginStatus, str]]:
        """What is to be told of metrics that have ranges."""
        for name, value in values.items():
            metric = METRICS[name]
            ranges = (
                (PluginStatus.CRITICAL, self.critical.get(name)),
                (PluginStatus.WARNING, self.warning.get(name)),
            )
            for status, limit in ranges:
                if limit is None:
                    continue
                if value is None:
                    yield PluginStatus.UNKNOWN, f"{name} is not known"
                    break
                if limit.range.alerts(value):
                    words = limit.range.words(value, metric.show)
                    yield status, f"{name} {metric.show(value)} is {words}"
                    break

    def _performance(self, name: str, value: float | None) -> str:
        """A metric as performance data; its value is U where it is not known."""
        metric = METRICS[name]
        limits = (of.get(name) for of in (self.warning, self.critical))
        ranges = ("" if limit is None else limit.range.text(_plain) for limit in limits)
        shown = "U" if value is None else f"{_plain(value)}{metric.unit}"
        fields = (f"{name}={shown}", *ranges, metric.lowest, metric.highest)
        return ";".join(fields).rstrip(";")


def _one_each(option: str, given: Sequence[Threshold]) -> dict[str, Threshold]:
    found = {limit.metric: limit for limit in given}
    if len(found) < len(given):
        twice = next(one.metric for one in given if found[one.metric] is not one)
        raise KsmtraceError(f"{option} {twice} is given twice: give one range")
    return found


def _value(document: Mapping[str, Any], name: str) -> float | None:
    value: Any = document
    for part in METRICS[name].key:
        value = value.get(part) if value else None
    return None if value is None else float(value) * METRICS[name].factor


def _verdict(document: Mapping[str, Any], *, thresholds: bool) -> tuple[PluginStatus, str]:
    balance = document["analyzers"].get("balance")
    if balance is None:
        return PluginStatus.UNKNOWN, "the analyzer balance, which judges, is left out"
    answer = Answer(balance["verdict"])
    status = OF_ANSWER[answer]
    if thresholds and status is PluginStatus.UNKNOWN:
        status = PluginStatus.OK
    return status, f"{answer.value}: {', '.join(balance['verdict_reasons'])}"


def _line(status: PluginStatus, text: str) -> str:
    """A bar would begin the performance data."""
    return f"KSM {status.name} - {one_line(text).replace('|', '/')}"


def _plain(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")
