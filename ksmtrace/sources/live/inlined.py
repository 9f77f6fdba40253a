"""The tier that a probe map makes possible: kprobes at the very places where the inlined functions begin."""

from __future__ import annotations

from dataclasses import replace

from ksmtrace.errors import KsmtraceError
from ksmtrace.events.kinds import EventKind
from ksmtrace.probemap.format import Location, LocationKind, ProbeMap, Site
from ksmtrace.session import Exactness, Probe
from ksmtrace.sources.live.tiers import FULL, Attach, Tier


def inlined_tier(probe_map: ProbeMap) -> Tier:
    """`FULL` with candidates and replacements seen where `cmp_and_merge_page` and `replace_page` begin.

    Raises:
        KsmtraceError: the map does not say where they are, or names several places.
    """
    examine = _only_site(probe_map, "cmp_and_merge_page")
    replace_page = _only_site(probe_map, "replace_page")
    rmap_item = examine.arguments.get("rmap_item")
    if rmap_item is None:
        raise KsmtraceError("the probe map does not say where cmp_and_merge_page's rmap_item is")
    attaches = [a for a in FULL.attaches if a.target != "mmap_lock_released"]
    attaches.append(Attach("kprobe", examine.symbol, "on_cmp_and_merge_page", examine.offset))
    attaches.append(Attach("kprobe", replace_page.symbol, "on_replace_page", replace_page.offset))
    return replace(
        FULL,
        name="full-inlined",
        sources=tuple(s.replace("candidate_lock", "candidate_inlined") for s in FULL.sources),
        attaches=tuple(attaches),
        defines={
            "CMP_AND_MERGE_PAGE_RMAP_ITEM": _expression(rmap_item),
            "WITH_INLINED_REPLACE_PAGE": 1,
        },
        probes={
            **FULL.probes,
            EventKind.CMP_AND_MERGE_PAGE: _exact(examine),
            EventKind.REPLACE_PAGE: _exact(replace_page),
        },
    )


def _only_site(probe_map: ProbeMap, function: str) -> Site:
    sites = probe_map.functions.get(function, ())
    if len(sites) != 1:
        raise KsmtraceError(
            f"the probe map names {len(sites)} places of {function}, one is needed: trace without it"
        )
    return sites[0]


def _expression(location: Location) -> str:
    """C that reads the value from `ctx`, a struct pt_regs."""
    place = f"ctx->{location.register}+({location.offset})"
    return f"read64({place})" if location.kind is LocationKind.MEMORY else f"({place})"


def _exact(site: Site) -> Probe:
    return Probe(f"kprobe {site.symbol}+{site.offset:#x} (probe map)", Exactness.EXACT)
