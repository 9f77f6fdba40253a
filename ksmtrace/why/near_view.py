"""What `why` found of nearly equal pages, as a section."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ksmtrace.section import Section, Table
from ksmtrace.units import counted

Document = Mapping[str, Any]

_MOST_SHAPES = 15
_MOST_FIELDS = 12


def near_sections(document: Document) -> Iterator[Section]:
    """One section, where a near page was sought of any."""
    near = document["near"]
    if near is None or not (near["asked_pages"] or near["watched_pages"]):
        return
    left_out = near["left_out_pages"]
    yield Section(
        title="What keeps unique pages apart",
        lead=(
            f"{near['near_pages']:,} of {counted(near['asked_pages'], 'unique page')} differ from "
            "another page in 256 bytes or less"
            + (": without these they would merge." if near["near_pages"] else ".")
        ),
        tables=[
            _kinds(near),
            _shapes(near["shapes"], "Where they differ"),
            _shapes(near["changes"], "Where changing pages changed within a second"),
        ],
        exactness=(
            "derived: found by hashes of blocks, so that pages that differ in more than half of "
            "their 64 blocks may be missed; what bytes are is a guess by their values"
            + (f"; {counted(left_out, 'page')} were not compared with" if left_out else "")
        ),
    )


def _kinds(near: Document) -> Table:
    return Table(
        title="What the differing bytes look like",
        columns=("bytes that are a", "more", "pages", "differing bytes"),
        units=("text", "text", "pages", ""),
        rows=[
            (one["meaning"], one["detail"], one["pages"], one["differing_bytes"])
            for one in near["kinds"]
        ],
    )


def _shapes(shapes: list[Document], title: str) -> Table:
    shown = shapes[:_MOST_SHAPES]
    rest = len(shapes) - len(shown)
    return Table(
        title=title,
        columns=("mapping", "pages", "an example", "its nearest", "at offsets"),
        units=("text", "pages", "text", "text", "text"),
        rows=[
            (
                one["mapping_name"] or one["mapping_start"].removeprefix("0x"),
                one["pages"],
                one["example"]["address"].removeprefix("0x"),
                f"{one['example']['other_address'].removeprefix('0x')} of "
                f"{one['example']['other_name']} ({one['example']['other_pid']})",
                _offsets(one["differences"]),
            )
            for one in shown
        ],
        note=f"{counted(rest, 'more way', 'more ways')} to differ in --json." if rest > 0 else "",
    )


def _offsets(differences: list[Document]) -> str:
    told = [_told(one) for one in differences[:_MOST_FIELDS]]
    rest = len(differences) - len(told)
    return "; ".join(told) + (f"; {rest:,} more" if rest else "")


def _told(difference: Document) -> str:
    rises = ", monotone" if difference["monotone"] else ""
    detail = f" {difference['detail']}" if difference["detail"] else ""
    kind = "?" if difference["kind"] == "unknown" else difference["kind"]
    told = f"{difference['offset']:#x}+{difference['length']} {kind}{detail}{rises}"
    if difference["bytes"] is not None:
        told += f" [{difference['bytes']} / {difference['other_bytes']}]"
    return told
