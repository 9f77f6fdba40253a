"""Finds the processes that have memory which ksmd may merge."""

from __future__ import annotations

from pathlib import Path

from ksmtrace.kernel.sysfs import ROOT


def find_mergeable(root: Path = ROOT) -> list[int]:
    """Process ids, sorted: those with a mergeable mapping, or opted in by PR_SET_MEMORY_MERGE."""
    found = []
    for entry in (root / "proc").iterdir():
        if entry.name.isdigit():
            try:
                if _is_mergeable(entry):
                    found.append(int(entry.name))
            except OSError:
                continue  # the process has gone meanwhile
    return sorted(found)


def _is_mergeable(entry: Path) -> bool:
    try:
        stat = dict(
            line.split(maxsplit=1) for line in (entry / "ksm_stat").read_text().splitlines()
        )
    except FileNotFoundError:
        stat = {}
    if "ksm_mergeable:" in stat:
        return "yes" in (stat["ksm_mergeable:"], stat.get("ksm_merge_any:"))
    # before 6.14 only the flags of each mapping show it
    for line in (entry / "smaps").read_text().splitlines():
        if line.startswith("VmFlags:") and "mg" in line.split():
            return True
    return False
