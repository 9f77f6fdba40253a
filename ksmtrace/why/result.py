"""The JSON document of `why`."""

from __future__ import annotations

import mmap
import os
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np

from ksmtrace import SCHEMA_VERSION, __version__
from ksmtrace.estimate.pages import Bit, Pages
from ksmtrace.why.decisions import DECISIONS, Decision
from ksmtrace.why.near_result import near_of
from ksmtrace.why.reason import CONDITIONS, MEANINGS, Reason
from ksmtrace.why.rows import EQUAL, PAGES, PRESENT, Run, Table, runs_of, table_of, total_of
from ksmtrace.why.survey import Area
from ksmtrace.why.why import Answer

MOST_RUNS = 100_000
"""Stretches of pages in the document."""
MOST_SHARERS = 1000
MOST_PIDS = 20


def document(answer: Answer, *, pages: bool, show_bytes: bool = False) -> dict[str, Any]:
    """What was found, with the keys of `ksmtrace.documents.why`.

    Args:
        answer: what was found.
        pages: whether stretches of pages are wanted.
        show_bytes: whether bytes of nearly equal pages are.
    """
    tables = [table_of(answer, area) for area in answer.areas]
    compared = answer.compared
    return {
        "schema_version": SCHEMA_VERSION,
        "version": __version__,
        "complete": compared.complete,
        "kernel": {"release": os.uname().release, "page_size_bytes": mmap.PAGESIZE},
        "tunables": dict(answer.tunables),
        "process": {
            "pid": answer.target.pid,
            "name": answer.target.name,
            "cgroup": answer.target.cgroup,
            "vm": answer.target.vm,
            "pinned_pages": answer.pinned_pages,
        },
        "range": None
        if answer.wanted is None
        else {"start": f"{answer.wanted.start:#x}", "end": f"{answer.wanted.end:#x}"},
        "looks": compared.looks,
        "between_looks_seconds": compared.seconds,
        "passes": compared.passes,
        "frames_shown": answer.frames.shown,
        "ksm_pages_told": answer.frames.told,
        "compared_processes": len(compared.processes) - 1,
        "compared_pages": compared.compared_pages,
        "reasons": [
            {
                "reason": reason.key,
                "meaning": MEANINGS[reason],
                "kernel_condition": CONDITIONS[reason] or None,
                **_counts(total_of(tables), reason),
            }
            for reason in Reason
        ],
        "mappings": [
            _mapping(answer, area, table) for area, table in zip(answer.areas, tables, strict=True)
        ],
        "capture": _capture(answer),
        "merged": _merged(answer),
        "near": None if answer.neighbours is None else near_of(answer, show_bytes=show_bytes),
        "pages": _runs(answer) if pages else None,
    }


def _counts(table: Table, reason: Reason) -> dict[str, int]:
    return {
        "pages": int(table[reason, PAGES]),
        "present_pages": int(table[reason, PRESENT]),
        "equal_pages": int(table[reason, EQUAL]),
    }


def _mapping(answer: Answer, area: Area, table: Table) -> dict[str, Any]:
    one = area.mapping
    last = Counter([] if answer.last is None else answer.last[area.first : area.end].tolist())
    return {
        "start": f"{one.start:#x}",
        "end": f"{one.end:#x}",
        "permissions": one.permissions,
        "name": one.name,
        "mergeable": one.mergeable,
        "refused_by": None if one.refused is None else one.refused[1],
        "pages": area.pages,
        "present_pages": area.present,
        "equal_pages": int(table[:, EQUAL].sum()),
        "reasons": {
            reason.key: int(table[reason, PAGES]) for reason in Reason if table[reason, PAGES]
        },
        "last_decisions": {one.key: last[one] for one in Decision if last[one]},
    }


def _capture(answer: Answer) -> dict[str, Any] | None:
    if answer.last is None or answer.decisions is None:
        return None
    counts = Counter(answer.last.tolist())
    return {
        "file": answer.decisions.file,
        "knows_process": answer.decisions.seen,
        "decisions": [
            {"decision": one.key, "meaning": DECISIONS[one], "pages": counts[one]}
            for one in Decision
        ],
    }


def _merged(answer: Answer) -> dict[str, Any]:
    merged = answer.pages.has(Bit.MERGED)
    frames = dict(
        zip(
            answer.pages.frame[merged].tolist(),
            answer.mappings[merged].tolist(),
            strict=True,
        )
    )
    return {
        "pages": int(merged.sum()),
        "frames": len(frames),
        "mappings": sum(frames.values()),
        "most_mappings": max(frames.values(), default=0),
        "sharers": [
            {"pid": one.target.pid, "name": one.target.name, "frames": one.frames}
            for one in answer.sharers[:MOST_SHARERS]
        ],
    }


def _runs(answer: Answer) -> list[dict[str, Any]]:
    others = answer.compared.others
    merged = others[others.has(Bit.MERGED) & (others.process > 0)]
    merged = merged[np.argsort(merged.frame, kind="stable")]
    pids = [one.target.pid for one in answer.compared.processes]
    runs = (run for area in answer.areas for run in runs_of(answer, area))
    return [_run(run, merged, pids) for run in islice(runs, MOST_RUNS)]


def _run(run: Run, merged: Pages, pids: Sequence[int]) -> dict[str, Any]:
    """A stretch; `merged` are merged pages of others by frame."""
    sharers: list[int] = []
    if run.reason == Reason.MERGED:
        frames = np.unique(run.frames)
        first = np.searchsorted(merged.frame, frames)
        behind = np.searchsorted(merged.frame, frames, side="right")
        found = [merged.process[a:b] for a, b in zip(first, behind, strict=True)]
        sharers = [pids[index] for index in np.unique(np.concatenate(found)).tolist()]
    return {
        "start": f"{run.start:#x}",
        "end": f"{run.end:#x}",
        "pages": run.pages,
        "reason": run.reason.key,
        "equal_pages": run.equal,
        "mappings": run.mappings,
        "merged_with_pids": sharers[:MOST_PIDS],
        "last_decision": None if run.last is None else run.last.key,
    }
