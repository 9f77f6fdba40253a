"""Options of the verbs that look at the memory of processes: how often, how far apart, how fast."""

from __future__ import annotations

import argparse

from ksmtrace.cli.options import bytes_of, positive_seconds

_MOST_LOOKS = 100
_DEFAULT_RATE = 512 << 20


def add_looking_options(parser: argparse.ArgumentParser) -> None:
    """`--looks`, `--every` and `--max-bytes-per-second`."""
    parser.add_argument(
        "--looks",
        type=_looks,
        default=2,
        metavar="N",
        help="looks at each page (default 2): what changes between two is left alone by ksmd; with "
        "1 nothing is known to change",
    )
    parser.add_argument(
        "--every",
        type=positive_seconds,
        default=5.0,
        metavar="S",
        help="seconds between two looks (default 5)",
    )
    parser.add_argument(
        "--max-bytes-per-second",
        type=_rate,
        default=_DEFAULT_RATE,
        metavar="B",
        help=f"read no faster (default {_DEFAULT_RATE >> 20}MiB)",
    )


def _looks(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= _MOST_LOOKS):
        raise argparse.ArgumentTypeError(f"{text[:60]!r} is no number of looks, 1 to {_MOST_LOOKS}")
    return int(text)


def _rate(text: str) -> float:
    try:
        found = bytes_of(text)
    except ValueError:
        found = 0.0
    if not 1 << 12 <= found < 1 << 50:
        raise argparse.ArgumentTypeError(
            f"{text[:60]!r} is no size of a page or more, as 100MiB or 1GiB"
        )
    return found
