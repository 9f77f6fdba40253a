"""Pieces of the screen: each draws one part of the run's JSON document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ksmtrace.pipeline.snapshot import MISSION

Document = Mapping[str, Any]

MISSION_NAMES = tuple(kind.name.lower() for kind in MISSION)
WIDE = 110
"""Columns from which on there is room for notes."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_EXACTNESS_STYLES = {"exact": "green", "derived": "cyan", "sampled": "yellow", "absent": "dim"}


def printable(text: object) -> str:
    """`text` on one line, with "?" for what cannot be printed."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(str(text).split()))


def count(value: int | None) -> str:
    """A count with thousands apart; "-" when not known."""
    return "-" if value is None else f"{value:,}"


def size(value_bytes: float) -> str:
    """Bytes in the largest binary unit that leaves a number of at least 1, as "17.8 MiB"."""
    unit = 0
    while abs(value_bytes) >= 1024 and unit < len(_UNITS) - 1:
        value_bytes /= 1024
        unit += 1
    return f"{value_bytes:,.{min(unit, 1)}f} {_UNITS[unit]}"


def duration(seconds: float) -> str:
    """Seconds as "12.3 s", from two minutes on as "1:02:03"."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def header(document: Document) -> RenderableType:
    """Two lines: what is traced; how it goes."""
    what = Text(no_wrap=True, overflow="ellipsis")
    what.append(f"ksmtrace {printable(document['version'])}", "bold")
    what.append(f"   {document['source']}   {printable(document['kernel']['release'])}")
    what.append(f"   tier {printable(document['tier'])}   {duration(document['duration_seconds'])}")
    events = document["events"]
    how = Text(no_wrap=True, overflow="ellipsis")
    how.append(f"{events['total']:,} events   ")
    how.append(f"{events['lost']:,} lost", "bold white on red" if events["lost"] else "green")
    how.append(f"   {count(document['passes'])} passes   ")
    how.append(*_agreement(document))
    for name in document["plugins_failed"]:
        how.append(f"   plugin {printable(name)} failed", "bold red")
    table = Table.grid(expand=True)
    table.add_column(ratio=1)
    table.add_column(justify="right")
    table.add_row(what, Text("Ctrl-C ends", "dim"))
    return Group(table, how)


def agreement(document: Document) -> str:
    """How the reconstruction compares with the kernel, in a few words."""
    checked = document["self_check"]
    total, differing = checked["at_scan_stop"], checked["at_scan_stop_differing"]
    if not document["reconstruction"]["complete"]:
        return f"incomplete: {printable(document['reconstruction']['reason'])}"
    if not total:
        return "not checked at the end of a pass"
    if differing:
        return f"differed from the kernel at {differing:,} of {total:,} pass ends"
    return f"agreed with the kernel at {total:,} of {total:,} pass ends"


def _agreement(document: Document) -> tuple[str, str]:
    checked = document["self_check"]
    complete = document["reconstruction"]["complete"]
    if checked["at_scan_stop_differing"]:
        return agreement(document), "bold red"
    return agreement(document), "green" if complete and checked["at_scan_stop"] else "yellow"


def probe_table(document: Document, *, wide: bool, all_kinds: bool) -> RenderableType:
    """How each kind of event is seen; unless `all_kinds`, the mission's four and a line on the others."""
    probes = document["probes"]
    shown = [name for name in probes if all_kinds or name in MISSION_NAMES]
    table = Table(box=None, expand=True, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("event", no_wrap=True)
    table.add_column("exactness", no_wrap=True)
    table.add_column("count", no_wrap=True, justify="right")
    table.add_column("via", no_wrap=True, overflow="ellipsis", ratio=2)
    if wide:
        table.add_column("what it cannot know", no_wrap=True, overflow="ellipsis", ratio=3)
    for name in shown:
        probe = probes[name]
        style = _EXACTNESS_STYLES[probe["exactness"]]
        absent = probe["exactness"] == "absent"
        number = count(seen_count(document, name))
        note, via = printable(probe["note"]), printable(probe["via"])
        row = [
            name,
            Text(probe["exactness"], style),
            number,
            Text(note if absent and not wide else via),
        ]
        table.add_row(*row, *([Text(note, "dim")] if wide else []))
    others = [probe["exactness"] for name, probe in probes.items() if name not in shown]
    if others:
        tally = ", ".join(f"{number} {word}" for word, number in Counter(others).items())
        table.add_row(Text(f"{len(others)} other kinds", "dim"), "", "", Text(tally, "dim"))
    return table


def seen_count(document: Document, name: str) -> int | None:
    """How often an event happened in this run: events, or where only a total is sampled, what the kernel counted."""
    probe = document["probes"][name]
    if probe["exactness"] == "absent":
        return None
    total = probe["via"].rpartition(" ")[2]
    if probe["exactness"] == "sampled" and total in document["counters"]:
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
                    "bold yellow" if figures[row] else "green" if figures[row] == 0 else "dim"
                )
        table.add_row(row, *cells)
    return table


def side_by_side(panels: Iterable[RenderableType], width: int) -> RenderableType:
    """The analyzers' panels in rows, as many to a row as fit at 26 columns each."""
    shown = list(panels)
    per_row = max(1, min(len(shown), width // 26))
    table = Table.grid(expand=True)
    for _ in range(per_row):
        table.add_column(ratio=1)
    for start in range(0, len(shown), per_row):
        table.add_row(*shown[start : start + per_row])
    return table
