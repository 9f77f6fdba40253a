"""Writes a workload as TOML, for round trips and to keep one that failed."""

import json

from ksmtrace.workload.content import Content
from ksmtrace.workload.file import Workload


def to_toml(workload: Workload) -> str:
    """Text that parses to an equal workload."""
    lines = [f"name = {value(workload.name)}", f"variant = {value(workload.variant)}"]
    if workload.nodes != 1:
        lines.append(f"nodes = {workload.nodes}")
    if workload.tunables:
        lines += ["", "[tunables]"]
        lines += [f"{name} = {value(setting)}" for name, setting in workload.tunables.items()]
    for step in workload.steps:
        lines += ["", "[[step]]", f"op = {value(step.op)}"]
        lines += [f"{key} = {value(argument)}" for key, argument in step.arguments.items()]
    return "\n".join(lines) + "\n"


def value(of: object) -> str:
    """A value in TOML."""
    if isinstance(of, bool):
        return "true" if of else "false"
    if isinstance(of, int):
        return str(of)
    if isinstance(of, Content | str):
        # JSON's escapes are TOML's, except DEL, which JSON leaves as it is, and surrogate pairs
        return json.dumps(str(of), ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(of, dict):
        return "{ " + ", ".join(f"{key} = {value(entry)}" for key, entry in of.items()) + " }"
    raise TypeError(f"{of!r}")
