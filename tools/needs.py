"""What capabilities.py has measured: its committed results, and their tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ksmtrace.kernel.needs import WAYS

RESULTS = Path(__file__).parent.parent / "tests/bench/data/capabilities.json"

KERNELS = ("6.1", "6.12")
"""Guests that are measured; besides, the machine that measures."""

Results = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""By kernel and way: `tests/bench/capabilities_here.py` says what a row has."""


def read_results() -> Results:
    """The committed results; nothing where there are none."""
    found: Results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return found


def write_results(found: Results) -> None:
    """Commit these results, beside those of other kernels and ways."""
    merged = {kernel: {**rows, **found.get(kernel, {})} for kernel, rows in read_results().items()}
    text = json.dumps({**found, **merged}, indent=2, sort_keys=True)
    RESULTS.write_text(f"{text}\n")


def to_run(row: Mapping[str, Any]) -> set[str]:
    """The capabilities that a way runs with, or without each of which it was refused."""
    if "runs_with" in row:
        return set(row["runs_with"])
    lost = row.get("lost", {}) | (row.get("lost_by_others") or {})
    return {name for name, said in lost.items() if any(one.startswith("status ") for one in said)}


def to_see_all(row: Mapping[str, Any]) -> set[str]:
    """Those with which it sees more."""
    return {name for name in row.get("others", ()) if name not in to_run(row)}


def cell(row: Mapping[str, Any]) -> str:
    """A row's capabilities: to run, "?" where that was not measured; to see all."""
    if row["refused"]:
        return "not to be had"
    known = "runs_with" in row or to_run(row)
    return f"{_listed(to_run(row)) if known else '?'}; {_listed(to_see_all(row))}"


def kept(row: Mapping[str, Any]) -> str:
    """What is kept by --drop-capabilities, "" where that was not measured."""
    return _listed(row["kept"]) if "kept" in row else ""


def markdown_table(found: Results) -> str:
    """One row for each way and kernel."""
    lines = [
        "| way | kernel | to run | besides, to see all | kept by `--drop-capabilities` |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {way} | {row['release']} | {cell(row).replace('; ', ' | ')} | {kept(row)} |"
        for way, row in _by_way(found)
        if not row["refused"]
    ]
    return "\n".join(lines)


def text_table(found: Results) -> str:
    """The same as text, with what was lost without each."""
    lines = []
    for way, row in _by_way(found):
        lines.append(f"{way:11} {row['release']:20} {cell(row)}; kept: {kept(row)}")
        for key in ("lost", "lost_by_others", "lost_later"):
            for name, said in (row.get(key) or {}).items():
                lines.append(f"    {key.replace('_', ' ')} without {name}: {'; '.join(said)}")
    return "\n".join(lines)


def _by_way(found: Results) -> Iterable[tuple[str, Mapping[str, Any]]]:
    ways = dict.fromkeys([*WAYS, *(way for rows in found.values() for way in rows)])
    return ((way, rows[way]) for way in ways for rows in found.values() if way in rows)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
