"""The stable nodes as they are now: by number of sharers, by age, and the most shared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ksmtrace.events import Gauge
from ksmtrace.model.items import Ids
from ksmtrace.model.processes import Process
from ksmtrace.model.reconstruction import Reconstruction

SHARERS_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

NODE_AGES = ("node_age_p50_seconds", "node_age_oldest_seconds", "older_node_pages")

TOP = 10
"""KSM pages named in the JSON document."""

TOP_PROCESSES = 3
"""Processes named for each of them."""


def sharers(reconstruction: Reconstruction) -> dict[str, int] | None:
    """KSM pages by number of sharers; None unless the nodes known make up the whole tree."""
    gauges = reconstruction.gauges()
    shared, sharing = gauges[Gauge.PAGES_SHARED], gauges[Gauge.PAGES_SHARING]
    members = reconstruction.sharers()
    if shared is None or sharing is None:
        return None
    if (len(members), int(members.sum())) != (shared, shared + sharing):
        return None
    buckets = np.bincount(
        np.searchsorted(SHARERS_BUCKETS, members), minlength=len(SHARERS_BUCKETS) + 1
    )
    names = (*map(str, SHARERS_BUCKETS), "more")
    return dict(zip(names, buckets.tolist(), strict=True))


def ages(reconstruction: Reconstruction, now_ns: int) -> dict[str, float | None]:
    """Half of the nodes' ages, the oldest, and of how many nodes the age is only a lower bound."""
    nodes = reconstruction.nodes
    alive = nodes.alive()
    if not len(alive):
        return dict.fromkeys(NODE_AGES)
    held = _ages(reconstruction, alive, now_ns)
    older = int(np.count_nonzero(_older(reconstruction, alive)))
    return dict(zip(NODE_AGES, (float(np.median(held)), float(held.max()), older), strict=True))


def most_shared(reconstruction: Reconstruction, now_ns: int) -> list[dict[str, Any]]:
    """The `TOP` nodes with most sharers, most first, of equal ones the oldest first."""
    nodes = reconstruction.nodes
    alive = nodes.alive()
    order = np.lexsort((nodes.kpfn[alive], nodes.since_ns[alive], -nodes.members[alive]))
    chosen = alive[order[:TOP]]
    processes = {process.number: process for process in reconstruction.processes.known()}
    held = _ages(reconstruction, chosen, now_ns).tolist()
    known = _older(reconstruction, chosen).tolist()
    return [
        {
            "kpfn": int(nodes.kpfn[number]) or None,
            "sharer_pages": int(nodes.members[number]),
            "age_seconds": age,
            "older": older,
            **_sharing(reconstruction, number, processes),
        }
        for number, age, older in zip(chosen.tolist(), held, known, strict=True)
    ]


def _ages(reconstruction: Reconstruction, numbers: Ids, now_ns: int) -> npt.NDArray[np.float64]:
    since = reconstruction.nodes.since_ns[numbers].astype(np.int64)
    held: npt.NDArray[np.float64] = np.maximum(now_ns - since, 0) / 1e9
    return held


def _older(reconstruction: Reconstruction, numbers: Ids) -> npt.NDArray[np.bool_]:
    """Which nodes are older than their first event: no append named the frame before."""
    adopted = np.isin(numbers, list(reconstruction.nodes.adopted))
    older: npt.NDArray[np.bool_] = adopted | (reconstruction.nodes.kpfn[numbers] == 0)
    return older


def _sharing(
    reconstruction: Reconstruction, node: int, processes: Mapping[int, Process]
) -> dict[str, Any]:
    items = np.flatnonzero(reconstruction.state == node)
    owners, counts = np.unique(reconstruction.owner[items], return_counts=True)
    found = [
        (count, processes[owner])
        for owner, count in zip(owners.tolist(), counts.tolist(), strict=True)
        if owner in processes
    ]
    found.sort(key=lambda entry: (-entry[0], entry[1].mm))
    return {
        "processes": [
            {
                "process": process.label,
                "pid": process.pid,
                "mm": f"{process.mm:#x}",
                "pages": count,
            }
            for count, process in found[:TOP_PROCESSES]
        ],
        "other_processes": len(owners) - len(found[:TOP_PROCESSES]),
    }
