"""The part of the document of `why` that is about nearly equal pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ksmtrace.why.fields import Field
from ksmtrace.why.kinds import LOOKS
from ksmtrace.why.neighbours import Near
from ksmtrace.why.survey import Area
from ksmtrace.why.why import Answer

MOST_SHAPES = 1000
"""Ways to differ in the document, those of most pages."""
_LEAST_RISING = 3

Shape = tuple[tuple[int, int, int, str], ...]


def near_of(answer: Answer, *, show_bytes: bool) -> dict[str, Any]:
    """What was found of nearly equal pages."""
    found = answer.neighbours
    assert found is not None, "somebody asked for it"
    kinds: Counter[tuple[int, str]] = Counter()
    octets: Counter[tuple[int, str]] = Counter()
    for one in found.near:
        for kind in {(field.look, field.detail) for field in one.fields}:
            kinds[kind] += 1
        for field in one.fields:
            octets[field.look, field.detail] += _differing(field)
    shapes, changes = (_shapes(answer, one) for one in (found.near, found.changed))
    return {
        "asked_pages": found.asked,
        "compared_pages": found.compared,
        "left_out_pages": found.left_out,
        "near_pages": len(found.near),
        "kinds": [
            {**_kind(*kind), "pages": count, "differing_bytes": octets[kind]}
            for kind, count in kinds.most_common()
        ],
        "shapes": [
            _shape(answer, area, places, show_bytes=show_bytes)
            for area, places in shapes[:MOST_SHAPES]
        ],
        "watched_pages": found.watched,
        "changed_pages": len(found.changed),
        "changes": [
            _shape(answer, area, places, show_bytes=show_bytes)
            for area, places in changes[:MOST_SHAPES]
        ],
    }


def _differing(field: Field) -> int:
    return sum(a != b for a, b in zip(field.own, field.other, strict=True))


def _kind(look: int, detail: str) -> dict[str, Any]:
    kind = next(one for one in LOOKS if one == look)
    return {"kind": kind.key, "meaning": LOOKS[kind], "detail": detail}


def _shapes(answer: Answer, found: Sequence[Near]) -> list[tuple[Area, list[Near]]]:
    """Near pages by mapping and by the fields in which they differ, most pages first."""
    groups: dict[tuple[int, Shape], list[Near]] = {}
    areas = iter(enumerate(answer.areas))
    index, area = next(areas)
    for one in sorted(found, key=lambda near: near.place):
        while one.place >= area.end:
            index, area = next(areas)
        shape = tuple((f.offset, f.length, int(f.look), f.detail) for f in one.fields)
        groups.setdefault((index, shape), []).append(one)
    order = sorted(groups.items(), key=lambda item: -len(item[1]))
    return [(answer.areas[index], places) for (index, _), places in order]


def _shape(
    answer: Answer, area: Area, found: Sequence[Near], *, show_bytes: bool
) -> dict[str, Any]:
    first = found[0]
    target = answer.compared.processes[first.other].target
    return {
        "mapping_start": f"{area.mapping.start:#x}",
        "mapping_name": area.mapping.name,
        "pages": len(found),
        "differing_bytes": max(one.differing_bytes for one in found),
        "example": {
            "address": f"{int(answer.pages.address[first.place]):#x}",
            "other_pid": target.pid,
            "other_name": target.name,
            "other_address": f"{first.other_address:#x}",
        },
        "differences": [
            _difference(found, at, show_bytes=show_bytes) for at in range(len(first.fields))
        ],
    }


def _difference(found: Sequence[Near], at: int, *, show_bytes: bool) -> dict[str, Any]:
    field = found[0].fields[at]
    values = [int.from_bytes(one.fields[at].own, "little") for one in found]
    rising = len(values) >= _LEAST_RISING and (
        values == sorted(values) or values == sorted(values, reverse=True)
    )
    return {
        "offset": field.offset,
        "length": field.length,
        **_kind(field.look, field.detail),
        "monotone": rising and values[0] != values[-1],
        "bytes": field.own.hex(" ") if show_bytes else None,
        "other_bytes": field.other.hex(" ") if show_bytes else None,
    }
