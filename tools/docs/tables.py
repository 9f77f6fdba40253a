"""Tables of docs/FEATURES.md and docs/HOW_IT_WORKS.md, made from the code: `make docs`."""

from pathlib import Path

from ksmtrace.kernel.features import FEATURES
from tools.costs import default_table, read_results
from tools.docs.marked import DOCS, with_part


def features() -> str:
    """One row for each feature of KSM, oldest first."""
    lines = ["| feature | Linux | commit | what it gives | found by |", "|---|---|---|---|---|"]
    for one in FEATURES:
        commit = f"`{one.commit}`" if one.commit else ""
        lines.append(f"| {one.name} | {one.introduced} | {commit} | {one.gives} | {one.found_by} |")
    return "\n".join(lines)


MADE = {
    DOCS / "FEATURES.md": ("features", features),
    DOCS / "HOW_IT_WORKS.md": ("default costs", lambda: default_table(read_results())),
}
"""By document: the mark of its table, and what makes it."""


def with_table(path: Path, text: str) -> str:
    """The document of this path with its table as it should be."""
    name, make = MADE[path]
    return with_part(text, name, make())


if __name__ == "__main__":
    for document in MADE:
        document.write_text(with_table(document, document.read_text()))
