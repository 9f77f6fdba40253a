"""`ksmtrace report`: what a capture holds, for people, as text or as one HTML page."""

from __future__ import annotations

import shutil
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ksmtrace.cli.files import check_input, output_name
from ksmtrace.cli.formats import add_format_options, print_json
from ksmtrace.cli.options import add_capture_options, add_plugin_options, add_worth_option
from ksmtrace.cli.progress import progress
from ksmtrace.errors import ExitStatus, HostError
from ksmtrace.lines import say

if TYPE_CHECKING:
    from ksmtrace.cli.options import Verbs
    from ksmtrace.pipeline.snapshot import Snapshot

_DESCRIPTION = """\
Tell what a capture says: the verdict, then every analyzer's answer with figures,
charts and tables. Without -o as text, as wide as the terminal; with -o as one
HTML page that needs no network, and whose one script only sorts and searches
tables. Needs no root.
"""


def add_parser(verbs: Verbs) -> None:
    """Add the verb."""
    parser: ArgumentParser = verbs.add_parser(
        "report",
        help="tell what a capture says, as text or as one HTML page",
        description=_DESCRIPTION,
    )
    parser.add_argument("capture", metavar="FILE", help="a capture made by record or live --record")
    parser.add_argument(
        "-o", dest="output", type=output_name, metavar="FILE", help="the page to write"
    )
    add_format_options(parser)
    add_worth_option(parser)
    add_plugin_options(parser)
    add_capture_options(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Replay the capture and print or write the report; returns the exit status."""
    from ksmtrace.cli.run import interruptible
    from ksmtrace.pipeline.manager import build_manager
    from ksmtrace.pipeline.options import RunOptions
    from ksmtrace.pipeline.runner import Runner
    from ksmtrace.plugins import BUILTINS, Role
    from ksmtrace.report.write import check_target
    from ksmtrace.sources.capture import CaptureSource

    check_input(options.capture, "capture")
    if options.output is not None:
        check_libraries()
        check_target(options.output)
    sinks = [f"no:{builtin.name}" for builtin in BUILTINS if builtin.role is Role.SINK]
    manager = build_manager([*options.plugins, *sinks])
    with interruptible() as control:
        capture = CaptureSource(options.capture, speed=None, most_batch_bytes=options.max_batch)
        how = RunOptions(interval=float("inf"), core_worth_bytes=options.core_worth)
        runner = Runner(capture, manager, how, control, fail_fast=True)
        with progress("reading"):
            snapshot = runner.run()
        if control.interrupted:
            return ExitStatus.INTERRUPTED
        _report(snapshot, options, capture.warnings)
    for warning in capture.warnings:
        say(warning)
    return ExitStatus.DONE


def _report(snapshot: Snapshot, options: Namespace, warnings: list[str]) -> None:
    from ksmtrace.drawing.summary import tunables_told
    from ksmtrace.report.text import report_text
    from ksmtrace.report.trust import trust
    from ksmtrace.units import counted

    sections = [*(section for _, section in snapshot.sections), trust(snapshot.document, warnings)]
    html = ""
    if options.output is not None:
        from ksmtrace.report.page import page
        from ksmtrace.report.write import check_target, write_report

        with progress("drawing"):
            html = page(
                snapshot.document,
                sections,
                session=snapshot.session,
                tunables=snapshot.tunables,
                name=Path(options.capture).name,
            )
        write_report(check_target(options.output), html)
    if options.json:
        print_json(snapshot.document)
    elif options.output is not None:
        charts = sum(len(section.charts) for section in sections)
        drawn = f"{counted(len(sections), 'section')}, {counted(charts, 'chart')}"
        print(f"{options.output}: {drawn}, {len(html) >> 10} KiB")
    else:
        text = report_text(
            snapshot.document,
            sections,
            sys.stdout.encoding or "utf-8",
            host=snapshot.session.host,
            tunables=tunables_told(snapshot.session.tunables, snapshot.tunables),
            width=shutil.get_terminal_size().columns,
        )
        print(text, end="")
    sys.stdout.flush()


def check_libraries() -> None:
    """Check that the libraries of the page are installed.

    Raises:
        HostError: one is missing.
    """
    try:
        import jinja2  # noqa: F401
        import vl_convert  # noqa: F401
    except ImportError as error:
        raise HostError(
            f"a page needs {error.name}, which is not installed: pip install 'ksmtrace[report]', "
            "or leave out -o for text"
        ) from error
