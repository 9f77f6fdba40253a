"""Replaces the generated part of a document, between two marks."""

import re
from pathlib import Path

DOCS = Path(__file__).parent.parent.parent / "docs"


def with_part(text: str, name: str, part: str) -> str:
    """The document with `part` between its marks for `name`, whatever was there before."""
    begin, end = f"<!-- made by `make docs`: {name} -->", f"<!-- end of {name} -->"
    marked = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if len(marked.findall(text)) != 1:
        raise ValueError(f"the document has not one part {begin}")
    return marked.sub(lambda _: f"{begin}\n{part}\n{end}", text)
