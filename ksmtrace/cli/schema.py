"""`ksmtrace schema`: the JSON Schema of what --json prints."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from ksmtrace.cli.formats import print_json

if TYPE_CHECKING:
    from ksmtrace.cli.options import Verbs

DOCUMENTS = ("run", "simulate", "whatif", "estimate", "why", "audit", "doctor", "plugins")
"""The names of `ksmtrace.documents.json_schema.DOCUMENTS`, which takes long to load."""


def add_parser(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "schema",
        help="print the JSON Schema of a document that --json prints",
        description="Print the JSON Schema of a document: run is that of live, record, demo, "
        "replay and report, the others are named after their verb. Each document says in "
        "schema_version which one it follows.",
    )
    parser.add_argument(
        "document", metavar="DOCUMENT", choices=DOCUMENTS, help=", ".join(DOCUMENTS)
    )
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Print it; returns the exit status."""
    from ksmtrace.documents.json_schema import schema

    print_json(schema(options.document))
    return 0
