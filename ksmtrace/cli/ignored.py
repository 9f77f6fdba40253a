"""Options that contradict others, or have no effect beside them: they are refused, not ignored."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from typing import Any

from ksmtrace.cli.formats import FORMATS
from ksmtrace.errors import KsmtraceError

_Options = Mapping[str, Any]
_Rule = tuple[Callable[[_Options], object], str]


def _without_probes(option: str) -> _Rule:
    return (
        lambda given: given.get("probes") == "sysfs",
        f"--probes sysfs attaches no probes: leave out {option}",
    )


def _on_kernel(option: str) -> _Rule:
    return (
        lambda given: given.get("on_kernel"),
        f"{option} is about the engine: leave it out, or --on-kernel",
    )


def _given(name: str) -> Callable[[_Options], object]:
    return lambda given: given.get(name)


def _without_check(option: str) -> _Rule:
    return (lambda given: not given["check"], f"{option} is about a check: give --check too")


_RULES: Mapping[str, tuple[_Rule, ...]] = {
    "web_config": (
        (lambda given: not given["listen"], "--web-config is how to --listen: give --listen too"),
    ),
    "groups": (
        (
            lambda given: not (given["listen"] or given["textfile"]),
            "--groups is about metrics: give --listen or --textfile too",
        ),
    ),
    "totals": (
        (
            lambda given: given["probes"] == "sysfs",
            "--totals counts by probes, --probes sysfs has none: choose one",
        ),
        (
            lambda given: given["pid"],
            "--totals counts the events of all processes: leave out --pid",
        ),
        (
            lambda given: given["probe_map"],
            "--totals counts by functions that have symbols: leave out --probe-map",
        ),
    ),
    "budget": (
        (
            lambda given: given["totals"],
            "--totals has no stream of events that could end: leave out --budget",
        ),
        _without_probes("--budget"),
    ),
    "cow": (_without_probes("--cow"),),
    "probe_map": (
        _without_probes("--probe-map"),
        (
            lambda given: given["probes"] == "tracepoint",
            "--probe-map says where functions are: leave it out, or --probes tracepoint",
        ),
    ),
    "drop_capabilities": (_without_probes("--drop-capabilities"),),
    "hold": (
        (
            lambda given: given["json"] or given["no_tui"],
            "--hold keeps the screen: leave out --json and --no-tui",
        ),
    ),
    "log": (
        (
            lambda given: given["json"] or given["once"],
            "--log has no answer at the end: leave out --json and --once",
        ),
    ),
    "check": tuple(
        (_given(name), f"--check prints one line and ends: leave out {option}")
        for name, option in (
            *(("json", "--json"), ("log", "--log"), ("engine", "--engine")),
            *(("listen", "--listen"), ("hold", "--hold")),
        )
    ),
    "warning": (_without_check("--warning"),),
    "critical": (_without_check("--critical"),),
    "format": (
        (
            lambda given: given["format"] == "text" and any(map(given.get, FORMATS)),
            "--format text is not --json, --events or --check: give one of them",
        ),
    ),
    "variant": (_on_kernel("--variant"),),
    "no_comparisons": (
        _on_kernel("--no-comparisons"),
        (
            lambda given: given.get("events"),
            "--events never counts comparisons: leave out --no-comparisons",
        ),
    ),
}
"""By option: when it cannot be meant, and what to say then."""


def check_ignored(parser: ArgumentParser, options: Namespace) -> None:
    """Refuse what was given to `parser` and cannot be meant beside its other options.

    Raises:
        KsmtraceError: the first of them.
    """
    given = vars(options)
    for name, rules in _RULES.items():
        if name not in given or given[name] == parser.get_default(name):
            continue
        for ignores, remedy in rules:
            if ignores(given):
                raise KsmtraceError(remedy)
