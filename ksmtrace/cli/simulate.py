"""`ksmtrace simulate`: run a workload file on the reference engine, or on this kernel."""

from __future__ import annotations

import argparse
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from ksmtrace.cli.event_options import add_event_options, check_event_options, print_events
from ksmtrace.cli.files import (
    add_force_option,
    check_input,
    check_unrecorded,
    output_name,
)
from ksmtrace.cli.formats import add_format_options, print_json
from ksmtrace.cli.progress import progress
from ksmtrace.drawing.lines import WIDTH, cut
from ksmtrace.errors import ExitStatus, KsmtraceError
from ksmtrace.lines import say

if TYPE_CHECKING:
    from ksmtrace.cli.options import Verbs
    from ksmtrace.workload.file import Workload

_COLUMNS = {
    "full_scans": "scans",
    "pages_scanned": "scanned",
    "pages_skipped": "skips",
    "pages_shared": "shared",
    "pages_sharing": "sharing",
    "pages_unshared": "unshared",
    "pages_volatile": "volatile",
    "ksm_zero_pages": "zero",
    "stable_node_chains": "chains",
}
"""Columns of the table; those that are 0 or unknown throughout are left out."""

_NAME_WIDTH = 9

_WITHOUT_EVENTS = {"json": "--json", "record": "-o", "on_kernel": "--on-kernel"}


def add_parser(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "simulate",
        help="run a workload file on the reference engine, or on this kernel",
        description=(
            "Run a workload: processes, what they do to their memory, and when ksmd scans. With "
            "--on-kernel it runs on this machine's KSM with real processes, which needs root and a "
            "machine where nothing else uses KSM; everything is put back afterwards."
        ),
    )
    parser.add_argument("workload", metavar="WORKLOAD", help="the workload, a TOML file")
    parser.add_argument(
        "--variant",
        metavar="NAME",
        help="variant of KSM to run, instead of the file's (`ksmtrace plugins` lists them)",
    )
    parser.add_argument(
        "--set",
        dest="settings",
        type=setting,
        nargs="+",
        action="extend",
        default=[],
        metavar="TUNABLE=VALUE",
        help="value of a tunable as the run begins, instead of the file's",
    )
    parser.add_argument("--on-kernel", action="store_true", help="run it on this machine's kernel")
    parser.add_argument(
        "-o",
        dest="record",
        type=output_name,
        metavar="FILE",
        help="also write what the engine did to a capture, for replay and whatif",
    )
    add_force_option(parser)
    parser.add_argument(
        "--no-comparisons",
        action="store_true",
        help="the engine does not count comparisons of pages, of which nothing is printed: faster",
    )
    add_format_options(parser, "events")
    add_event_options(parser)
    parser.set_defaults(run=run)


def setting(text: str) -> tuple[str, int | str]:
    """A tunable and its value."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not TUNABLE=VALUE")
    if value.removeprefix("-").isdecimal() and value.isascii() and len(value) <= 30:
        return name, int(value)
    return name, value


def run(options: Namespace) -> int:
    """Run the workload and print its document; returns the exit status."""
    from ksmtrace.workload.file import check_variant, load_workload

    check_input(options.workload, "workload")
    workload = load_workload(options.workload, dict(options.settings))
    try:
        variant = check_variant(options.variant or workload.variant)
    except ValueError as error:
        raise KsmtraceError(f"--variant: {error}") from error

    check_event_options(options, _WITHOUT_EVENTS)
    if options.events:
        return _events(workload, variant, options)
    if options.on_kernel and options.record is not None:
        raise KsmtraceError("-o records the engine: on a kernel use `ksmtrace record` beside it")
    if options.record is not None:
        check_unrecorded(options.record, force=options.force)
        return _record(workload, variant, options)
    if options.on_kernel:
        from ksmtrace.workload.on_kernel import run_on_kernel

        with progress("on this kernel"):
            document = run_on_kernel(workload, say)
    else:
        from ksmtrace.workload.on_engine import simulate

        with progress("steps", len(workload.steps)) as done:
            document = simulate(
                workload,
                variant=variant,
                say=say,
                count_comparisons=not options.no_comparisons,
                done=done,
            )
    _print(document, as_json=options.json)
    return ExitStatus.DONE


def _events(workload: Workload, variant: str, options: Namespace) -> int:
    from ksmtrace.sources.engine import EngineSource

    source = EngineSource(workload, variant=variant, say=say, count_comparisons=False)
    print_events(options, source)
    return ExitStatus.DONE


def _record(workload: Workload, variant: str, options: Namespace) -> int:
    from ksmtrace.cli.run import interruptible
    from ksmtrace.pipeline.manager import build_manager
    from ksmtrace.pipeline.options import RunOptions
    from ksmtrace.pipeline.runner import Runner
    from ksmtrace.sources.engine import EngineSource

    with interruptible() as control:
        source = EngineSource(
            workload, variant=variant, say=say, count_comparisons=not options.no_comparisons
        )
        sinks = RunOptions(record=options.record)
        with progress("recording"):
            Runner(source, build_manager(), sinks, control, fail_fast=True).run()
        _print(source.document(), as_json=options.json)
    return ExitStatus.INTERRUPTED if control.interrupted else ExitStatus.DONE


def _print(document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        print("\n".join(table(document)))


def table(document: dict[str, Any]) -> list[str]:
    """Lines that show a document, of 80 columns at most."""
    where = document["variant"] or f"kernel {document['kernel']}"
    snapshots = document["snapshots"]
    shown = {
        counter: head
        for counter, head in _COLUMNS.items()
        if any(snapshot["counters"][counter] for snapshot in snapshots)
    }
    lines = [f"{document['name']} on {where}"[:WIDTH]]
    heads = " ".join(f"{head:>{_width(head)}}" for head in shown.values())
    lines.append(f"{'step':>4} {'snapshot':{_NAME_WIDTH}} {heads}".rstrip())
    for snapshot in snapshots:
        values = " ".join(
            f"{_number(snapshot['counters'][counter]):>{_width(head)}}"
            for counter, head in shown.items()
        )
        name = snapshot["name"][:_NAME_WIDTH]
        lines.append(f"{snapshot['step']:>4} {name:{_NAME_WIDTH}} {values}".rstrip())
        lines += [_group(group) for group in snapshot["groups"] or ()]
    return lines


def _width(head: str) -> int:
    return max(len(head), 5)


def _number(value: int | None) -> str:
    """Five characters at most, as wide as the narrowest column."""
    if value is None:
        return "-"
    return str(value) if value < 100_000 else f"{value / 1e6:.3g}M"


def _group(group: list[str]) -> str:
    return cut(f"      {len(group)} pages share: {', '.join(group)}")
