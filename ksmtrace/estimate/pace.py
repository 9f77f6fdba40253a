"""How long ksmd would take until it has settled, and what it would cost then."""

from __future__ import annotations

import mmap
import time
from collections.abc import Mapping
from dataclasses import dataclass

import xxhash

from ksmtrace.events.kinds import Gauge
from ksmtrace.kernel.files import number

DEFAULT_PAGES_TO_SCAN, DEFAULT_SLEEP_MILLISECS = 100, 20
"""ksm_thread_pages_to_scan and ksm_thread_sleep_millisecs of mm/ksm.c."""

_SURE_PAGES = 100_000
"""Pages that ksmd must have examined for its time a page to be taken from its own counters."""
_TRIES = 512


@dataclass(frozen=True, slots=True)
class PageCost:
    """CPU time that ksmd takes for a page.

    Attributes:
        least: it takes more: this is the time of a checksum alone.
        via: how it was measured, in a few words.
    """

    seconds: float
    least: bool
    via: str


def measure_page_cost(counters: Mapping[Gauge, int]) -> PageCost:
    """What ksmd takes for a page on this host: by its own counters, else by a checksum made here.

    Args:
        counters: of the kernel, with ksmd's CPU time.
    """
    scanned, cpu_ns = counters.get(Gauge.PAGES_SCANNED), counters.get(Gauge.KSMD_CPU_NS)
    if scanned is not None and cpu_ns and scanned >= _SURE_PAGES:
        return PageCost(
            cpu_ns / 1e9 / scanned, least=False, via="ksmd's CPU time for the pages that it scanned"
        )
    page = bytes(mmap.PAGESIZE)
    best = float("inf")
    for _ in range(_TRIES):
        began = time.perf_counter()
        xxhash.xxh64_intdigest(page)
        best = min(best, time.perf_counter() - began)
    return PageCost(best, least=True, via="a checksum of a page, made here")


@dataclass(frozen=True, slots=True)
class Pace:
    """ksmd at the given tunables.

    Attributes:
        pass_seconds: of one look at all pages; None for no pages.
        cores: what it takes while it looks.
    """

    pass_seconds: float
    cores: float


def pace_of(rmap_items: int, tunables: Mapping[str, str], cost: PageCost) -> Pace:
    """How fast ksmd goes, and what that takes.

    With advisor_mode "scan-time" a pass takes advisor_target_scan_time (6.8).
    """
    batch = _tunable(tunables, "pages_to_scan", DEFAULT_PAGES_TO_SCAN)
    sleep = _tunable(tunables, "sleep_millisecs", DEFAULT_SLEEP_MILLISECS) / 1e3
    work = batch * cost.seconds
    if not batch:
        return Pace(float("inf"), 0.0)
    batches = -(-rmap_items // batch)
    of_pass = batches * (sleep + work)
    cores = work / (sleep + work)
    if tunables.get("advisor_mode") == "scan-time" and rmap_items:
        of_pass = float(_tunable(tunables, "advisor_target_scan_time", 200))
        cores = min(1.0, rmap_items * cost.seconds / max(of_pass, 1e-9))
    return Pace(of_pass, cores)


def _tunable(tunables: Mapping[str, str], name: str, default: int) -> int:
    found = number(tunables.get(name, ""))
    return default if found is None or found < 0 else found
