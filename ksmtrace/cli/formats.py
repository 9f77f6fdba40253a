"""`--format`, which names what is printed, and `--json`, which is short for one of them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

FORMATS = ("text", "json", "events", "check")
"""What a verb may print; each except text is also the option of that name."""


class _Named(argparse.Action):
    """Sets the option that a format is named by."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """As argparse."""
        del parser, option_string
        setattr(namespace, self.dest, values)
        if values != "text":
            setattr(namespace, str(values), True)


def add_format_options(parser: argparse.ArgumentParser, *besides: str) -> None:
    """`--json`, and `--format` with text, json and what the verb prints besides."""
    names = ("text", "json", *besides)
    also = ", --".join(names[1:])
    parser.add_argument("--json", action="store_true", help="JSON on stdout instead of text")
    parser.add_argument(
        "--format",
        action=_Named,
        choices=names,
        default=None,
        metavar="FORMAT",
        help=f"{', '.join(('text (default)', *names[1:-1]))} or {names[-1]}; also --{also}",
    )


def print_json(document: Mapping[str, Any]) -> None:
    """Print one document on stdout, and nothing else."""
    print(json.dumps(document, indent=2))
