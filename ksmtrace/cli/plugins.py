"""`ksmtrace plugins`: what is installed."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ksmtrace.cli.options import Verbs


def add_parser(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "plugins",
        help="list the plugins that are installed",
        description="List built-in plugins and those that other packages add.",
    )
    parser.add_argument("--json", action="store_true", help="JSON on stdout instead of text")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """List them; returns the exit status."""
    from ksmtrace import __version__
    from ksmtrace.pipeline.manager import installed_plugins

    found = installed_plugins()
    if options.json:
        document = {"version": __version__, "plugins": [asdict(info) for info in found]}
        print(json.dumps(document, indent=2))
        return 0
    width = max(len(info.name) for info in found)
    for info in found:
        print(f"{info.name:{width}}  {info.role or 'plugin':8}  {info.origin:10}  {info.does}")
    return 0
