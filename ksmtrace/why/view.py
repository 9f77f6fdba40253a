"""The answer of `why` as sections, from its document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ksmtrace.section import Section, Table
from ksmtrace.units import counted, number, seconds, size
from ksmtrace.why.decisions import Decision
from ksmtrace.why.near_view import near_sections
from ksmtrace.why.reason import MEANINGS, OF_MAPPING, Reason

Document = Mapping[str, Any]

_MOST_MAPPINGS = 30
_MOST_SHARERS = 15
_MOST_RUNS = 2000
_MOST_DECISIONS = 60
_ABSENT = frozenset({Reason.NEVER_TOUCHED, Reason.SWAPPED})


def sections(document: Document) -> list[Section]:
    """What was found, the reasons first."""
    return [
        Section(
            title="Why it does not merge",
            lead=headline(document),
            tables=[_reasons(document)],
            exactness=_exactness(document),
        ),
        Section(
            title="Mapping by mapping",
            lead=_of_mappings(document),
            tables=[_mappings(document)],
        ),
        *_decided(document),
        *_merged(document),
        *near_sections(document),
        *_pages(document),
    ]


def headline(document: Document) -> str:
    """How much is merged, and why most of the rest is not."""
    present = sum(one["present_pages"] for one in document["reasons"])
    by_key = {one["reason"]: one for one in document["reasons"]}
    merged = by_key[Reason.MERGED.key]["pages"]
    page = document["kernel"]["page_size_bytes"]
    rest = [
        one for one in document["reasons"] if one["present_pages"] and one["reason"] != "merged"
    ]
    told = f"{_name(document)} has {size(present * page)} present, {size(merged * page)} merged."
    if rest:
        first = max(rest, key=lambda one: one["present_pages"])
        told += f" Most of the rest: {MEANINGS[Reason[first['reason'].upper()]]}."
    lost = by_key[Reason.NOT_ADVISED.key]["equal_pages"]
    if lost:
        told += f" {counted(lost, 'page')} that nobody made mergeable would merge if advised."
    if document["tunables"].get("run") != "1" and by_key[Reason.WAITING.key]["pages"]:
        told += " KSM is off (run is not 1): what waits waits for that."
    return told


def _name(document: Document) -> str:
    process = document["process"]
    guest = f", which runs {process['vm']}," if process["vm"] else ""
    return f"{process['name']} ({process['pid']}){guest}"


def _reasons(document: Document) -> Table:
    return Table(
        title="Pages by the first reason that holds",
        columns=("pages that are", "pages", "present", "equal to others", "the kernel's condition"),
        units=("text", "pages", "pages", "pages", "text"),
        rows=[
            (
                one["meaning"],
                one["pages"],
                one["present_pages"],
                one["equal_pages"],
                one["kernel_condition"],
            )
            for one in document["reasons"]
            if one["pages"]
        ],
        note=(
            "Equal to others: to another page of the process, or to one of another process that "
            "may merge. Functions are those of mm/ksm.c, with the release that brought them."
        ),
    )


def _exactness(document: Document) -> str:
    between = document["between_looks_seconds"]
    looks = counted(document["looks"], "look")
    apart = f", {seconds(between)} apart" if document["looks"] > 1 else ""
    told = (
        f"derived: read in {looks}{apart}, and compared with "
        f"{counted(document['compared_pages'], 'mergeable page')} of "
        f"{counted(document['compared_processes'], 'other process', 'other processes')}"
    )
    if document["looks"] < 2:
        told += "; which pages change was not looked at: --looks 2 tells"
    if not document["frames_shown"]:
        told += (
            "; page frames are not shown (needs CAP_SYS_ADMIN): merged and huge pages and the zero "
            "page are not known as such"
        )
    elif not document["ksm_pages_told"]:
        told += (
            "; this kernel flags every anonymous page as KSM's: pages that a fork shares may be "
            "called merged"
        )
    pinned = document["process"]["pinned_pages"]
    if pinned:
        told += f"; {counted(pinned, 'page')} pinned for good (VmPin), it is not known which"
    if not document["complete"]:
        told += "; incomplete: it was cut short"
    return told


def _of_mappings(document: Document) -> str:
    mergeable = [one for one in document["mappings"] if one["mergeable"]]
    return (
        f"{len(mergeable):,} of {counted(len(document['mappings']), 'mapping')} may merge: "
        f"{counted(sum(one['present_pages'] for one in mergeable), 'present page')}."
    )


def _mappings(document: Document) -> Table:
    found = sorted(document["mappings"], key=lambda one: (-one["mergeable"], -one["present_pages"]))
    shown = found[:_MOST_MAPPINGS]
    shown.sort(key=lambda one: int(one["start"], 16))
    rest = len(found) - len(shown)
    return Table(
        title="Mappings",
        columns=("from", "to", "what", "pages", "present", "equal", "why"),
        units=("text", "text", "text", "pages", "pages", "pages", "text"),
        rows=[
            (
                one["start"].removeprefix("0x"),
                one["end"].removeprefix("0x"),
                one["name"] or "anonymous",
                one["pages"],
                one["present_pages"],
                one["equal_pages"],
                _why(one),
            )
            for one in shown
        ],
        note=f"{rest:,} more, with fewer present pages, in --json." if rest > 0 else "",
    )


def _why(mapping: Document) -> str:
    """The reasons of a mapping, most pages first; what is not there last."""
    reasons = {Reason[key.upper()]: count for key, count in mapping["reasons"].items()}
    if mapping["refused_by"]:
        (reason,) = reasons
        return f"{reason.key}: {mapping['refused_by']}"
    if OF_MAPPING & reasons.keys():
        return "not advised"
    order = sorted(reasons, key=lambda one: (one in _ABSENT, -reasons[one]))
    return ", ".join(f"{_word(one)} {number(reasons[one])}" for one in order)


def _word(reason: Reason) -> str:
    return reason.key.replace("_", " ")


def _decided(document: Document) -> Iterator[Section]:
    capture = document["capture"]
    if capture is None:
        return
    known = {one["decision"] for one in capture["decisions"] if one["pages"]}
    words = {one["decision"]: one["meaning"] for one in capture["decisions"]}
    rows = [
        (_place(one), words[decision], count)
        for one in document["mappings"]
        for decision, count in sorted(one["last_decisions"].items(), key=lambda item: -item[1])
        if one["last_decisions"].keys() != {Decision.NONE.key}
    ]
    yield Section(
        title="What ksmd decided last",
        lead=(
            f"By {capture['file']}, of {counted(len(known), 'kind')} of decision."
            if capture["knows_process"]
            else f"{capture['file']} has no event of this process: it was another run of it, or "
            "ksmd did not come to it."
        ),
        tables=[
            Table(
                title="Pages by the last decision",
                columns=("mapping", "decision", "pages"),
                units=("text", "text", "pages"),
                rows=rows[:_MOST_DECISIONS],
                note=f"{len(rows) - _MOST_DECISIONS:,} more in --json."
                if rows[_MOST_DECISIONS:]
                else "",
            )
        ],
    )


def _place(mapping: Document) -> str:
    return f"{mapping['start'].removeprefix('0x')} {mapping['name'] or 'anonymous'}"


def _merged(document: Document) -> Iterator[Section]:
    merged = document["merged"]
    if not merged["pages"]:
        return
    shown = merged["sharers"][:_MOST_SHARERS]
    rest = len(merged["sharers"]) - len(shown)
    yield Section(
        title="Merged with whom",
        lead=(
            f"{counted(merged['pages'], 'page')} of it are {counted(merged['frames'], 'KSM page')}"
            f", which {counted(merged['mappings'], 'page table entry', 'page table entries')} map; "
            f"the most shared one {number(merged['most_mappings'])}."
        ),
        tables=[
            Table(
                title="Other processes that map them",
                columns=("process", "KSM pages"),
                units=("text", "pages"),
                rows=[(f"{one['name']} ({one['pid']})", one["frames"]) for one in shown],
                note=f"{rest:,} more in --json." if rest > 0 else "",
            )
        ],
    )


def _pages(document: Document) -> Iterator[Section]:
    runs = document["pages"]
    if runs is None:
        return
    shown = runs[:_MOST_RUNS]
    yield Section(
        title="Page by page",
        lead=f"{counted(len(runs), 'stretch', 'stretches')} of pages of which the same holds.",
        tables=[
            Table(
                title="Pages",
                columns=(
                    "from",
                    "to",
                    "pages",
                    "why",
                    "equal to",
                    "mapped",
                    "merged with",
                    "ksmd's last",
                ),
                units=("text", "text", "pages", "text", "pages", "", "text", "text"),
                rows=[
                    (
                        one["start"].removeprefix("0x"),
                        one["end"].removeprefix("0x"),
                        one["pages"],
                        _word(Reason[one["reason"].upper()]),
                        one["equal_pages"],
                        one["mappings"],
                        " ".join(map(str, one["merged_with_pids"])) or None,
                        (one["last_decision"] or "").replace("_", " ") or None,
                    )
                    for one in shown
                ],
                note=f"{len(runs) - len(shown):,} more in --json." if runs[_MOST_RUNS:] else "",
            )
        ],
    )
