"""The tables of ARCHITECTURE.md: what is in each folder, and which may import which. `make docs`.

A folder's row is the first line of its package's docstring; the floors are those that the contract
tests hold the imports against.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from tools.docs.marked import DOCS, with_part
from tools.structure import FLOORS, REPOSITORY

DOCUMENT = DOCS.parent / "ARCHITECTURE.md"

BEYOND = {
    "tests": "`unit/` mirrors the code; `contract/` is about the tree as a whole; `replay/` needs "
    "no "
    "kernel; `live/` needs this one, and runs again in the guests of `vm/`; `bench/` measures; "
    "`fuzz/` gives readers any bytes",
    "tools": "Generators of documents, pictures and dashboards; checks of types and structure.",
}
"""Folders that are not in the wheel."""


def folders_table() -> str:
    """One row for each package, those of plugins and of `BEYOND` in one row each."""
    rows = [f"| `{folder}/` | {text} |" for folder, text in (*_packages(), *BEYOND.items())]
    return "\n".join(["| folder | what it is |", "|---|---|", *rows])


def _packages() -> Iterator[tuple[str, str]]:
    for init in sorted((REPOSITORY / "ksmtrace").rglob("*/__init__.py")):
        yield str(init.parent.relative_to(REPOSITORY)), first_line(init)
    for name in ("plugins", "bpf", "dashboards"):
        yield name, first_line(REPOSITORY / name / "__init__.py")


def first_line(path: Path) -> str:
    """The first line of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def floors_list() -> str:
    """The floors of `tools/structure.py`, lowest first."""
    return "\n".join(f"1. {', '.join(map(_shown, sorted(floor)))}" for floor in FLOORS)


def _shown(part: str) -> str:
    return f"`{part.replace('.', '/') or 'ksmtrace'}`"


def with_tables(text: str) -> str:
    """The document with both parts as they should be."""
    return with_part(with_part(text, "folders", folders_table()), "floors", floors_list())


if __name__ == "__main__":
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text()))
