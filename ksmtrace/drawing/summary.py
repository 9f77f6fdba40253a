"""A run in a few sentences, from its JSON document: facts, verdict and advice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ksmtrace.drawing.lines import WIDTH, one_line, wrapped
from ksmtrace.units import counted, duration, share

Document = Mapping[str, Any]


_FIRST_TUNABLES = ("run", "pages_to_scan", "sleep_millisecs")
"""Tunables that are named before all others."""


def facts(document: Document, host: str = "") -> list[str]:
    """What was traced and how it went, in a few words each; `host` is its name, "" for unknown."""
    passes, events = document["passes"], document["events"]
    lost = events["lost"]
    return [
        *([f"host {one_line(host)}"] if host else []),
        f"kernel {one_line(document['kernel']['release'])}",
        f"{one_line(document['tier'])} tier",
        length(document),
        counted(passes, "pass", "passes"),
        f"{counted(events['total'], 'event')}, {f'{lost:,} LOST' if lost else 'none lost'}",
        *([sentence] if (sentence := unread(document)) else []),
        *([probe_time(document)] if document["probe_time"]["samples"] else []),
        *([sentence] if (sentence := ended(document)) else []),
    ]


def tunables_told(start: Mapping[str, str], end: Mapping[str, str]) -> list[str]:
    """/sys/kernel/mm/ksm's writable files in a few words each; what changed has both values.

    Args:
        start: name to text when the run began.
        end: the same as it ended.
    """
    names = sorted(dict.fromkeys((*start, *end)), key=lambda name: name not in _FIRST_TUNABLES)
    told = []
    for name in names:
        before, after = start.get(name, "not known"), end.get(name, "not known")
        both = before if before == after else f"{before} (at the end {after})"
        told.append(one_line(f"{name} {both}"))
    return told


def unread(document: Document) -> str:
    """Which of the kernel's counters could not be read at times, in a few words; "" for none."""
    found = document["counters_unread"]
    if not found:
        return ""
    old = [name for name, one in found.items() if one["old"]]
    last = next(iter(found.values()))
    times = sum(one["failures"] for one in found.values())
    return f"counters could not be read {counted(times, 'time')} ({one_line(last['reason'])}), " + (
        f"OLD: {', '.join(old)}" if old else "all were at the last reading"
    )


def length(document: Document) -> str:
    """How long the run was, in a few words; the engine's clock only shows the order of events."""
    if not document.get("timed", True):
        return "the engine's clock is made up"
    return duration(document["duration_seconds"])


def probe_time(document: Document) -> str:
    """What the probes took of ksmd, in a few words."""
    measured = document["probe_time"]
    if measured["ksmd_ratio"] is None:
        return f"probes' share of ksmd unknown: {one_line(measured['unknown'])}"
    last = measured["last_ksmd_ratio"]
    now = "" if last is None or measured["samples"] == 1 else f" ({share(last)} lately)"
    return f"probes took {share(measured['ksmd_ratio'])} of ksmd's CPU time{now}"


def ended(document: Document) -> str:
    """When and why the stream of events ended before the run, as a sentence; "" where not."""
    stream = document["stream"]
    if stream["ended_seconds"] is None:
        return ""
    return (
        f"The stream ended {duration(stream['ended_seconds'])} into the run: "
        f"{one_line(stream['reason'])}. What needs events is as of then; "
        "counts of rare events and the kernel's counters went on. To avoid it: --budget none."
    )


def silences(document: Document) -> Iterator[str]:
    """A sentence for each reason why probes that are attached did not fire."""
    by_reason: dict[str, list[str]] = {}
    for name, one in document["silent"].items():
        until = f" to {duration(one['until_seconds'])}" if one["over"] else ""
        when = f"from {duration(one['from_seconds'])}{until} into the run"
        missed = f", {counted(one['missed'], 'event')} missed at least" if one["missed"] else ""
        by_reason.setdefault(one["reason"], []).append(f"{name} ({when}{missed})")
    for reason, names in by_reason.items():
        yield f"Probes were SILENT: {', '.join(names)}: {one_line(reason)}."


def agreement(document: Document) -> str:
    """How the reconstruction compares with the kernel, in a few words."""
    checked = document["self_check"]
    total, differing = checked["at_scan_stop"], checked["at_scan_stop_differing"]
    if not document["reconstruction"]["complete"]:
        return f"incomplete: {one_line(document['reconstruction']['reason'])}"
    if not total:
        return "not checked against the kernel as passes end"
    if differing:
        return f"differed from the kernel at {differing:,} of {total:,} pass ends"
    return f"agreed with the kernel at {total:,} of {total:,} pass ends"


def verdict(document: Document) -> str:
    """The verdict of `balance`, why, and what would change it; "" where the run has none."""
    balance = document["analyzers"].get("balance", {})
    word, reasons = balance.get("verdict"), balance.get("verdict_reasons") or ()
    if not isinstance(word, str) or not word:
        return ""
    sentence = ": ".join(filter(None, (word, "; ".join(map(str, reasons)))))
    change = balance.get("verdict_change")
    return one_line(f"{sentence}. {change}" if isinstance(change, str) else sentence)


def advice(document: Document) -> list[tuple[str, str]]:
    """The recommendations of the analyzer `advice`: (advice with its evidence, command) of each."""
    given = document["analyzers"].get("advice", {}).get("recommendations") or ()
    return [
        (one_line(f"{one['advice']} ({one['evidence']})"), one_line(one["command"]))
        for one in given
    ]


def advice_text(document: Document, width: int = WIDTH) -> str:
    """The same as plain text: commands on lines of their own, to be copied; "" without any."""
    lines = []
    for why, command in advice(document):
        lines += [wrapped(f"- {why}", "  ", width=width), wrapped(command, "    ", "    ", width)]
    return "\n".join(lines)
