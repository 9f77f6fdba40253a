"""`ksmtrace doctor`: what this host lets ksmtrace see, and what is missing."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import TYPE_CHECKING

from ksmtrace.errors import ExitStatus

if TYPE_CHECKING:
    from ksmtrace.cli.options import Verbs


def add_parser(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "doctor",
        help="say what can be seen on this host, and why not more",
        description="Check kernel, KSM, privileges and bcc, and list what would attach. Changes nothing.",
    )
    parser.add_argument("--json", action="store_true", help="JSON on stdout instead of text")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Examine the host; returns 0 when tracing would work, else 3."""
    from ksmtrace.doctor import examine

    report = examine()
    if options.json:
        print(json.dumps(report.to_json(), indent=2))
    else:
        print(report.to_text())
    return ExitStatus.DONE if report.able else ExitStatus.HOST_CANNOT
