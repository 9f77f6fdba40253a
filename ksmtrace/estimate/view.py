"""An estimate as sections, for text and for the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ksmtrace.estimate.result import MEMORIES, chosen
from ksmtrace.estimate.rows import MEANINGS, SHORT, Kind
from ksmtrace.section import Chart, Section, Table
from ksmtrace.units import counted, seconds, size

Document = Mapping[str, Any]

_MOST_SHOWN = 15


def headline(document: Document) -> str:
    """The forecast in a sentence or two: of what is mergeable now, or, if nothing is, of all."""
    now, everything = (chosen(document["forecasts"], memory) for memory in MEMORIES)
    page = document["kernel"]["page_size_bytes"]
    told = [_told("all memory that could be mergeable", everything, page)]
    if now["pages"]:
        told.insert(0, _told("the memory that is mergeable now", now, page))
    else:
        told.insert(0, "No memory is mergeable now: nobody has asked for it.")
    return " ".join(told)


def _told(what: str, forecast: Document, page: int) -> str:
    saved = span(forecast["saved_bytes_low"], forecast["saved_bytes_high"])
    net = span(forecast["net_bytes_low"], forecast["net_bytes_high"])
    time = forecast["settled_seconds"]
    settled = "" if time is None else f", in {counted(forecast['passes'], 'pass', 'passes')}, "
    settled += "" if time is None else f"about {seconds(time)}"
    return (
        f"Of {what}, {size(forecast['pages'] * page)}, KSM would save {saved}, {net} less its own "
        f"bookkeeping{settled}: {forecast['verdict']}."
    )


def span(low: float, high: float) -> str:
    """A size, or two with which an interval begins and ends."""
    first, last = size(low), size(high)
    return first if first == last else f"{first} to {last}"


def sections(document: Document) -> list[Section]:
    """What was found, the forecast first."""
    return [
        Section(
            title="Forecast",
            lead=headline(document),
            tables=[_forecasts(document), *_advice(document)],
            exactness=_exactness(document),
        ),
        Section(
            title="Where the pages stand",
            lead=_read(document),
            charts=[_stand(document["total"])],
            tables=[_kinds(document["total"]), _beside(document["total"])],
        ),
        *_groups(document),
    ]


def _forecasts(document: Document) -> Table:
    rows = [
        (
            MEMORIES[one["memory"]],
            one["use_zero_pages"],
            one["pages"],
            span(one["saved_bytes_low"], one["saved_bytes_high"]),
            None
            if one["freed_bytes_low"] is None
            else span(one["freed_bytes_low"], one["freed_bytes_high"]),
            span(one["net_bytes_low"], one["net_bytes_high"]),
            one["settled_seconds"],
            one["ksmd_cores"],
            one["verdict"],
        )
        for one in document["forecasts"]
    ]
    cost = document["page_cost"]
    least = "at least " if cost["at_least"] else ""
    return Table(
        title="What KSM would save once settled",
        columns=(
            *("memory", "use_zero_pages", "pages", "saved", "freed", "net", "settled in", "ksmd"),
            "forecast",
        ),
        units=(*("text", "", "pages", "text", "text", "text", "seconds", "ratio", "text"),),
        rows=rows,
        note=(
            "Saved: as the kernel counts it (pages_sharing and ksm_zero_pages). Freed: frames that "
            "are in use now and would be free: less where forks share pages already, or where KSM "
            "has merged. Net: saved, less KSM's own bookkeeping. ksmd: of a core, while it looks, "
            f"at {least}{seconds(cost['seconds'])} a page ({cost['via']})."
        ),
    )


def _advice(document: Document) -> Iterator[Table]:
    changes = {
        one["verdict_change"]: MEMORIES[one["memory"]]
        for one in document["forecasts"]
        if one["verdict_change"]
    }
    if changes:
        yield Table(
            title="What would change the verdict",
            columns=("memory", "what"),
            units=("text", "text"),
            rows=[(memory, change) for change, memory in changes.items()],
        )


def _read(document: Document) -> str:
    total = document["total"]
    what = f"{counted(total['read_pages'], 'page')} of {total['present_pages']:,} were read"
    looks = counted(document["looks"], "look")
    between = document["between_looks_seconds"]
    apart = f", {seconds(between)} apart" if document["looks"] > 1 else ""
    return f"{what}, in {looks}{apart}."


def _exactness(document: Document) -> str:
    if document["whole"]:
        told = "derived: every page was read, and the kernel's rules applied to what it held"
    else:
        told = (
            f"sampled: {document['share']:.3g} of all page frames were read; "
            "each interval holds in 95 of 100 samples"
        )
    if document["looks"] < 2:
        told += "; which pages change was not looked at: --looks 2 tells"
    if not document["complete"]:
        told += "; incomplete: it was cut short"
    return told


def _stand(total: Document) -> Chart:
    known = [kind for kind in Kind if total[kind.value] is not None]
    return Chart(
        title="Pages that were read, by what they are",
        kind="bar",
        x_name="pages that are",
        x=[SHORT[kind] for kind in known],
        series={"pages": [total[kind.value] for kind in known]},
        units=("text", "pages"),
    )


def _kinds(total: Document) -> Table:
    read = total["read_pages"]
    return Table(
        title="Pages that were read",
        columns=("pages that are", "pages", "of those read"),
        units=("text", "pages", "ratio"),
        rows=[
            (MEANINGS[kind], total[kind.value], total[kind.value] / read)
            for kind in Kind
            if total[kind.value] is not None and read
        ],
        note="Each page is counted once, as the first of these that it is.",
    )


def _beside(total: Document) -> Table:
    refused = total["not_mergeable_pages"]
    return Table(
        title="Besides",
        columns=("pages", "number"),
        units=("text", "pages"),
        rows=[
            ("mergeable now", total["mergeable_pages"]),
            ("parts of huge pages, which merging would split", total["huge_pages"]),
            ("in swap: not looked at", total["swapped_pages"]),
            ("places where the zero page is mapped", total["zero_page_mappings"]),
            ("shared memory and files: never merged", refused["shared"]),
            ("hugetlb: never merged", refused["hugetlb"]),
            ("of devices and the kernel: never merged", refused["special"]),
        ],
    )


def _groups(document: Document) -> Iterator[Section]:
    tables = [
        _table("Guests", "guest", document["vms"], [one["name"] for one in document["vms"]]),
        _table(
            "Cgroups", "cgroup", document["cgroups"], [one["name"] for one in document["cgroups"]]
        ),
        _table(
            "Processes",
            "process",
            document["processes"],
            [f"{one['name']} ({one['pid']})" for one in document["processes"]],
        ),
    ]
    shown = [one for one in tables if one.rows]
    if shown:
        yield Section(
            title="Who would save",
            lead="A page saved by n equal ones is credited to each in equal parts.",
            tables=shown,
        )


def _table(title: str, what: str, rows: Sequence[Document], names: Sequence[str]) -> Table:
    kinds = (Kind.ACROSS, Kind.INSIDE, Kind.ZERO, Kind.CHANGED, Kind.UNIQUE)
    found = [
        (
            name,
            row["present_pages"],
            row["mergeable_pages"],
            row["saved_pages"],
            row["mergeable_saved_pages"],
            *(row[kind.value] for kind in kinds),
        )
        for name, row in zip(names, rows, strict=True)
        if row["present_pages"]
    ]
    found.sort(key=lambda row: -(row[3] or row[1]))
    rest = len(found) - _MOST_SHOWN
    return Table(
        title=title,
        columns=(
            *(what, "pages", "mergeable", "saved if all", "saved now"),
            *("equal across", "equal inside", "zeroes", "changing", "unique"),
        ),
        units=("text", *("pages",) * 9),
        rows=found[:_MOST_SHOWN],
        note=f"{rest:,} more in --json." if rest > 0 else "",
    )
