"""The table of docs/WHY.md: why pages do not merge, with the kernel's conditions. `make docs`."""

from ksmtrace.why.reason import CONDITIONS, MEANINGS, Reason
from tools.docs.marked import DOCS, with_part

DOCUMENT = DOCS / "WHY.md"


def with_table(text: str) -> str:
    """The document with the table as it should be."""
    rows = (f"| `{one.key}` | {MEANINGS[one]} | {CONDITIONS[one] or 'none'} |" for one in Reason)
    head = ("| reason | pages that are | the kernel's condition |", "|---|---|---|")
    return with_part(text, "reasons", "\n".join([*head, *rows]))


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text()))
