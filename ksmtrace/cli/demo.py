"""`ksmtrace demo`: live tracing of a workload that is brought along."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from ksmtrace.cli.files import add_force_option, output_name
from ksmtrace.cli.formats import add_format_options
from ksmtrace.cli.live import trace
from ksmtrace.cli.options import add_output_options, add_plugin_options, add_source_options
from ksmtrace.lines import say

if TYPE_CHECKING:
    from ksmtrace.cli.options import Verbs

_SECONDS = 20.0


def add_parser(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "demo",
        help="trace a workload that is brought along, with KSM switched on for it",
        description=(
            "Start three processes of 68 MiB that have 64 MiB in common, and unique, zero, "
            "volatile and later rewritten pages besides; switch KSM on (run, pages_to_scan, "
            "sleep_millisecs, no advisor), at a fast pace for seven seconds, then at the kernel's "
            f"default one; trace for {_SECONDS:.0f} s as `live` does, and put everything back. "
            "Needs root."
        ),
    )
    add_source_options(parser, f"{_SECONDS:.0f}")
    parser.add_argument("--record", type=output_name, metavar="FILE", help="also write a capture")
    add_force_option(parser)
    add_output_options(parser)
    add_format_options(parser)
    add_plugin_options(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Trace the demo; returns the exit status."""
    from ksmtrace.sources.live.preconditions import check_host
    from ksmtrace.workload.demo import NAMES, Demo

    def step(line: str) -> None:
        if not options.json:
            say(line)

    def start() -> None:
        demo.start()
        step(f"tracing {', '.join(NAMES)} for {duration:g} s")

    check_host()
    duration = options.duration or _SECONDS
    step("filling the memory of three processes")
    with Demo() as demo:
        step("attaching the probes")
        status = trace(options, duration=duration, fail_fast=False, when_ready=start)
        step("ending the processes, and putting KSM's settings back")
    return status
