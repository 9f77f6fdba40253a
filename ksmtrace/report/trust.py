"""The section on how far to trust a run: what was seen, how, and by the kernel's own counters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ksmtrace.drawing.summary import Document, agreement, silences
from ksmtrace.section import Figure, Section, Table


def trust(document: Document, warnings: Sequence[str]) -> Section:
    """The section; `warnings` are the capture's, one for each part of it that is missing."""
    lost = document["events"]["lost"]
    lead = f"Reconstruction: {agreement(document)}."
    if lost:
        lead += f" {lost:,} events were LOST: every count may be too low."
    lead += "".join(f" {sentence}" for sentence in silences(document))
    for missing in (*warnings, *document["plugins_failed"].values()):
        lead += f" {missing[:1].upper()}{missing[1:]}."
    return Section(
        "How far to believe it",
        lead,
        [
            Figure("events", document["events"]["total"], note=f"{lost:,} lost"),
            Figure("passes", document["passes"]),
            Figure("pass ends compared", document["self_check"]["at_scan_stop"]),
            Figure("pass ends that differ", document["self_check"]["at_scan_stop_differing"]),
        ],
        list(_tables(document)),
        exactness="exact: counted at a probe that sees every occurrence; derived: computed from "
        "neighbouring probes or from kernel structures; sampled: read now and then; absent: not "
        "seen in this run.",
    )


def _tables(document: Document) -> Iterator[Table]:
    yield Table(
        "Pages now, reconstructed and by the kernel",
        ("counter", "reconstructed", "kernel", "difference"),
        ("text", "pages", "pages", "pages"),
        [(name, *row.values()) for name, row in document["reconciliation"].items()],
    )
    counts = document["self_check"]["counts"]
    if counts:
        keys = ("events", "counted", "difference", "against")
        yield Table(
            "Events, and what else counted them",
            ("events", "seen", "by the kernel", "difference", "its counter"),
            ("text", "", "", "", "text"),
            [(name, *(row[key] for key in keys)) for name, row in counts.items()],
        )
    yield Table(
        "How each kind of event was seen",
        ("event", "exactness", "seen", "via", "what it cannot know"),
        ("text", "text", "", "text", "text"),
        list(_probes(document)),
    )


def _probes(document: Document) -> Iterable[tuple[str, str, int | None, str, str]]:
    for name, probe in document["probes"].items():
        absent = probe["exactness"] == "absent"
        seen = None if absent else document["events"]["by_kind"].get(name.upper(), 0)
        yield name, probe["exactness"], seen, probe["via"], probe["note"]
