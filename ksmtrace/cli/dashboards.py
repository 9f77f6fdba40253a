"""`ksmtrace dashboards`: Grafana's dashboards and Prometheus's rules, as files."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING

from ksmtrace.errors import ExitStatus

if TYPE_CHECKING:
    from ksmtrace.cli.options import Verbs

_DESCRIPTION = """\
Write the Grafana dashboards (DIR/*.json) and the Prometheus recording and
alert rules (DIR/rules/ksmtrace.rules.yaml) that go with `live --listen`. Needs
neither root nor network.

Older files of the same names are replaced; files of these names that are not
of ksmtrace are left alone, and nothing is written then.
"""


def add_parser(verbs: Verbs) -> None:
    """Add the verb."""
    parser: ArgumentParser = verbs.add_parser(
        "dashboards",
        help="write Grafana dashboards and Prometheus rules",
        description=_DESCRIPTION,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-o", dest="output", metavar="DIR", required=True, help="made if it is not there"
    )
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Write them and say where; returns the exit status."""
    from ksmtrace.dashboards.write import write_dashboards

    for path in write_dashboards(options.output):
        print(path)
    return ExitStatus.DONE
