"""Workload files: TOML with what processes do to their memory and when ksmd scans."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ksmtrace.engine.variants import NEWEST, VARIANTS
from ksmtrace.errors import KsmtraceError
from ksmtrace.workload.footprint import Footprint
from ksmtrace.workload.steps import MOST_NODES, OPS, check_name, parse_arguments
from ksmtrace.workload.tunables import DEFAULTS, Tunables, check_tunables, shown

MOST_BYTES = 1 << 20
MOST_STEPS = 10_000
MOST_BYTES_A_LINE = 10_000
"""Files beyond these limits are refused unread, so that none takes long or much memory."""

_KEYS = ("name", "variant", "nodes", "tunables", "step")


@dataclass(frozen=True, slots=True)
class Step:
    """One step, checked; what the file left out is filled in.

    Attributes:
        op: a key of `ksmtrace.workload.steps.OPS`.
        arguments: the step's other keys; `content` is a `Content`, everything else as in the file.
    """

    op: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload that can be run on the engine and on a kernel.

    Attributes:
        tunables: initial values of those that the file names; others have their `DEFAULTS`.
        nodes: NUMA nodes that the machine must have.
    """

    name: str
    variant: str
    tunables: Tunables
    steps: tuple[Step, ...]
    nodes: int = 1


def load_workload(path: str | Path, settings: Tunables | None = None) -> Workload:
    """The workload in a file, with `settings` in place of its initial tunables of the same name.

    Raises:
        KsmtraceError: it cannot be read, or `parse_workload` refuses it.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise KsmtraceError(f"{path}: {error.strerror or error}") from error
    return parse_workload(data, str(path), settings)


def parse_workload(data: bytes, source: str, settings: Tunables | None = None) -> Workload:
    """The workload in the bytes of a file; `source` names it in errors.

    Raises:
        KsmtraceError: one line that says what is wrong and at which step, counted from 0.
    """
    try:
        return _workload(_toml(data), settings or {})
    except ValueError as error:
        raise KsmtraceError(f"{source}: {error}") from error


def _toml(data: bytes) -> dict[str, Any]:
    if len(data) > MOST_BYTES:
        raise ValueError(
            f"larger than {MOST_BYTES} bytes: a workload has at most {MOST_STEPS} steps"
        )
    if data.count(b"[[step]]") > MOST_STEPS:
        raise ValueError(f"step {MOST_STEPS}: a workload has at most {MOST_STEPS} steps")
    for number, line in enumerate(data.split(b"\n"), start=1):
        # a dotted key of many parts, which takes tomllib quadratic time, needs a long line
        if len(line) > MOST_BYTES_A_LINE:
            raise ValueError(f"line {number} is longer than {MOST_BYTES_A_LINE} bytes")
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise ValueError("not a workload: nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"not TOML: {error}") from error


def _workload(document: Mapping[str, Any], settings: Tunables) -> Workload:
    for key in document:
        if key not in _KEYS:
            raise ValueError(f"unknown key {key[:60]!r} (known: {', '.join(_KEYS)})")
    if "name" not in document:
        raise ValueError("key 'name' is missing")
    try:
        name = check_name(document["name"])
    except ValueError as error:
        raise ValueError(f"name: {error}") from error
    tunables = _tunables(document, settings)
    tables = document.get("step")
    if not isinstance(tables, list) or not tables:
        raise ValueError("no steps: each is a table [[step]]")
    variant = check_variant(document.get("variant", NEWEST))
    nodes = _nodes(document.get("nodes", 1))
    return Workload(name, variant, tunables, _steps(tables, tunables, nodes), nodes)


def _nodes(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_NODES:
        raise ValueError(f"nodes: {shown(value)} is not in 1 to {MOST_NODES}")
    return value


def check_variant(value: object) -> str:
    """The variant of this name.

    Raises:
        ValueError: there is none, or it cannot be used.
    """
    try:
        return VARIANTS.named(str(value)).name
    except KsmtraceError as error:
        raise ValueError(str(error)) from error


def _tunables(document: Mapping[str, Any], settings: Tunables) -> Tunables:
    table = document.get("tunables", {})
    if not isinstance(table, dict):
        raise ValueError("tunables is not a table")
    try:
        return check_tunables({**table, **settings})
    except ValueError as error:
        raise ValueError(f"tunables: {error}") from error


def _steps(tables: list[Any], tunables: Tunables, nodes: int) -> tuple[Step, ...]:
    if len(tables) > MOST_STEPS:
        raise ValueError(f"step {MOST_STEPS}: a workload has at most {MOST_STEPS} steps")
    footprint = Footprint()
    pages_to_scan = {**DEFAULTS, **tunables}["pages_to_scan"]
    steps = []
    for number, table in enumerate(tables):
        op = table.get("op") if isinstance(table, dict) else None
        try:
            if op is None:
                raise ValueError("key 'op' is missing")
            rest = {key: value for key, value in table.items() if key != "op"}
            arguments = parse_arguments(op, rest)
            footprint.apply(op, arguments)
            if op == "place" and arguments["node"] >= nodes:
                raise ValueError(f"node {arguments['node']}: the file has nodes = {nodes}")
            if op == "set":
                pages_to_scan = arguments["tunables"].get("pages_to_scan", pages_to_scan)
            if op == "scan" and "passes" in arguments and pages_to_scan == 0:
                raise ValueError("with pages_to_scan = 0 no pass ever ends")
        except ValueError as error:
            known = f" ({op})" if isinstance(op, str) and op in OPS else ""
            raise ValueError(f"step {number}{known}: {error}") from error
        steps.append(Step(op, arguments))
    return tuple(steps)
