"""The plain text that ends a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.console import Console

from ksmtrace.drawing.lines import WIDTH, cut, one_line, wrapped
from ksmtrace.drawing.summary import (
    Document,
    advice_text,
    agreement,
    ended,
    length,
    probe_time,
    silences,
    unread,
    verdict,
)
from ksmtrace.plugins import BUILTINS
from ksmtrace.plugins.tui.panels import MISSION_NAMES, Guarded, count, seen_count
from ksmtrace.units import counted, share, size

if TYPE_CHECKING:
    from ksmtrace.pipeline.snapshot import Snapshot

_UNCHANGED = ("fork_shared", "held", "huge_page", "other")
"""Causes of unchanged pages in neither tree that the zero page has not replaced."""


def plain_text(snapshot: Snapshot) -> str:
    """The outcome of a run in at most 80 columns, without escape codes.

    It is what KSM did, and how far to believe it.
    """
    document = snapshot.document
    page_size = snapshot.session.kernel.page_size_bytes
    parts = (
        _title(document, snapshot.session.only_pids),
        "\n".join(_verdict(document)),
        "\n".join(
            (
                *_savings(document, page_size),
                *_before(document),
                *_merges(document),
                *_examinations(document),
            )
        ),
        "\n".join(_gauges(document)),
        "\n".join(_processes(document)),
        _other_panels(snapshot),
        "\n".join(_probes(document, snapshot.session.counters)),
        "\n".join(_limits(document)),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _title(document: Document, only_pids: tuple[int, ...]) -> str:
    passes = document["passes"]
    limit = (
        f"; events of {counted(len(only_pids), 'process', 'processes')} only" if only_pids else ""
    )
    return wrapped(
        f"ksmtrace {one_line(document['version'])}: {document['source']}, "
        f"kernel {one_line(document['kernel']['release'])}, {one_line(document['tier'])} tier, "
        f"{length(document)}, "
        f"{counted(passes, 'pass', 'passes')}{limit}"
    )


def _verdict(document: Document) -> Iterator[str]:
    """What the analyzers `balance` and `advice` conclude, where the run has them."""
    if sentence := verdict(document):
        yield wrapped(f"Verdict: {sentence}")
    if given := advice_text(document):
        yield given


def _savings(document: Document, page_size_bytes: int) -> Iterator[str]:
    counters = {**document["counters"]}
    counters |= {
        f"pages_{name}": pages
        for name in ("shared", "sharing")
        if (pages := document["analyzers"].get("stable_tree", {}).get(f"{name}_pages")) is not None
    }
    shared, sharing = counters.get("pages_shared"), counters.get("pages_sharing")
    zero_pages = counters.get("ksm_zero_pages")
    stands = []
    if shared is not None and sharing is not None:
        stand = "page stands" if shared == 1 else "pages stand"
        stands.append(f"{shared:,} KSM {stand} for {shared + sharing:,} pages")
    elif zero_pages is None:
        yield "What KSM saves is not known: the kernel's counters were not read."
        return
    if zero_pages or sharing is None:
        stands_for = f"{zero_pages:,}{' more' * (sharing is not None)}"
        stands.append(f"the zero page stands for {stands_for}")
    saved = ((sharing or 0) + (zero_pages or 0)) * page_size_bytes
    yield wrapped(f"KSM saves {size(saved)}: {', '.join(stands)}.")
    profit = counters.get("general_profit")
    if profit is not None:
        yield wrapped(
            f"The kernel's general_profit, which leaves stable nodes out: {size(profit)}."
        )


def _before(document: Document) -> Iterator[str]:
    before = document["analyzers"].get("snapshot", {})
    if before.get("mapped_pages"):
        yield wrapped(
            f"When the trace began, {before['mapped_pages']:,} pages shared "
            f"{before['ksm_pages']:,} KSM pages already (by {one_line(before['via'])})."
        )


def _merges(document: Document) -> Iterator[str]:
    tree = document["analyzers"].get("stable_tree", {})
    clauses = []
    if tree.get("merged_pages") is not None:
        clauses.append(f"{tree['merged_pages']:,} pages joined the stable tree")
    if tree.get("left_pages") is not None:
        clauses.append(f"{tree['left_pages']:,} left it")
    if tree.get("attempted_pages") is not None:
        failed = tree["failed_pages"]
        why = ", ".join(f"{name} {number:,}" for name, number in failed.items())
        tried = f"{sum(failed.values()):,} of {tree['attempted_pages']:,} attempts to merge failed"
        clauses.append(tried + (f" ({why})" if why else ""))
    if tree.get("break_cow_pages") is not None:
        clauses.append(f"undone by break_cow: {tree['break_cow_pages']:,}")
    if clauses:
        yield wrapped(f"In this run {'; '.join(clauses)}.")
    unstable = document["analyzers"].get("unstable_tree", {})
    if unstable.get("matched_pages") is not None:
        yield wrapped(
            f"The unstable tree took in {unstable['inserted_pages']:,} candidates; "
            f"{unstable['matched_pages']:,} found an equal page."
        )


def _examinations(document: Document) -> Iterator[str]:
    volatile = document["analyzers"].get("volatile", {})
    examined = volatile.get("examined_pages")
    if not examined:
        return
    causes = (volatile["causes"] or {}).get
    kept = sum((causes(name) or {}).get("examined_pages") or 0 for name in _UNCHANGED)
    outcomes = (
        (volatile["placed_stable_pages"], "merged"),
        (volatile["placed_unstable_pages"], "unique so far"),
        (_zero_pages(document, kept), "replaced by the zero page"),
        (volatile["changed_pages"], "changing"),
        (volatile["first_look_pages"], "seen for the first time"),
        (kept, "not placed" if volatile["changed_pages"] is None else "unchanged but not placed"),
        (volatile["freed_pages"], "gone before the outcome was read"),
    )
    clauses = [f"{share(pages / examined)} {what}" for pages, what in outcomes if pages]
    if clauses:
        yield wrapped(f"Of {examined:,} pages examined: {', '.join(clauses)}.")
    else:
        yield f"{examined:,} pages were examined."


def _zero_pages(document: Document, kept: int) -> int | None:
    """Examinations that ended with the zero page: told by attempts where checksums tell nothing."""
    unplaced: int | None = document["analyzers"]["volatile"]["unplaced_pages"]
    if unplaced is not None:
        return unplaced - kept
    found: int | None = document["analyzers"].get("stable_tree", {}).get("zero_page_pages")
    return found


def _gauges(document: Document) -> Iterator[str]:
    gauges = document["reconciliation"]
    yield f"{'pages':<14}" + "".join(f"{name.removeprefix('pages_'):>13}" for name in gauges)
    for row in ("reconstructed", "kernel", "difference"):
        yield f"{row:<14}" + "".join(f"{count(figures[row]):>13}" for figures in gauges.values())
    unseen = document["probes"].get("remove_rmap_item", {}).get("exactness") == "absent"
    ahead = sum(figures["difference"] or 0 for figures in gauges.values())
    if unseen and ahead > 0:
        yield wrapped(
            f"The difference: {ahead:,} pages left the stable tree (written to, unmapped), "
            "which no probe of this tier sees."
        )
    yield wrapped(f"Reconstruction: {agreement(document)}.")
    yield from _counts(document)


def _counts(document: Document) -> Iterator[str]:
    """Events against the kernel's own counts: one line for all that agree, one for each other."""
    counts = document["self_check"]["counts"]
    agreeing = [row["against"] for row in counts.values() if not row["difference"]]
    if agreeing:
        yield wrapped(f"Counts of events agree with {', '.join(agreeing)}.")
    for name, row in counts.items():
        if row["difference"]:
            yield wrapped(
                f"Counts differ: {row['events']:,} {name} events, "
                f"{row['counted']:,} by {row['against']}."
            )


