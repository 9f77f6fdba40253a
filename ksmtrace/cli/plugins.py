"""`ksmtrace plugins`: what is installed."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING

from ksmtrace.cli.formats import add_format_options, print_json

if TYPE_CHECKING:
    from ksmtrace.cli.options import Verbs


def add_parser(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "plugins",
        help="list the plugins and variants that are installed",
        description="List built-in plugins and variants of the engine, and those that other "
        "packages add.",
    )
    add_format_options(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """List them; returns the exit status."""
    from ksmtrace import SCHEMA_VERSION, __version__
    from ksmtrace.engine.variants import VARIANTS
    from ksmtrace.pipeline.manager import installed_plugins

    plugins, variants = installed_plugins(), VARIANTS.listed()
    if options.json:
        document = {
            "schema_version": SCHEMA_VERSION,
            "version": __version__,
            "plugins": [asdict(info) for info in plugins],
            "variants": [asdict(info) for info in variants],
        }
        print_json(document)
        return 0
    rows = [(info.name, info.role or "plugin", info.origin, info.does) for info in plugins]
    rows += [(info.name, "variant", info.origin, info.does) for info in variants]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    return 0
