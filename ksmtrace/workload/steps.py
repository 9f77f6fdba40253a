"""The ops of workload files: which keys each takes, of what type and in what range."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ksmtrace.engine.machine.checksum import PAGE_SIZE
from ksmtrace.workload.content import Content
from ksmtrace.workload.footprint import MOST_PAGES
from ksmtrace.workload.tunables import check_tunables, shown

MOST_SCANS = 1_000_000
"""How many passes or batches one `scan` may have."""

MOST_NODES = 64
"""Of NUMA."""

_NAME_LENGTH = 100

Check = Callable[[object], Any]


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a step: how its value is checked, and its default; None leaves it out."""

    check: Check
    required: bool = True
    default: Any = None


def check_name(value: object) -> str:
    """A name of a process, region, snapshot or workload.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not a string")
    if not 0 < len(value) <= _NAME_LENGTH:
        raise ValueError(f"{shown(value)} is not of 1 to {_NAME_LENGTH} characters")
    if "/" in value or not value.isprintable():
        raise ValueError(f"{shown(value)} has a slash or a character that cannot be printed")
    return value


def parse_arguments(op: object, table: Mapping[str, object]) -> dict[str, Any]:
    """The arguments of a step, checked, with defaults filled in; `pages` stays open where it is.

    Raises:
        ValueError: the op is unknown, a key is missing or unknown, or a value is wrong.
    """
    if not isinstance(op, str) or op not in OPS:
        raise ValueError(f"unknown op {shown(op)} (known: {', '.join(OPS)})")
    keys = OPS[op]
    for name in table:
        if name not in keys:
            raise ValueError(f"unknown key {shown(name)} (known: {', '.join(keys)})")
    arguments = {}
    for name, key in keys.items():
        if name in table:
            try:
                arguments[name] = key.check(table[name])
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        elif key.required:
            raise ValueError(f"key {name!r} is missing")
        elif key.default is not None:
            arguments[name] = key.default
    _check_together(op, arguments)
    return arguments


def _check_together(op: str, arguments: Mapping[str, Any]) -> None:
    if op == "scan" and len(arguments) != 1:
        raise ValueError("takes either passes or batches")
    if op == "merge_any" and arguments["by"] == "madvise" and not arguments["on"]:
        raise ValueError("on = false goes with by = 'prctl' alone: use unmergeable")


def _integer(least: int, most: int) -> Check:
    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{shown(value)} is not an integer")
        if not least <= value <= most:
            raise ValueError(f"{shown(value)} is not in {least} to {most}")
        return value

    return check


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{shown(value)} is not true or false")
    return value


def _content(value: object) -> Content:
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not a string")
    return Content.parse(value)


def _settings(value: object) -> dict[str, int | str]:
    if not isinstance(value, dict) or not value:
        raise ValueError(f"{shown(value)} is not a table of tunables")
    return dict(check_tunables(value))


def _way(value: object) -> str:
    if value not in ("prctl", "madvise"):
        raise ValueError(f"{shown(value)} is not prctl or madvise")
    return str(value)


def _run_value(value: object) -> int:
    if value == 1 and not isinstance(value, bool):
        raise ValueError("1 would run freely: use scan")
    if isinstance(value, bool) or value not in (0, 2):
        raise ValueError(f"{shown(value)} is not 0 or 2")
    return 0 if value == 0 else 2


_PROCESS = {"process": Key(check_name)}
_RANGE = {
    **_PROCESS,
    "region": Key(check_name),
    "first": Key(_integer(0, MOST_PAGES - 1), required=False, default=0),
    "pages": Key(_integer(1, MOST_PAGES), required=False),
}
_TIMES = Key(_integer(1, MOST_SCANS), required=False)

OPS: Mapping[str, Mapping[str, Key]] = {
    "spawn": _PROCESS,
    "map": {
        **_PROCESS,
        "region": Key(check_name),
        "pages": Key(_integer(1, MOST_PAGES)),
        "huge": Key(_flag, required=False, default=False),
    },
    "fill": {**_RANGE, "content": Key(_content)},
    "poke": {
        **_RANGE,
        "offset": Key(_integer(0, PAGE_SIZE - 1)),
        "value": Key(_integer(0, 255)),
    },
    "read": _RANGE,
    "mergeable": _RANGE,
    "unmergeable": _RANGE,
    "discard": _RANGE,
    "unmap": _RANGE,
    "place": {**_PROCESS, "region": Key(check_name), "node": Key(_integer(0, MOST_NODES - 1))},
    "pin": _RANGE,
    "merge_any": {
        **_PROCESS,
        "on": Key(_flag, required=False, default=True),
        "by": Key(_way, required=False, default="prctl"),
    },
    "fork": {**_PROCESS, "child": Key(check_name)},
    "exit": _PROCESS,
    "set": {"tunables": Key(_settings)},
    "run": {"value": Key(_run_value)},
    "scan": {"passes": _TIMES, "batches": _TIMES},
    "snapshot": {"name": Key(check_name), "groups": Key(_flag, required=False, default=False)},
}
"""Every op, with the keys that it takes besides `op`."""
