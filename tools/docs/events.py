"""docs/EVENTS.md: what each event and each column is, from the code that defines them.

`make docs` writes it.
"""

import ast
import inspect
from collections.abc import Iterator
from enum import IntEnum

from ksmtrace.capture.schema import UNITS
from ksmtrace.events import kinds
from tools.docs.marked import DOCS

DOCUMENT = DOCS / "EVENTS.md"

HEAD = """# Events

Made by `make docs` from `ksmtrace/events/kinds.py`. An event is a record of 64 bytes
([ARCHITECTURE.md](../ARCHITECTURE.md#the-record)), a row of a [capture](CAPTURES.md), and a line of
[`--events`](REFERENCE.md#events-as-text). How each kind is seen on which kernel:
[PROBES.md](PROBES.md#probes).

`mm`, `rmap_item` and `stable_node` are the kernel's addresses of those structs, used as keys;
`address` is the user virtual address of a page; `pfn` is 0 where this kernel cannot tell it.

## Columns
"""

_READINGS = (kinds.LossCause, kinds.ProcessText, kinds.ProcessGauge, kinds.Gauge)


def document() -> str:
    """The whole of it."""
    columns = ["| column | what it holds |", "|---|---|"]
    columns += [f"| `{name}` | {unit} |" for name, unit in UNITS.items()]
    rows = ["| kind | number | what happened, and what its columns are |", "|---|---|---|"]
    rows += [
        f"| {name} | {kinds.EventKind[name].value} | {text} |"
        for name, text in _members(kinds.EventKind)
    ]
    parts = [HEAD, *columns, "", "## Kinds", "", *rows, "", "## Numbers in them", ""]
    for numbers in _READINGS:
        parts += [f"### {numbers.__name__}", "", inspect.getdoc(numbers) or "", ""]
        parts += [f"- {one.value}: {one.name}" for one in numbers]
        parts.append("")
    flags = inspect.getdoc(kinds.Flag) or ""
    parts += ["### Flag", "", flags, ""]
    parts += [f"- {flag.value:#04x}: {name}" for name, flag in kinds.Flag.__members__.items()]
    return "\n".join([*parts, ""])


def _members(numbers: type[IntEnum]) -> Iterator[tuple[str, str]]:
    """Name and docstring of each member, on one line, fit for a cell."""
    (found,) = ast.parse(inspect.getsource(numbers)).body
    assert isinstance(found, ast.ClassDef)
    name = ""
    for node in found.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]):
                pass
            case ast.Expr(value=ast.Constant(value=str(text))) if name:
                yield name, " ".join(text.split()).replace("|", "\\|").replace("*_", "\\*_")


if __name__ == "__main__":
    DOCUMENT.write_text(document())
