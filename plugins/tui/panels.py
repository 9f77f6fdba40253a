"""Pieces of the screen: each draws one part of the run's JSON document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from rich.console import (
    Console,
    ConsoleOptions,
    Group,
    RenderableType,
    RenderResult,
)
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ksmtrace.drawing.lines import one_line
from ksmtrace.drawing.palette import BAD, GOOD, UNKNOWN, UNSURE
from ksmtrace.drawing.summary import Document, agreement, length
from ksmtrace.lines import harmless
from ksmtrace.pipeline.snapshot import MISSION
from ksmtrace.units import counted, duration, share

Counters = Mapping[str, str]
"""The kernel's counter of each kind of event of which only that is known."""

MISSION_NAMES = tuple(kind.name.lower() for kind in MISSION)
WIDE = 110
"""Columns from which on there is room for notes."""

_EXACTNESS_STYLES = {"exact": GOOD, "derived": "", "sampled": UNSURE, "absent": UNKNOWN}


def count(value: int | None) -> str:
    """A count with thousands apart; "-" when not known."""
    return "-" if value is None else f"{value:,}"


def header(document: Document, state: Text) -> RenderableType:
    """Two lines: what is traced, and the state of the screen; how it goes."""
    what = Text(no_wrap=True, overflow="ellipsis")
    what.append(f"ksmtrace {one_line(document['version'])}", "bold")
    what.append(f"  {document['source']}  {one_line(document['kernel']['release'])}")
    what.append(f"  {one_line(document['tier'])} tier  {length(document)}")
    events = document["events"]
    how = Text(no_wrap=True, overflow="ellipsis")
    how.append(f"{counted(events['total'], 'event')}  ")
    how.append(f"{events['lost']:,} lost", f"bold reverse {BAD}" if events["lost"] else GOOD)
    how.append(f"  {counted(document['passes'], 'pass', 'passes')}  ")
    if document["stream"]["ended_seconds"] is not None:
        when = duration(document["stream"]["ended_seconds"])
        how.append(
            f"STREAM ENDED at {when}: {one_line(document['stream']['reason'])}", f"bold {BAD}"
        )
        how.append("  ")
    elif document["probe_time"]["ksmd_ratio"] is not None:
        how.append(f"probes {share(document['probe_time']['ksmd_ratio'])} of ksmd  ")
    silent = [name for name, one in document["silent"].items() if not one["over"]]
    if silent:
        how.append(f"SILENT: {', '.join(map(one_line, silent))}  ", f"bold {BAD}")
    how.append(*_agreement(document))
    for name in document["plugins_failed"]:
        how.append(f"  plugin {one_line(name)} failed", f"bold {BAD}")
    table = Table.grid(expand=True)
    table.add_column(ratio=1)
    table.add_column(justify="right")
    table.add_row(what, state)
    return Group(table, how)


def _agreement(document: Document) -> tuple[str, str]:
    checked = document["self_check"]
    complete = document["reconstruction"]["complete"]
    if checked["at_scan_stop_differing"]:
        return agreement(document), f"bold {BAD}"
    return agreement(document), GOOD if complete and checked["at_scan_stop"] else UNSURE


def probe_table(document: Document, counters: Counters, *, wide: bool) -> RenderableType:
    """How the four kinds of `MISSION` are seen, a line each, and a line on all others."""
    probes = document["probes"]
    shown = [name for name in probes if name in MISSION_NAMES]
    table = _probe_table()
    table.add_column("via", no_wrap=True, overflow="ellipsis", ratio=2)
    if wide:
        table.add_column("what it cannot know", no_wrap=True, overflow="ellipsis", ratio=3)
    for name in shown:
        absent = probes[name]["exactness"] == "absent"
        note, via = (one_line(probes[name][key]) for key in ("note", "via"))
        via_or_note = Text(note if absent and not wide else via)
        table.add_row(
            *_seen(document, counters, name), via_or_note, *([Text(note, "dim")] if wide else [])
        )
    others = [probe["exactness"] for name, probe in probes.items() if name not in shown]
    if others:
        tally = ", ".join(f"{number} {word}" for word, number in Counter(others).items())
        return Group(table, Text(f"{counted(len(others), 'other kind')}: {tally}", "dim"))
    return table


