"""Short notation for workloads: `workload("map a r 12", "fill a r content=zero", …)`."""

import tomllib

from ksmtrace.workload.file import Workload, parse_workload
from ksmtrace.workload.steps import OPS


def workload_toml(*rows: str, name: str = "test", **tunables: int) -> str:
    """The text of a workload file: each row is an op, its names in their order, and `key=value` for
    the rest.

    A bare number is `pages`, `passes` or `value`, whichever the op takes.
    """
    text = f'name = "{name}"\n[tunables]\n'
    text += "".join(f"{key} = {value}\n" for key, value in tunables.items())
    for row in rows:
        op, *words = row.split()
        text += f'[[step]]\nop = "{op}"\n'
        names = [key for key in OPS[op] if key in ("process", "region", "child", "name")]
        for word in words:
            if "=" in word:
                key, _, value = word.partition("=")
            elif word.isdecimal():
                key = next(key for key in OPS[op] if key in ("pages", "passes", "value"))
                value = word
            else:
                key, value = names.pop(0), word
            text += f"{key} = {_literal(value)}\n"
    return text


def workload(*rows: str, **tunables: int) -> Workload:
    """The workload of those rows."""
    return parse_workload(workload_toml(*rows, **tunables).encode(), "test")


def _literal(value: str) -> str:
    try:
        tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return f'"{value}"'
    return value
