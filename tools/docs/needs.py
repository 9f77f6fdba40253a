"""The tables of capabilities of docs/SECURITY.md: `make docs`."""

from ksmtrace.kernel.needs import PURPOSES
from tools.docs.marked import DOCS, with_part
from tools.needs import markdown_table, read_results

DOCUMENT = DOCS / "SECURITY.md"


def purposes_table() -> str:
    """One row for each capability."""
    lines = ["| capability | what is not seen, or not done, without it |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {text} |" for name, text in PURPOSES.items())])


def with_tables(text: str) -> str:
    """The document with the tables as they should be."""
    text = with_part(text, "capabilities", markdown_table(read_results()))
    return with_part(text, "purposes", purposes_table())


if __name__ == "__main__":
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text()))
