"""`ksmtrace estimate`: what KSM would save here, before it is switched on."""

from __future__ import annotations

import os
import shutil
import sys
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ksmtrace.cli.files import output_name
from ksmtrace.cli.formats import add_format_options, print_json
from ksmtrace.cli.looking import add_looking_options
from ksmtrace.cli.options import add_worth_option, pid_of, positive_seconds
from ksmtrace.cli.progress import progress
from ksmtrace.errors import ExitStatus
from ksmtrace.lines import say

if TYPE_CHECKING:
    from ksmtrace.cli.options import Verbs
    from ksmtrace.estimate.forecast import Host

_DESCRIPTION = """\
Read the private memory of processes, compare its pages, and say what KSM would
save once it has settled: nothing is switched on, no process is stopped, and
nothing is swapped in. Without a target, of every process. Neither contents nor
hashes are kept or printed. Needs root.
"""


def add_parser(verbs: Verbs) -> None:
    """Add the verb."""
    parser: ArgumentParser = verbs.add_parser(
        "estimate",
        help="what KSM would save here, before it is switched on",
        description=_DESCRIPTION,
        epilog="exit status: 130 where it was interrupted, with what was known till then",
    )
    add_target_options(parser)
    add_looking_options(parser)
    parser.add_argument(
        "--budget",
        dest="budget_seconds",
        type=positive_seconds,
        metavar="SECONDS",
        help="seconds that reading may take: where all cannot be read, a sample is, and figures "
        "are intervals",
    )
    parser.add_argument(
        "--advised-only", action="store_true", help="only memory that is mergeable already"
    )
    parser.add_argument(
        "-o", dest="output", type=output_name, metavar="FILE", help="the page to write"
    )
    add_worth_option(parser)
    add_format_options(parser)
    parser.set_defaults(run=run)


def add_target_options(parser: ArgumentParser) -> None:
    """`--pid`, `--cgroup` and `--vm`, by which processes are chosen."""
    for name, kind, metavar, text in (
        ("--pid", pid_of, "PID", "these processes"),
        ("--cgroup", str, "PATH", "those of these cgroups, and of all below them"),
        ("--vm", str, "NAME", "those that run these guests"),
    ):
        parser.add_argument(
            name, type=kind, nargs="+", action="extend", default=[], metavar=metavar, help=text
        )


def run(options: Namespace) -> int:
    """Look, and print the forecast; returns the exit status."""
    from ksmtrace.cli.run import interruptible
    from ksmtrace.estimate.estimate import Wishes, estimate
    from ksmtrace.estimate.result import document
    from ksmtrace.estimate.targets import find_targets

    if options.output is not None:
        from ksmtrace.cli.report import check_libraries
        from ksmtrace.report.write import check_target

        check_libraries()
        check_target(options.output)
    targets = find_targets(options.pid, options.cgroup, options.vm)
    tell_who_is_hidden()
    host = read_host(options.core_worth)
    wishes = Wishes(
        looks=options.looks,
        every=options.every,
        budget=options.budget_seconds,
        bytes_per_second=options.max_bytes_per_second,
        advised_only=options.advised_only,
    )
    with suppress(OSError):
        os.nice(19)
    with interruptible() as control:
        found = estimate(targets, wishes, host, lambda: control.interrupted, progress)
    _show(document(found, host), options)
    tell_what_is_unread()
    if not found.complete:
        say("incomplete: it was cut short; the figures are of what was read")
    return ExitStatus.INTERRUPTED if control.interrupted else ExitStatus.DONE


def tell_what_is_unread() -> None:
    """Say which files could not be read, and how often."""
    from ksmtrace.kernel.files import UNREAD

    for line in UNREAD.lines():
        say(line)


def tell_who_is_hidden() -> None:
    """Say so where not all processes of the host are seen."""
    from ksmtrace.kernel.host import find_ksmd
    from ksmtrace.kernel.presence import why_no_ksmd

    if find_ksmd() is None:
        absence = why_no_ksmd()
        say(f"only processes that are seen here are looked at: {absence.found}: {absence.remedy}")


def read_host(core_worth_bytes: int) -> Host:
    """What of this host a forecast depends on.

    Raises:
        HostError: this kernel has no KSM.
    """
    from ksmtrace.errors import HostError
    from ksmtrace.estimate.forecast import Host
    from ksmtrace.estimate.pace import measure_page_cost
    from ksmtrace.kernel.host import find_ksmd, read_kernel
    from ksmtrace.kernel.presence import why_no_ksm
    from ksmtrace.kernel.sysfs import read_counters, read_tunables

    if (absence := why_no_ksm()) is not None:
        raise HostError(str(absence))
    return Host(
        kernel=read_kernel(),
        tunables=read_tunables(),
        cost=measure_page_cost(read_counters(ksmd_pid=find_ksmd())),
        core_worth_bytes=core_worth_bytes,
    )


def _show(found: dict[str, Any], options: Namespace) -> None:
    from ksmtrace.estimate.view import headline, sections
    from ksmtrace.report.text import sections_text

    if options.output is not None:
        _write_page(found, options.output)
    if options.json:
        print_json(found)
        return
    if options.output is not None:
        print(f"{options.output}: {headline(found)}")
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 100
    encoding = sys.stdout.encoding or "utf-8"
    print(sections_text(sections(found), encoding, width), end="")


def _write_page(found: dict[str, Any], output: str) -> None:
    from ksmtrace.estimate.result import chosen
    from ksmtrace.estimate.view import headline, sections
    from ksmtrace.report.page import sections_page
    from ksmtrace.report.write import check_target, write_report

    now = chosen(found["forecasts"], "advised")
    shown = now if now["pages"] else chosen(found["forecasts"], "all")
    reasons = "; ".join(shown["verdict_reasons"])
    html = sections_page(
        sections(found),
        title=f"What KSM would save on {os.uname().nodename}, {found['kernel']['release']}",
        facts=[headline(found)],
        verdict=(shown["verdict"], f" (a forecast): {reasons}. {shown['verdict_change'] or ''}"),
        tunables=found["tunables"],
        name="a look at the memory of processes (ksmtrace estimate)",
    )
    write_report(check_target(output), html)
