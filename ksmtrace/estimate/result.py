"""The JSON document of an estimate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ksmtrace import SCHEMA_VERSION, __version__
from ksmtrace.estimate.estimate import ADVISED, ALL, Estimate
from ksmtrace.estimate.forecast import GAUGES, Forecast, Host
from ksmtrace.estimate.rows import Kind, Row, added, grouped

MOST_ROWS = 1000
"""Processes in the document, those with most pages; the total has all."""


def document(found: Estimate, host: Host) -> dict[str, Any]:
    """What was found, with the keys of `ksmtrace.documents.estimate`."""
    page = host.kernel.page_size_bytes
    rows = sorted(found.rows, key=lambda row: -row.processes[0].present)
    unread = [one.processes[0] for one in found.rows if one.processes[0].unread]
    return {
        "schema_version": SCHEMA_VERSION,
        "version": __version__,
        "complete": found.complete,
        "whole": found.share >= 1,
        "share": found.share,
        "looks": found.looks,
        "between_looks_seconds": found.seconds,
        "kernel": {"release": host.kernel.release, "page_size_bytes": page},
        "tunables": dict(host.tunables),
        "page_cost": {
            "seconds": host.cost.seconds,
            "at_least": host.cost.least,
            "via": host.cost.via,
        },
        "core_worth_bytes": host.core_worth_bytes,
        "total": _row(added("", found.rows), whole=found.share >= 1),
        "forecasts": [
            {"memory": memory, **_forecast(one, page)}
            for (memory, _), one in found.forecasts.items()
        ],
        "processes": [
            {
                "pid": row.processes[0].target.pid,
                "name": row.name,
                "cgroup": row.processes[0].target.cgroup,
                "vm": row.processes[0].target.vm,
                **_row(row, whole=found.share >= 1),
            }
            for row in rows[:MOST_ROWS]
        ],
        "cgroups": _groups(found, "cgroup"),
        "vms": _groups(found, "vm"),
        "processes_unread": [
            {"pid": one.target.pid, "name": one.target.name, "reason": one.unread}
            for one in unread[:MOST_ROWS]
        ],
    }


def _groups(found: Estimate, name: str) -> list[dict[str, Any]]:
    rows = grouped(found.rows, lambda one: getattr(one.target, name))
    whole = found.share >= 1
    return [
        {"name": row.name, "processes": len(row.processes), **_row(row, whole=whole)}
        for row in rows[:MOST_ROWS]
    ]


def _row(row: Row, *, whole: bool) -> dict[str, Any]:
    """A row's counts; of a sample, equal pages and what they save are not known of a process."""
    counts = dict(zip((kind.value for kind in Kind), map(int, row.kinds), strict=True))
    if not whole:
        for kind in (Kind.ACROSS, Kind.INSIDE, Kind.FORKED, Kind.UNIQUE):
            counts[kind.value] = None  # type: ignore[assignment]
    return {
        "present_pages": row.total(lambda one: one.present),
        "mergeable_pages": row.total(lambda one: one.advised),
        "read_pages": row.looked_at,
        "huge_pages": row.total(lambda one: one.huge),
        "swapped_pages": row.total(lambda one: one.swapped),
        "zero_page_mappings": row.total(lambda one: one.zero_page),
        "not_mergeable_pages": _refused(row),
        **counts,
        "saved_pages": round(row.saved, 3) if whole else None,
        "mergeable_saved_pages": round(row.advised_saved, 3) if whole else None,
    }


def _refused(row: Row) -> dict[str, int]:
    found = {"shared": 0, "hugetlb": 0, "special": 0}
    for process in row.processes:
        for kind, count in process.refused.items():
            found[kind] += count
    return found


def _forecast(one: Forecast, page: int) -> dict[str, Any]:
    seconds = one.pace.pass_seconds
    gauges: Mapping[str, int | None] = one.gauges or dict.fromkeys(GAUGES)
    return {
        "use_zero_pages": int(one.rules.use_zero_pages),
        "max_page_sharing": one.rules.max_page_sharing,
        "pages": one.pages,
        "saved_bytes_low": round(one.saved.low * page),
        "saved_bytes_high": round(one.saved.high * page),
        "freed_bytes_low": None if one.freed is None else round(one.freed.low * page),
        "freed_bytes_high": None if one.freed is None else round(one.freed.high * page),
        "net_bytes_low": round(one.net_bytes.low),
        "net_bytes_high": round(one.net_bytes.high),
        "gauges": dict(gauges),
        "passes": one.passes,
        "pass_seconds": seconds if math.isfinite(seconds) else None,
        "settled_seconds": seconds * one.passes if math.isfinite(seconds) else None,
        "ksmd_cores": one.pace.cores,
        "verdict": one.verdict.answer.value,
        "verdict_reasons": list(one.verdict.reasons),
        "verdict_change": one.verdict.change or None,
    }


def chosen(forecasts: Sequence[dict[str, Any]], memory: str) -> dict[str, Any]:
    """The forecast of some memory with use_zero_pages as it is."""
    return next(one for one in forecasts if one["memory"] == memory)


MEMORIES = {ADVISED: "mergeable now", ALL: "all that could be"}
"""What a forecast is of, by `memory`, in words."""
