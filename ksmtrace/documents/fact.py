"""Declares the keys of documents that are no figures of an analyzer."""

from __future__ import annotations

from ksmtrace.figures import FigureSpec
from ksmtrace.session import Exactness


def fact(
    key: str,
    unit: str,
    help_text: str,
    *of: FigureSpec,
    one_of: tuple[str, ...] = (),
    null: bool = False,
    optional: bool = False,
) -> FigureSpec:
    """A key that is always there, and not null, unless something else is said."""
    return FigureSpec(key, unit, help_text, of=of, one_of=one_of, null=null, optional=optional)


VERSION = (
    fact("schema_version", "text", "Of the JSON Schema that the document follows."),
    fact("version", "text", "Of ksmtrace."),
)
"""The first keys of every document."""

PROBE = (
    fact("via", "text", 'How the event is seen: the attach points; "" where it is absent.'),
    fact(
        "exactness",
        "text",
        "What the count is worth.",
        one_of=tuple(one.value for one in Exactness),
    ),
    fact("note", "text", "What that way cannot know, or why a better one is out."),
)
"""How a kind of event is seen."""

KERNEL_AND_PAGES = fact(
    "kernel",
    "",
    "The running kernel.",
    fact("release", "text", "`uname -r`."),
    fact("page_size_bytes", "bytes", "Of a small page."),
)
"""Of documents about the memory of processes."""

PROCESSES_UNREAD = fact(
    "processes_unread[]",
    "",
    "Processes that could not be read.",
    fact("pid", "count", "Its pid."),
    fact("name", "text", "Its name."),
    fact("reason", "text", "Why."),
)
"""Of those that look at many processes."""
