"""Finds the processes that have memory which ksmd may merge."""

from __future__ import annotations

from pathlib import Path

from ksmtrace.kernel.files import process_ids, read_lines
from ksmtrace.kernel.sysfs import ROOT


def find_mergeable(root: Path = ROOT) -> list[int]:
    """Process ids, sorted: those with a mergeable mapping, or opted in by PR_SET_MEMORY_MERGE."""
    return sorted(pid for pid in process_ids(root) if _is_mergeable(root / f"proc/{pid}"))


def read_merge_any(pid: int, root: Path = ROOT) -> bool | None:
    """Whether a process opted in by PR_SET_MEMORY_MERGE; None where the kernel does not tell."""
    found = _stat(root / f"proc/{pid}").get("ksm_merge_any")
    return None if found is None else found.strip() == "yes"


def _stat(entry: Path) -> dict[str, str]:
    return dict(line.partition(":")[::2] for line in read_lines(entry / "ksm_stat"))


def _is_mergeable(entry: Path) -> bool:
    stat = _stat(entry)
    if "ksm_mergeable" in stat:
        return "yes" in (stat["ksm_mergeable"].strip(), stat.get("ksm_merge_any", "").strip())
    # before 6.14 only the flags of each mapping show it
    return any(
        line.startswith("VmFlags:") and "mg" in line.split() for line in read_lines(entry / "smaps")
    )
