"""`ksmtrace replay`: run a capture through the same pipeline as a live trace."""

from __future__ import annotations

import argparse
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from ksmtrace.cli.check import Check, add_check_options
from ksmtrace.cli.event_options import add_event_options, check_event_options, print_events
from ksmtrace.cli.files import check_input
from ksmtrace.cli.formats import add_format_options
from ksmtrace.cli.options import add_capture_options, add_output_options, add_plugin_options
from ksmtrace.cli.progress import progress
from ksmtrace.errors import ExitStatus
from ksmtrace.lines import say

if TYPE_CHECKING:
    from ksmtrace.cli.options import Verbs
    from ksmtrace.sources import Source
    from ksmtrace.sources.capture import CaptureSource

_WITHOUT_EVENTS = {
    "json": "--json",
    "check": "--check",
    "engine": "--engine",
    "hold": "--hold",
    "listen": "--listen",
    "web_config": "--web-config",
    "textfile": "--textfile",
    "plugins": "-p",
}


def add_parser(verbs: Verbs) -> None:
    """Add the verb."""
    parser: ArgumentParser = verbs.add_parser(
        "replay",
        help="what live would have said, from a capture",
        description="Replay a capture: same events, same order, same answers. Needs no root.",
    )
    parser.add_argument("capture", metavar="FILE", help="a capture made by record or live --record")
    parser.add_argument(
        "--speed",
        type=speed,
        default=None,
        metavar="SPEED",
        help="max (default), real, or a factor: 2 is twice as fast as it happened",
    )
    parser.add_argument(
        "--engine",
        action="store_true",
        help="check every decision of ksmd against the reference engine; "
        "exit status 1 where they differ",
    )
    parser.add_argument(
        "--hold",
        action="store_true",
        help="on a terminal, keep the screen at the end, to look around until q",
    )
    add_event_options(parser)
    add_output_options(parser)
    add_format_options(parser, "events", "check")
    add_check_options(parser)
    add_plugin_options(parser)
    add_capture_options(parser)
    parser.set_defaults(run=run)


def _capture(options: Namespace) -> CaptureSource:
    from ksmtrace.sources.capture import CaptureSource

    return CaptureSource(options.capture, speed=options.speed, most_batch_bytes=options.max_batch)


def speed(text: str) -> float | None:
    """None for "max", 1.0 for "real", else the factor."""
    if text == "max":
        return None
    try:
        factor = 1.0 if text == "real" else float(text)
    except ValueError:
        factor = -1.0
    if not 0 < factor < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not max, real or a factor above 0")
    return factor


def run(options: Namespace) -> int:
    """Replay; returns the exit status."""
    from ksmtrace.cli.run import interruptible, run_options, run_pipeline
    from ksmtrace.pipeline.manager import build_manager

    check_event_options(options, _WITHOUT_EVENTS)
    check_input(options.capture, "capture")
    if options.events:
        return _events(options)
    check = Check.of(options) if options.check else None
    manager = build_manager(options.plugins)
    with interruptible() as control:
        capture = _capture(options)
        source: Source = capture
        engine = None
        if options.engine:
            from ksmtrace.conformance.comparison import Comparison
            from ksmtrace.sources.tee import Tee

            engine = Comparison(capture.session)
            source = Tee(capture, engine)
        how = run_options(options, source.session)
        with ExitStack() as shown:
            if not how.tui and options.speed is None:
                shown.enter_context(progress("replaying"))
            status = run_pipeline(
                source,
                manager,
                how,
                control,
                fail_fast=True,
                engine=engine,
                before_outcome=shown.close,
                check=check,
            )
    _warn(capture)
    return status


def _events(options: Namespace) -> int:
    capture = _capture(options)
    with closing(capture):
        print_events(options, capture)
    _warn(capture)
    return ExitStatus.DONE


def _warn(capture: CaptureSource) -> None:
    for warning in capture.warnings:
        say(warning)
