"""`ksmtrace audit`: who shares pages with whom, and may they."""

from __future__ import annotations

import os
import shutil
import sys
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from ksmtrace.cli.estimate import add_target_options, tell_what_is_unread, tell_who_is_hidden
from ksmtrace.cli.files import output_name
from ksmtrace.cli.formats import add_format_options, print_json
from ksmtrace.cli.progress import progress
from ksmtrace.errors import ExitStatus
from ksmtrace.lines import say

if TYPE_CHECKING:
    from ksmtrace.cli.options import Verbs

_DESCRIPTION = """\
Say which processes, cgroups, guests and users have merged pages in common, and,
by a policy, which of them must not. Reads page tables, and no content. Without
a target, of every process. Needs root.
"""


def add_parser(verbs: Verbs) -> None:
    """Add the verb."""
    parser: ArgumentParser = verbs.add_parser(
        "audit",
        help="who shares pages with whom, and may they",
        description=_DESCRIPTION,
        epilog="exit status: 1 where domains of the policy share that must not",
    )
    add_target_options(parser)
    parser.add_argument(
        "--policy", metavar="FILE", help="domains, and which of them may share (docs/AUDIT.md)"
    )
    parser.add_argument(
        "--graph", metavar="FILE", help="write the graph of sharing: FILE.graphml or FILE.dot"
    )
    parser.add_argument(
        "-o", dest="output", type=output_name, metavar="FILE", help="the page to write"
    )
    add_format_options(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Look, and print what is shared; returns the exit status."""
    from ksmtrace.audit.domains import load_policy
    from ksmtrace.audit.graph_file import check_graph, write_graph
    from ksmtrace.audit.result import document, violations
    from ksmtrace.audit.sharing import read_sharing
    from ksmtrace.cli.run import interruptible
    from ksmtrace.estimate.targets import find_targets
    from ksmtrace.kernel.host import read_kernel

    policy = None if options.policy is None else load_policy(options.policy)
    if options.graph is not None:
        check_graph(options.graph)
    if options.output is not None:
        from ksmtrace.cli.report import check_libraries
        from ksmtrace.report.write import check_target

        check_libraries()
        check_target(options.output)
    targets = find_targets(options.pid, options.cgroup, options.vm)
    tell_who_is_hidden()
    kernel = read_kernel()
    with interruptible() as control, progress("processes", len(targets)) as done:
        sharing = read_sharing(targets, lambda: control.interrupted, done)
    found = document(sharing, policy, kernel, kernel.page_size_bytes)
    if options.graph is not None:
        write_graph(found, options.graph)
    _show(found, options)
    tell_what_is_unread()
    if policy is not None:
        for pattern in found["policy"]["patterns_unmatched"]:
            say(f"{options.policy}: {pattern} takes nobody in")
    if not found["complete"]:
        say("incomplete: it was cut short; only some processes were looked at")
        return ExitStatus.INTERRUPTED
    return ExitStatus.FLAGGED if violations(found) else ExitStatus.DONE


def _show(found: dict[str, Any], options: Namespace) -> None:
    from ksmtrace.audit.view import headline, sections
    from ksmtrace.report.text import sections_text

    if options.output is not None:
        _write_page(found, options.output)
    if options.json:
        print_json(found)
    elif options.output is not None:
        print(f"{options.output}: {headline(found)}")
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 100
        print(f"{headline(found)}\n")
        print(sections_text(sections(found), sys.stdout.encoding or "utf-8", width), end="")


def _write_page(found: dict[str, Any], output: str) -> None:
    from ksmtrace.audit.result import violations
    from ksmtrace.audit.view import biggest, headline, sections
    from ksmtrace.report.page import sections_page
    from ksmtrace.report.write import check_target, write_report

    bad = violations(found)
    answer = None
    if found["policy"] is not None:
        answer = ("not as the policy has it" if bad else "as the policy has it", "")
    html = sections_page(
        sections(found),
        title=f"Who shares pages on {os.uname().nodename}, {found['kernel']['release']}",
        facts=[line for line in (headline(found), biggest(found)) if line],
        verdict=answer,
        good=not bad,
        name="a look at page tables (ksmtrace audit)",
    )
    write_report(check_target(output), html)
