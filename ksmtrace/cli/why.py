"""`ksmtrace why`: why the pages of a process do not merge."""

from __future__ import annotations

import argparse
import mmap
import os
import re
import shutil
import sys
import textwrap
from argparse import ArgumentParser, Namespace
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from ksmtrace.cli.files import check_input
from ksmtrace.cli.formats import add_format_options, print_json
from ksmtrace.cli.looking import add_looking_options
from ksmtrace.cli.options import add_capture_options, pid_of
from ksmtrace.cli.progress import progress
from ksmtrace.errors import ExitStatus, HostError, KsmtraceError
from ksmtrace.lines import say
from ksmtrace.why.reason import CONDITIONS, Reason

if TYPE_CHECKING:
    from ksmtrace.cli.options import Verbs
    from ksmtrace.estimate.targets import Target
    from ksmtrace.why.decisions import Decisions
    from ksmtrace.why.survey import Range

_DESCRIPTION = """\
Say of each page of a process why it does not merge, or with whom it has: the
first reason that holds, in the kernel's own order. The process and all
mergeable memory of others is read twice; nothing is switched on, no process is
stopped, and nothing is swapped in. Needs root.
"""
_KEY_WIDTH = 15
_ADDRESSES = re.compile(r"(?:0[xX])?([0-9a-fA-F]{1,16})(?:-(?:0[xX])?([0-9a-fA-F]{1,16}))?")


def add_parser(verbs: Verbs) -> None:
    """Add the verb."""
    parser: ArgumentParser = verbs.add_parser(
        "why",
        help="why the pages of a process do not merge, and with whom others have",
        description=_DESCRIPTION,
        epilog=_reasons()
        + "\n\nexit status: 130 where it was interrupted, with what was known till then",
    )
    parser.add_argument("pid", nargs="?", type=pid_of, metavar="PID", help="the process")
    parser.add_argument(
        "addresses",
        nargs="?",
        type=addresses_of,
        metavar="ADDRESS[-ADDRESS]",
        help="only the page at ADDRESS, or those up to before the second one: hexadecimal, as in "
        "/proc/PID/maps",
    )
    parser.add_argument("--vm", metavar="NAME", help="the process that runs this guest")
    parser.add_argument(
        "--pages", action="store_true", help="also page by page; a single page always is"
    )
    parser.add_argument(
        "--no-near",
        dest="near",
        action="store_false",
        help="do not look for what unique pages are nearly equal to",
    )
    parser.add_argument(
        "--show-bytes",
        action="store_true",
        help="print the bytes in which nearly equal pages differ, of an example each: they may be "
        "secrets",
    )
    parser.add_argument(
        "--capture",
        metavar="FILE",
        help="also what ksmd last decided of the pages, by a capture of it (record)",
    )
    add_looking_options(parser)
    add_capture_options(parser)
    add_format_options(parser)
    parser.set_defaults(run=run)


def _reasons() -> str:
    """The reasons and the kernel's conditions, for `--help`."""
    rows = (
        textwrap.fill(
            CONDITIONS[one],
            width=78,
            initial_indent=f"  {one.key:<{_KEY_WIDTH}}",
            subsequent_indent=" " * (_KEY_WIDTH + 2),
        )
        for one in Reason
        if CONDITIONS[one]
    )
    return "\n".join(
        ["reasons, in the kernel's order, each with its condition in mm/ksm.c:", *rows]
    )


def addresses_of(text: str) -> tuple[int, int | None]:
    """The first address, and that behind the last one, None for a single page.

    Raises:
        argparse.ArgumentTypeError: it is neither.
    """
    found = _ADDRESSES.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"{text[:60]!r} is no address nor two with a dash in between, hexadecimal as in "
            "/proc/PID/maps"
        )
    start, end = int(found[1], 16), int(found[2], 16) if found[2] else None
    if end is not None and end <= start:
        raise argparse.ArgumentTypeError(f"{text[:60]!r} ends before it begins")
    return start, end


def run(options: Namespace) -> int:
    """Look, and print the answer; returns the exit status."""
    from ksmtrace.cli.run import interruptible
    from ksmtrace.kernel.sysfs import has_ksm
    from ksmtrace.why.result import document
    from ksmtrace.why.view import sections
    from ksmtrace.why.why import Wishes, explain

    target = _target(options)
    if not has_ksm():
        raise HostError(
            "/sys/kernel/mm/ksm is not there: this kernel was built without CONFIG_KSM, or this "
            "container does not show it"
        )
    wishes = Wishes(options.looks, options.every, options.max_bytes_per_second, options.near)
    with suppress(OSError):
        os.nice(19)
    with interruptible() as control:
        decisions = None if options.capture is None else _decisions(options, target)
        answer = explain(
            target, _range(options), wishes, lambda: control.interrupted, progress, decisions
        )
    single = options.addresses is not None and options.addresses[1] is None
    pages = options.pages or single
    found = document(answer, pages=pages, show_bytes=options.show_bytes)
    if options.json:
        print_json(found)
    else:
        from ksmtrace.report.text import sections_text

        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 120
        print(sections_text(sections(found), sys.stdout.encoding or "utf-8", width), end="")
    if not found["complete"]:
        say("incomplete: it was cut short; the counts are of what was read")
    return ExitStatus.INTERRUPTED if control.interrupted else ExitStatus.DONE


def _target(options: Namespace) -> Target:
    from ksmtrace.estimate.targets import find_targets

    if options.show_bytes and not options.near:
        raise KsmtraceError(
            "--show-bytes is about pages that are nearly equal: leave out --no-near"
        )
    if (options.pid is None) == (options.vm is None):
        raise KsmtraceError("name one process: a PID, or a guest by --vm NAME")
    if options.pid is not None:
        return find_targets([options.pid])[0]
    found = find_targets(vms=[options.vm])
    if len(found) > 1:
        pids = ", ".join(str(one.pid) for one in found[:10])
        raise KsmtraceError(f"{len(found)} processes run {options.vm!r}: name one, of {pids}")
    return found[0]


def _decisions(options: Namespace, target: Target) -> Decisions:
    """What the capture tells of the process.

    Raises:
        KsmtraceError: it is none, or cannot be read.
    """
    from ksmtrace.sources.capture import CaptureSource
    from ksmtrace.why.decisions import Decisions

    check_input(options.capture, "capture")
    found = Decisions(options.capture, target.pid, target.name)
    source = CaptureSource(options.capture, speed=None, most_batch_bytes=options.max_batch)
    with closing(source), progress("reading the capture"):
        found.follow(source.batches())
    for warning in source.warnings:
        say(warning)
    return found


def _range(options: Namespace) -> Range | None:
    """The pages of the addresses."""
    from ksmtrace.why.survey import Range

    if options.addresses is None:
        return None
    start, end = options.addresses
    first = start // mmap.PAGESIZE * mmap.PAGESIZE
    last = first + mmap.PAGESIZE if end is None else -(-end // mmap.PAGESIZE) * mmap.PAGESIZE
    return Range(first, last)