def probes_in_full(document: Document, counters: Counters) -> RenderableType:
    """How every kind of event is seen, and what that cannot know, in as many lines as it takes."""
    table = _probe_table()
    table.add_column("via, and what it cannot know")
    for name, probe in document["probes"].items():
        via_and_note = Text(one_line(probe["via"]))
        if probe["note"]:
            via_and_note.append("\n" * bool(via_and_note) + one_line(probe["note"]), "dim")
        table.add_row(*_seen(document, counters, name), via_and_note)
    return table


def _probe_table() -> Table:
    table = Table(box=None, expand=True, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("event", no_wrap=True)
    table.add_column("exactness", no_wrap=True)
    table.add_column("count", no_wrap=True, justify="right")
    return table


def _seen(document: Document, counters: Counters, name: str) -> tuple[str, Text, str]:
    exactness = document["probes"][name]["exactness"]
    seen = count(seen_count(document, counters, name))
    return name, Text(exactness, _EXACTNESS_STYLES[exactness]), seen


def seen_count(document: Document, counters: Counters, name: str) -> int | None:
    """How often an event happened in this run; None where that is not known.

    Counted are events, or, for one of `counters`, what the kernel added to that counter meanwhile.
    """
    if document["probes"][name]["exactness"] == "absent":
        return None
    total = counters.get(name)
    if total is not None and total not in document["counters"]:
        return None
    if total is not None:
        now, first = document["counters"][total], document["counters_at_start"].get(total)
        return None if first is None else int(now - first)
    return int(document["events"]["by_kind"].get(name.upper(), 0))


def gauge_table(document: Document) -> RenderableType:
    """The four page gauges: reconstructed, the kernel's, and the difference."""
    gauges = document["reconciliation"]
    table = Table(box=None, expand=True, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("pages", no_wrap=True)
    for name in gauges:
        table.add_column(name.removeprefix("pages_"), justify="right", no_wrap=True, ratio=1)
    for row in ("reconstructed", "kernel", "difference"):
        cells = [Text(count(figures[row])) for figures in gauges.values()]
        if row == "difference":
            for cell, figures in zip(cells, gauges.values(), strict=True):
                cell.stylize(
                    f"bold {UNSURE}" if figures[row] else GOOD if figures[row] == 0 else "dim"
                )
        table.add_row(row, *cells)
    return table


def counts_table(document: Document) -> RenderableType:
    """Counts of events against what the kernel counted itself."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("events")
    for name in ("seen", "by the kernel", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("its counter")
    for name, row in document["self_check"]["counts"].items():
        style = f"bold {UNSURE}" if row["difference"] else GOOD
        numbers = (Text(count(row[key])) for key in ("events", "counted"))
        difference = Text(count(row["difference"]), style)
        table.add_row(Text(name), *numbers, difference, Text(row["against"]))
    return table


class Guarded:
    """A panel of some plugin; where it cannot be drawn, a line with the reason is shown instead."""

    def __init__(self, name: str, panel: RenderableType) -> None:
        self._name = name
        self._panel = panel

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        try:
            lines = console.render_lines(self._panel, options, pad=False)
        except Exception as error:  # noqa: BLE001 - a plugin may hand over anything
            failure = f"the panel of {self._name} cannot be drawn: {type(error).__name__}: {error}"
            yield Text(one_line(failure), BAD)
            return
        for line in lines:
            yield from map(_harmless, line)
            yield Segment.line()


def _harmless(segment: Segment) -> Segment:
    """A piece of a panel without escape sequences, and without a link, which is one."""
    style = segment.style.update_link(None) if segment.style is not None else None
    return Segment(harmless(segment.text), style)


def side_by_side(panels: Iterable[RenderableType], width: int, columns: int = 26) -> RenderableType:
    """Panels in rows, as many to a row as fit at `columns` each."""
    shown = list(panels)
    per_row = max(1, min(len(shown), width // columns))
    table = Table.grid(expand=True)
    for _ in range(per_row):
        table.add_column(ratio=1)
    for start in range(0, len(shown), per_row):
        table.add_row(*shown[start : start + per_row])
    return table
