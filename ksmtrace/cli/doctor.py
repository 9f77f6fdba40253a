"""`ksmtrace doctor`: what this host lets ksmtrace see, how exactly, and how to see more."""

from __future__ import annotations

import shutil
import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from ksmtrace.cli.formats import add_format_options, print_json
from ksmtrace.errors import ExitStatus

if TYPE_CHECKING:
    from ksmtrace.cli.options import Verbs

_WIDEST = 120
_DESCRIPTION = """\
Say what `live` will show on this host, how exactly, why not better, and what to
do about it; and which features this kernel's KSM has. Changes nothing. Works
without root, and then says what root is needed for.
"""


def add_parser(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "doctor",
        help="say what can be seen on this host, how exactly, and why not better",
        description=_DESCRIPTION,
        epilog="exit status: 0 where `live` would run, else 3",
    )
    add_format_options(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Examine the host; returns 0 when tracing would work, else 3."""
    from ksmtrace.doctor import examine
    from ksmtrace.doctor.text import to_text
    from ksmtrace.drawing.lines import WIDTH

    report = examine()
    if options.json:
        print_json(report.to_json())
    else:
        columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH
        print(to_text(report, max(WIDTH, min(columns, _WIDEST))))
    return ExitStatus.DONE if report.able else ExitStatus.HOST_CANNOT
