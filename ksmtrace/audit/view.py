"""An audit as sections, for text and for the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ksmtrace.audit.result import violations
from ksmtrace.section import Chart, Section, Table
from ksmtrace.units import counted, size

Document = Mapping[str, Any]

TITLES = {
    "vms": ("Guests", "guest"),
    "cgroups": ("Cgroups", "cgroup"),
    "users": ("Users", "user"),
    "processes": ("Processes", "process"),
}
_MOST_SHOWN = 20
_MOST_DRAWN = 24
_STEPS = (0, 1, 10, 100, 1_000)
_LEGEND = ("none", "1 to 9", "10 to 99", "100 to 999", "1,000 or more")

BY = {
    "merge-any, inherited": "its parent, from which it inherited PR_SET_MEMORY_MERGE",
    "merge-any": "itself or its service's MemoryKSM= (PR_SET_MEMORY_MERGE)",
    "madvise": "itself, or a library in it (madvise)",
}


def headline(document: Document) -> str:
    """What was found, in a sentence or two."""
    sharing, seen = document["processes_sharing"], document["processes_seen"]
    told = f"{counted(sharing, 'process', 'processes')} of {seen:,} map merged pages."
    if document["policy"] is not None:
        bad = document["policy"]["violations_total"]
        told += (
            f" {counted(bad, 'pair')} of domains share pages and must not."
            if bad
            else " No domains share pages that must not."
        )
    return told


def sections(document: Document) -> list[Section]:
    """What was found, the policy first."""
    return [
        *_policy(document),
        *(_level(document, name) for name in TITLES if _tells(document, name)),
        Section(
            title="Who may merge",
            lead=_lead(document),
            tables=[_unasked(document)],
            exactness=_exactness(document),
        ),
    ]


def _tells(document: Document, name: str) -> bool:
    """Whether a level has more than one group, or is that of processes."""
    groups = len(document[name]["groups"])
    return groups > 1 or (name == "processes" and groups > 0)


def _lead(document: Document) -> str:
    if document["unasked"]:
        return "Processes with mergeable memory, and who has asked for it as far as can be seen."
    return "No process has mergeable memory."


def _policy(document: Document) -> Iterator[Section]:
    policy = document["policy"]
    if policy is None:
        return
    yield Section(
        title="Policy",
        lead=headline(document),
        tables=[
            Table(
                title="Domains that share and must not",
                columns=("domain", "and", "KSM pages in common", "size"),
                units=("text", "text", "pages", "bytes"),
                rows=[
                    (one["one"], one["other"], one["ksm_pages"], one["bytes"])
                    for one in violations(document)[:_MOST_SHOWN]
                ],
            ),
            Table(
                title="What keeps them from it",
                columns=("who", "what to set"),
                units=("text", "text"),
                rows=[(one["who"], one["what"]) for one in policy["remedies"][:_MOST_SHOWN]],
                note="Pages that are merged already stay so until they are written to, or unmerged."
                if policy["remedies"]
                else "",
            ),
            Table(
                title="Domains",
                columns=("domain", "processes", "KSM pages"),
                units=("text", "", "pages"),
                rows=[
                    (one["name"], one["processes"], one["ksm_pages"]) for one in policy["domains"]
                ],
            ),
        ],
    )


def _level(document: Document, name: str) -> Section:
    level = document[name]
    title, one = TITLES[name]
    several = title.lower()
    pairs = level["pairs_sharing"]
    return Section(
        title=title,
        lead=f"{counted(pairs, 'pair')} of {several} have merged pages in common.",
        charts=[_matrix(level, title)] if pairs else [],
        tables=[
            Table(
                title=f"{title} that share most",
                columns=(one, "and", "KSM pages in common", "size"),
                units=("text", "text", "pages", "bytes"),
                rows=[
                    (pair["one"], pair["other"], pair["ksm_pages"], pair["bytes"])
                    for pair in level["pairs"][:_MOST_SHOWN]
                ],
                note=f"{pairs - _MOST_SHOWN:,} more in --json." if pairs > _MOST_SHOWN else "",
            ),
            Table(
                title=f"Merged pages of {several}",
                columns=(one, "processes", "KSM pages", "pages that map them"),
                units=("text", "", "pages", "pages"),
                rows=[
                    (group["name"], group["processes"], group["ksm_pages"], group["pages"])
                    for group in level["groups"][:_MOST_SHOWN]
                ],
            ),
        ],
    )


def _matrix(level: Document, title: str) -> Chart:
    names = [group["name"] for group in level["groups"][:_MOST_DRAWN]]
    place = {name: at for at, name in enumerate(names)}
    cells: dict[str, list[float | None]] = {name: [0.0] * len(names) for name in names}
    for pair in level["pairs"]:
        if pair["one"] in place and pair["other"] in place:
            value = float(sum(pair["ksm_pages"] >= step for step in _STEPS) - 1)
            cells[pair["one"]][place[pair["other"]]] = value
            cells[pair["other"]][place[pair["one"]]] = value
    return Chart(
        title=f"{title}: KSM pages that each two have in common",
        kind="heat",
        x_name="in the order of the rows",
        x=list(range(1, len(names) + 1)),
        series=cells,
        legend=_LEGEND,
    )


def _unasked(document: Document) -> Table:
    return Table(
        title="Mergeable memory",
        columns=("process", "asked for by"),
        units=("text", "text"),
        rows=[
            (f"{one['name']} ({one['pid']})", BY[one["by"]])
            for one in document["unasked"][:_MOST_SHOWN]
        ],
    )


def _exactness(document: Document) -> str:
    told = "sampled: pages merge and part while they are looked at"
    if document["merged_pages_by"] == "kpagecount":
        told += (
            "; kpageflags lies on this kernel: frames mapped more than once are taken for KSM "
            "pages, and what a fork shares is among them"
        )
    if unread := len(document["processes_unread"]):
        told += f"; {counted(unread, 'process', 'processes')} could not be read"
    if not document["complete"]:
        told += "; incomplete: it was cut short"
    return told


def biggest(document: Document) -> str:
    """The pair that shares most, for a line; "" for none."""
    pairs = document["processes"]["pairs"]
    if not pairs:
        return ""
    most = pairs[0]
    return f"{most['one']} and {most['other']} share most: {size(most['bytes'])}"
