"""Command-line options of recordings that are bounded, and what they ask for."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TypedDict

from ksmtrace.capture.bounds import Bounds
from ksmtrace.cli.options import bytes_of
from ksmtrace.errors import KsmtraceError
from ksmtrace.pipeline.condition import Condition

_MOST_DIGITS = 12
_MOST_BYTES = 1 << 60


class Recording(TypedDict):
    """Options of a run about its recording, by their names in `RunOptions`."""

    most_bytes: int | None
    keep: int | None
    ends_when_full: bool
    dump_when: Condition | None


def add_recording_options(parser: ArgumentParser) -> None:
    """How large a recording may become."""
    parser.add_argument(
        "--max-size",
        type=_size,
        metavar="SIZE",
        help="end the recording at this size, as 500MiB or 2GiB; with --keep, remove the oldest "
        "part of it instead",
    )
    parser.add_argument(
        "--keep",
        type=_count,
        metavar="N",
        help="keep the last N segments only, each of SIZE / N (256 MiB without --max-size): a "
        "flight recorder; SIGUSR1 saves what it holds as FILE.dump1, FILE.dump2, …",
    )
    parser.add_argument(
        "--dump-when",
        type=_condition,
        metavar="CONDITION",
        help="with --keep: save it also whenever a figure of the JSON document becomes so, as "
        "'events.lost>0' or 'analyzers.cow.user_pages>1000'",
    )


def recording(asked: Namespace) -> Recording:
    """What the options ask for; verbs without them ask for nothing.

    Raises:
        KsmtraceError: they contradict each other.
    """
    most = getattr(asked, "max_size", None)
    keep = getattr(asked, "keep", None)
    condition = getattr(asked, "dump_when", None)
    if asked.record is None and not (most is keep is condition is None):
        raise KsmtraceError(
            "--max-size, --keep and --dump-when are about a recording: give --record"
        )
    if condition is not None and keep is None:
        raise KsmtraceError("--dump-when saves what --keep holds: give --keep too")
    Bounds(most, keep)
    return Recording(
        most_bytes=most,
        keep=keep,
        ends_when_full=asked.verb == "record",
        dump_when=condition,
    )


def _size(text: str) -> int:
    try:
        size = int(bytes_of(text))
    except ValueError:
        size = -1
    if not 0 <= size < _MOST_BYTES:
        raise ArgumentTypeError(f"{text[:60]!r} is no size: give bytes, or as 500MiB or 2GiB")
    return size


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise ArgumentTypeError(f"{text!r} is no number of segments")
    return int(text)


def _condition(text: str) -> Condition:
    try:
        return Condition.parse(text)
    except KsmtraceError as error:
        raise ArgumentTypeError(str(error)) from error
