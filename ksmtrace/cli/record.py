"""`ksmtrace record`: trace the running kernel into a capture."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from ksmtrace.cli.files import add_force_option, output_name
from ksmtrace.cli.formats import add_format_options
from ksmtrace.cli.live import trace
from ksmtrace.cli.options import add_output_options, add_plugin_options, add_source_options
from ksmtrace.cli.recording import add_recording_options

if TYPE_CHECKING:
    from ksmtrace.cli.options import Verbs


def add_parser(verbs: Verbs) -> None:
    """Add the verb."""
    parser: ArgumentParser = verbs.add_parser(
        "record",
        help="trace the running kernel into a capture",
        description=(
            "Record what ksmd does until Ctrl-C or --duration, to replay it later. Needs root."
        ),
    )
    parser.add_argument(
        "-o",
        dest="record",
        required=True,
        type=output_name,
        metavar="FILE",
        help="the capture; a long one goes on in FILE.0001, FILE.0002, …",
    )
    add_force_option(parser)
    add_recording_options(parser)
    add_source_options(parser)
    add_output_options(parser)
    add_format_options(parser)
    add_plugin_options(parser)
    parser.set_defaults(run=run, once=True)


def run(options: Namespace) -> int:
    """Record; returns the exit status."""
    return trace(options, duration=options.duration, fail_fast=True)
