"""`ksmtrace whatif`: what other tunables and other variants would have saved."""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ksmtrace.cli.files import check_input
from ksmtrace.cli.formats import add_format_options, print_json
from ksmtrace.cli.options import add_capture_options
from ksmtrace.cli.progress import progress
from ksmtrace.errors import ExitStatus
from ksmtrace.lines import say

if TYPE_CHECKING:
    from types import FrameType

    from ksmtrace.cli.options import Verbs
    from ksmtrace.whatif.case import Case
    from ksmtrace.whatif.scenario import Outcome, Scenario


def add_parser(verbs: Verbs) -> None:
    """Add the verb."""
    parser: ArgumentParser = verbs.add_parser(
        "whatif",
        help="what other tunables and variants would have saved, and at what cost",
        description=(
            "Run a capture or a workload on the reference engine under other tunables and other "
            "variants of KSM: the file's own first, then each variant with each combination of "
            "values. Without any option: every variant. What a capture does not tell is assumed, "
            "and said. Needs no root."
        ),
    )
    parser.add_argument("file", metavar="FILE", help="a capture, or a workload (WORKLOADS.md)")
    _add_list(parser, "--variant", "NAME", "variants to run; else the file's own")
    _add_list(parser, "--set", "T=V", "a tunable's value in every scenario but the first")
    _add_list(
        parser, "--sweep", "T=V1,V2,...", "a scenario for each value, and for each combination"
    )
    parser.add_argument(
        "--no-comparisons",
        action="store_true",
        help="do not count comparisons of pages: faster; the kernel's variants then show none",
    )
    add_format_options(parser)
    add_capture_options(parser)
    parser.set_defaults(run=run)


def _add_list(parser: ArgumentParser, option: str, metavar: str, text: str) -> None:
    parser.add_argument(option, nargs="+", action="extend", default=[], metavar=metavar, help=text)


def run(options: Namespace) -> int:
    """Run all scenarios and print their outcomes; returns the exit status."""
    from ksmtrace.whatif.grid import build_grid
    from ksmtrace.whatif.load import load_case
    from ksmtrace.whatif.result import document
    from ksmtrace.whatif.text import table

    check_input(options.file, "capture", "workload")
    _say_what_is_broken(options)
    with _terminable():
        with progress("reading"):
            case, warnings = load_case(options.file, options.max_batch)
        scenarios = [
            replace(scenario, count_comparisons=not options.no_comparisons)
            for scenario in build_grid(case.workload, options.variant, options.set, options.sweep)
        ]
        for warning in warnings:
            say(warning)
        answers = document(case, scenarios, _outcomes(case, scenarios))
    if options.json:
        print_json(answers)
    else:
        print("\n".join(table(answers)))
    return ExitStatus.DONE


def _say_what_is_broken(options: Namespace) -> None:
    # every variant is asked for: what cannot be used costs itself alone
    from ksmtrace.engine.variants import VARIANTS

    if not (options.variant or options.set or options.sweep):
        for line in VARIANTS.broken():
            print(f"ksmtrace: {line}", file=sys.stderr)


def _outcomes(case: Case, scenarios: list[Scenario]) -> list[Outcome]:
    from ksmtrace.whatif.parallel import local_executor, run_scenarios

    with (
        local_executor(case, len(scenarios)) as executor,
        progress("scenarios", len(scenarios)) as done,
    ):
        return run_scenarios(case, scenarios, executor, done)


@contextmanager
def _terminable() -> Iterator[None]:
    """Lets SIGTERM end a run as Ctrl-C does: with its workers."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
