"""The JSON document of an audit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ksmtrace import SCHEMA_VERSION, __version__
from ksmtrace.audit.domains import NOBODY, Policy, values_of
from ksmtrace.audit.graph import Graph, build_graph
from ksmtrace.audit.sharing import Sharer, Sharing
from ksmtrace.session import Kernel

MOST_PAIRS = 1000
"""Pairs and processes of the document, those that share most."""

LEVELS: Mapping[str, Callable[[Sharer], str]] = {
    "processes": lambda one: f"{one.target.name} ({one.target.pid})",
    "cgroups": lambda one: one.target.cgroup or "(none)",
    "vms": lambda one: one.target.vm or "(no guest)",
    "users": lambda one: values_of(one)["users"],
}
"""By what processes are grouped, and the name of a process's group."""


def document(
    sharing: Sharing, policy: Policy | None, kernel: Kernel, page_bytes: int
) -> dict[str, Any]:
    """What was found, with the keys of `ksmtrace.documents.audit`.

    Args:
        sharing: what was found.
        policy: None for none.
        kernel: the running one.
        page_bytes: size of a page.
    """
    sharers = sharing.sharers
    return {
        "schema_version": SCHEMA_VERSION,
        "version": __version__,
        "complete": sharing.complete,
        "kernel": {"release": kernel.release, "page_size_bytes": page_bytes},
        "merged_pages_by": sharing.via,
        "processes_seen": len(sharers),
        "processes_sharing": sum(1 for one in sharers if len(one.frames)),
        **{
            name: _level(build_graph(sharers, [name_of(one) for one in sharers]), page_bytes)
            for name, name_of in LEVELS.items()
        },
        "policy": None if policy is None else _judged(sharers, policy, page_bytes),
        "unasked": _unasked(sharers),
        "processes_unread": [
            {"pid": one.target.pid, "name": one.target.name, "reason": one.unread}
            for one in sharers
            if one.unread
        ][:MOST_PAIRS],
    }


def violations(found: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Pairs of domains that share, and must not."""
    return [] if found["policy"] is None else found["policy"]["violations"]


def _level(graph: Graph, page_bytes: int) -> dict[str, Any]:
    pairs = graph.pairs()
    return {
        "groups": [
            {
                "name": name,
                "processes": int(graph.processes[at]),
                "ksm_pages": int(graph.common[at, at]),
                "pages": int(graph.pages[at]),
            }
            for at, name in enumerate(graph.names[:MOST_PAIRS])
        ],
        "pairs_sharing": len(pairs),
        "pairs": _pairs(graph, pairs[:MOST_PAIRS], page_bytes),
    }


def _pairs(
    graph: Graph, pairs: Sequence[tuple[int, int, int]], page_bytes: int
) -> list[dict[str, Any]]:
    return [
        {
            "one": graph.names[one],
            "other": graph.names[other],
            "ksm_pages": count,
            "bytes": count * page_bytes,
        }
        for one, other, count in pairs
    ]


def _judged(sharers: Sequence[Sharer], policy: Policy, page_bytes: int) -> dict[str, Any]:
    domains = [policy.domain_of(one) for one in sharers]
    rule_of = {name: rule for rule, name in domains}
    graph = build_graph(sharers, [name for _, name in domains])
    bad = [
        (one, other, count)
        for one, other, count in graph.pairs()
        if not policy.may_share(*(_both(graph, rule_of, place) for place in (one, other)))
    ]
    inside = {name for one, other, _ in bad for name in (graph.names[one], graph.names[other])}
    return {
        "domains": [
            {
                "name": name,
                "processes": sum(1 for _, domain in domains if domain == name),
                "ksm_pages": next(
                    (
                        int(graph.common[at, at])
                        for at, known in enumerate(graph.names)
                        if known == name
                    ),
                    0,
                ),
            }
            for name in sorted({name for _, name in domains})
        ],
        "violations": _pairs(graph, bad[:MOST_PAIRS], page_bytes),
        "violations_total": len(bad),
        "remedies": _remedies(
            [one for one, (_, name) in zip(sharers, domains, strict=True) if name in inside]
        ),
        "patterns_unmatched": policy.unmatched(),
    }


def _both(graph: Graph, rule_of: Mapping[str, str], place: int) -> tuple[str, str]:
    name = graph.names[place]
    return rule_of.get(name, NOBODY), name


def _remedies(sharers: Sequence[Sharer]) -> list[dict[str, str]]:
    """What keeps each of some processes from sharing from now on."""
    found: dict[str, str] = {}
    for one in sharers:
        if not len(one.frames):
            continue
        values = values_of(one)
        if values["vms"]:
            found[f"guest {values['vms']}"] = (
                "libvirt: <memoryBacking><nosharepages/></memoryBacking>; "
                "QEMU: -machine mem-merge=off"
            )
        elif one.merge_any and values["units"].endswith(".service"):
            found[values["units"]] = f"systemctl set-property {values['units']} MemoryKSM=no"
        elif one.merge_any:
            found[LEVELS["processes"](one)] = "prctl(PR_SET_MEMORY_MERGE, 0, 0, 0, 0) in it"
        else:
            found[LEVELS["processes"](one)] = "madvise(..., MADV_UNMERGEABLE) in it"
    return [{"who": who, "what": what} for who, what in list(found.items())[:MOST_PAIRS]]


def _unasked(sharers: Sequence[Sharer]) -> list[dict[str, Any]]:
    """Processes whose memory is mergeable, and by whom that was asked for as far as can be seen."""
    by_pid = {one.target.pid: one for one in sharers}
    ways: dict[str, Callable[[Sharer], bool]] = {
        "merge-any, inherited": lambda one: bool(
            one.merge_any and one.parent in by_pid and by_pid[one.parent].merge_any
        ),
        "merge-any": lambda one: bool(one.merge_any),
        "madvise": lambda one: one.advised,
    }
    found = []
    for one in sharers:
        way = next((name for name, holds in ways.items() if holds(one)), "")
        if way:
            found.append({"pid": one.target.pid, "name": one.target.name, "by": way})
    return found[:MOST_PAIRS]
