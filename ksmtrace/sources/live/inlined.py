"""The probes that a probe map adds: kprobes at the very places where inlined functions begin."""

from __future__ import annotations

from ksmtrace.errors import KsmtraceError
from ksmtrace.events.kinds import EventKind
from ksmtrace.probemap.format import Location, LocationKind, ProbeMap, Site
from ksmtrace.session import Exactness
from ksmtrace.sources.live.probe_spec import Hook, Place, ProbeSpec, ProbeTable
from ksmtrace.sources.live.probe_table import COUNTED, PROBES


def with_probe_map(probe_map: ProbeMap, table: ProbeTable = PROBES) -> ProbeTable:
    """`table`, with the best probes of candidates and replacements: where the map says they begin.

    Raises:
        KsmtraceError: the map does not say where they are, or names several places.
    """
    examine = _only_site(probe_map, "cmp_and_merge_page")
    replace_page = _only_site(probe_map, "replace_page")
    rmap_item = examine.arguments.get("rmap_item")
    if rmap_item is None:
        raise KsmtraceError("the probe map does not say where cmp_and_merge_page's rmap_item is")
    first = {
        EventKind.CMP_AND_MERGE_PAGE: ProbeSpec(
            "inlined",
            Exactness.EXACT,
            (
                _site(examine, "on_cmp_and_merge_page", _expression(rmap_item)),
                Hook(Place.SWITCH, "ksmd", "on_ksmd_switched_out"),
            ),
            reads="the probe map",
            requires={EventKind.REMOVE_RMAP_ITEM: ("function",)},
            with_too=COUNTED,
        ),
        EventKind.REPLACE_PAGE: ProbeSpec(
            "inlined",
            Exactness.EXACT,
            (_site(replace_page, "on_replace_page"),),
            reads="the probe map",
            defines={"WITH_REPLACE_PAGE": 1},
            requires={EventKind.TRY_TO_MERGE_ONE_PAGE: ("function",)},
        ),
    }
    return {
        kind: (first[kind], *others) if kind in first else others for kind, others in table.items()
    }


def _only_site(probe_map: ProbeMap, function: str) -> Site:
    sites = probe_map.functions.get(function, ())
    if len(sites) != 1:
        raise KsmtraceError(
            f"the probe map names {len(sites)} places of {function}, one is needed: "
            "trace without it"
        )
    return sites[0]


def _site(site: Site, body: str, *arguments: str) -> Hook:
    return Hook(Place.SITE, site.symbol, body, arguments, site.offset)


def _expression(location: Location) -> str:
    """C that reads the value from `ctx`, a struct pt_regs."""
    place = f"ctx->{location.register}+({location.offset})"
    return f"read64({place})" if location.kind is LocationKind.MEMORY else f"({place})"