def _processes(document: Document) -> Iterator[str]:
    processes = document["analyzers"].get("volatile", {}).get("processes")
    if not processes:
        return
    yield "Pages found changing, by process (examined in vain):"
    for process in processes[:5]:
        pid = "" if process["pid"] is None else f"pid {process['pid']}"
        comm = one_line(process["comm"] or "unknown")
        yield f"  {comm:<16} {pid:<12}{process['changed_pages']:>13,}"


def _other_panels(snapshot: Snapshot) -> str:
    """What plugins of other packages show; the built-in ones' figures are in the text already."""
    own = {builtin.name for builtin in BUILTINS}
    console = Console(width=WIDTH, color_system=None, force_terminal=False)
    with console.capture() as capture:
        for name, panel in sorted(snapshot.panels, key=lambda named: named[0]):
            if name not in own:
                console.print(Guarded(name, panel))
    return capture.get().rstrip()


def _probes(document: Document, counters: Mapping[str, str]) -> Iterator[str]:
    events, probes = document["events"], document["probes"]
    lost = events["lost"]
    yield wrapped(
        f"{events['total']:,} events, {lost:,} LOST: every count above may be too low."
        if lost
        else f"{events['total']:,} events, none lost."
    )
    if document["source"] == "live" or document["probe_time"]["samples"]:
        sentence = probe_time(document)
        yield wrapped(f"{sentence[0].upper()}{sentence[1:]}.")
    if sentence := unread(document):
        yield wrapped(sentence[:1].upper() + sentence[1:])
    if sentence := ended(document):
        yield wrapped(sentence)
    yield from map(wrapped, silences(document))
    for name in MISSION_NAMES:
        probe = probes.get(name)
        if probe is None or probe["exactness"] == "absent":
            continue
        seen = count(seen_count(document, counters, name))
        line = f"  {name:<22}{probe['exactness']:<8}{seen:>12}  "
        yield cut(line + one_line(probe["via"]))


def _limits(document: Document) -> Iterator[str]:
    """What this run could not see, and what the figures that are not exact cannot know."""
    probes = document["probes"]
    absent = {n: p for n, p in probes.items() if p["exactness"] == "absent"}
    if absent:
        yield "Not seen in this run:"
        for name, probe in absent.items():
            yield wrapped(f"  {name}: {one_line(probe['note']) or 'no probe'}", "    ")
    noted = {
        n: probes[n] for n in MISSION_NAMES if n not in absent and probes.get(n, {}).get("note")
    }
    if noted:
        yield "To bear in mind:"
        for name, probe in noted.items():
            yield wrapped(f"  {name} ({probe['exactness']}): {one_line(probe['note'])}", "    ")
    for name, failure in document["plugins_failed"].items():
        yield wrapped(f"Plugin {one_line(name)} was dropped: {one_line(failure)}", "    ")
