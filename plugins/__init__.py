"""The plugins that come with ksmtrace: analyzers derive, sinks show, serve or store."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a built-in plugin is for."""

    ANALYZER = "analyzer"
    SINK = "sink"


@dataclass(frozen=True, slots=True)
class Builtin:
    """A plugin of this package: the module `ksmtrace.plugins.<name>` with its class `Plugin`."""

    name: str
    role: Role
    does: str


BUILTINS = (
    Builtin(
        "balance", Role.ANALYZER, "what each process, cgroup and guest saves and costs; a verdict"
    ),
    Builtin(
        "groups", Role.ANALYZER, "metrics by cgroup, unit and guest, in a bounded number (--groups)"
    ),
    Builtin("advice", Role.ANALYZER, "recommendations, with evidence and the command"),
    Builtin("stable_tree", Role.ANALYZER, "stable nodes, their sharers, merges and breaks"),
    Builtin("merge_life", Role.ANALYZER, "how fast pages are merged, and how long merges last"),
    Builtin("unstable_tree", Role.ANALYZER, "candidates waiting for an equal page"),
    Builtin(
        "volatile", Role.ANALYZER, "why pages are in neither tree, and what looking at them costs"
    ),
    Builtin(
        "cow",
        Role.ANALYZER,
        "copies of KSM pages: who writes, how long it takes, how long merges last",
    ),
    Builtin(
        "heat_map",
        Role.ANALYZER,
        "memory of the largest processes over time, by where its pages are",
    ),
    Builtin(
        "scan_cost", Role.ANALYZER, "duration, cost and coverage of passes; whether KSM has settled"
    ),
    Builtin("snapshot", Role.ANALYZER, "who shared what when the trace began"),
    Builtin("recorder", Role.SINK, "writes the capture (--record, record -o)"),
    Builtin("prometheus", Role.SINK, "serves metrics (--listen)"),
    Builtin("log", Role.SINK, "tells a service's log what is worth knowing (live --log)"),
    Builtin("jsonl", Role.SINK, "prints one JSON document per interval (--json)"),
    Builtin("tui", Role.SINK, "draws the screen on a terminal"),
)
"""Every built-in plugin, in the order in which they are registered."""
