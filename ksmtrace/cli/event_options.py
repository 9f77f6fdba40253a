"""`--events`: the stream of events as text, instead of what a run answers."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from ksmtrace.errors import KsmtraceError

if TYPE_CHECKING:
    from ksmtrace.listing.choice import Choice, Span
    from ksmtrace.sources import Source

_CHOOSING = {"mm": "--mm", "pid": "--pid", "kind": "--kind", "address": "--address"} | {
    "passes": "--pass"
}

_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]+")
_MOST_DIGITS = 40
_MOST_SHOWN = 60


def add_event_options(parser: argparse.ArgumentParser) -> None:
    """`--events`, and which of them."""
    group = parser.add_argument_group(
        "events as text",
        "With --events one line an event is printed, by the kernel's function names, and nothing "
        "else; the options below choose among them.",
    )
    group.add_argument("--events", action="store_true", help="print the stream of events")
    for name, metavar, what in (
        ("mm", "ADDRESS", "of this mm_struct"),
        ("pid", "PID", "of this process"),
        ("kind", "NAME", "of this kind or function, as skipped or cmp_and_merge_page"),
        ("address", "A[-B]", "about pages from address A to B"),
        ("passes", "N[-M]", "in ksmd's passes N to M"),
    ):
        # not nargs="+", which would take the file behind it for one more value
        group.add_argument(
            _CHOOSING[name],
            dest=f"events_{name}",
            type=lambda text: text.split(","),
            action="extend",
            default=[],
            metavar=f"{metavar},...",
            help=f"only events {what}",
        )


def check_event_options(options: argparse.Namespace, refused: dict[str, str]) -> None:
    """Refuse what does not go together.

    Args:
        options: of the command line.
        refused: options that have no meaning with --events, by attribute; set where not false.

    Raises:
        KsmtraceError: something is set that has no meaning.
    """
    if not options.events:
        for name, option in _CHOOSING.items():
            if getattr(options, f"events_{name}"):
                raise KsmtraceError(f"{option} chooses among events: give --events too")
        return
    for name, option in refused.items():
        if getattr(options, name):
            raise KsmtraceError(f"--events prints events and nothing else: leave out {option}")


def print_events(options: argparse.Namespace, source: Source) -> None:
    """Print the chosen events of `source`.

    Raises:
        KsmtraceError: an option's value makes no sense.
    """
    from ksmtrace.listing.lines import event_lines

    for line in event_lines(source.batches(), event_choice(options), source.session):
        print(line)


def event_choice(options: argparse.Namespace) -> Choice:
    """What the options choose.

    Raises:
        KsmtraceError: a value makes no sense.
    """
    from ksmtrace.listing.choice import Choice, kind_named

    try:
        kinds = tuple(kind_named(text) for text in options.events_kind)
    except ValueError as error:
        raise KsmtraceError(f"--kind: {error}") from error
    return Choice(
        kinds,
        tuple(_number("--mm", text) for text in options.events_mm),
        tuple(_number("--pid", text) for text in options.events_pid),
        tuple(_span("--address", text) for text in options.events_address),
        tuple(_span("--pass", text) for text in options.events_passes),
    )


def _span(option: str, text: str) -> Span:
    from ksmtrace.listing.choice import Span

    first, dash, last = text.partition("-")
    low = _number(option, first, text)
    high = _number(option, last, text) if dash else low
    if high < low:
        raise KsmtraceError(f"{option}: {text[:_MOST_SHOWN]!r} ends before it begins")
    return Span(low, high)


def _number(option: str, text: str, whole: str | None = None) -> int:
    """The number that is `text`; `whole` is what was given, of which it is a part."""
    given = repr((text if whole is None else whole)[:_MOST_SHOWN])
    if not _NUMBER.fullmatch(text):
        ends = "" if whole is None else " or two with a dash in between"
        raise KsmtraceError(
            f"{option}: {given} is not a number{ends} (hexadecimal ones begin with 0x)"
        )
    if len(text) > _MOST_DIGITS or (number := int(text, 0 if "x" in text.lower() else 10)) >> 64:
        raise KsmtraceError(f"{option}: {given} is not a number of 64 bits")
    return number
