"""`ksmtrace live`: trace the running kernel."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ksmtrace.cli.check import Check, add_check_options
from ksmtrace.cli.files import add_force_option, check_unrecorded, output_name
from ksmtrace.cli.formats import add_format_options
from ksmtrace.cli.options import (
    add_output_options,
    add_plugin_options,
    add_source_options,
    budget,
)
from ksmtrace.cli.progress import progress
from ksmtrace.cli.recording import add_recording_options, recording
from ksmtrace.errors import HostError, KsmtraceError
from ksmtrace.lines import say

if TYPE_CHECKING:
    from ksmtrace.cli.options import Verbs
    from ksmtrace.sources import Source

_ONCE_SECONDS = 10.0


def add_parser(verbs: Verbs) -> None:
    """Add the verb."""
    parser: ArgumentParser = verbs.add_parser(
        "live",
        help="trace the running kernel",
        description="Trace ksmd on the running kernel until Ctrl-C or --duration. Needs root.",
    )
    add_source_options(parser)
    parser.add_argument("--record", type=output_name, metavar="FILE", help="also write a capture")
    add_force_option(parser)
    add_recording_options(parser)
    parser.add_argument(
        "--once",
        action="store_true",
        help=f"no screen: one answer at the end (after --duration, or {_ONCE_SECONDS:.0f} s)",
    )
    parser.add_argument(
        "--log",
        action="store_true",
        help="for a service: lines on stderr for what is worth knowing, no text at the end; "
        "the default under systemd",
    )
    add_output_options(parser)
    add_format_options(parser, "check")
    add_check_options(parser)
    add_plugin_options(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Trace; returns the exit status."""
    options.once = options.once or options.check
    duration = options.duration or (_ONCE_SECONDS if options.once else None)
    return trace(options, duration=duration, fail_fast=False)


def trace(
    options: Namespace,
    *,
    duration: float | None,
    fail_fast: bool,
    when_ready: Callable[[], None] | None = None,
) -> int:
    """Trace the running kernel; returns the exit status.

    Args:
        options: the verb's.
        duration: seconds to trace; None for until it is ended.
        fail_fast: whether a plugin that raises ends the run.
        when_ready: called once the probes are attached; None to warn where KSM is switched off.

    Raises:
        KsmtraceError: bad input, or a host that cannot be traced.
    """
    from ksmtrace.capture.target import check_target
    from ksmtrace.cli.run import interruptible, run_options, run_pipeline
    from ksmtrace.pipeline.manager import build_manager
    from ksmtrace.probemap.format import ProbeMap
    from ksmtrace.sources.live.opening import LiveOptions
    from ksmtrace.sources.live.source import LiveSource
    from ksmtrace.sources.pid_filter import PidFilter

    keep = recording(options)["keep"]
    check = Check.of(options) if options.check else None
    _check_pids(options.pid)
    _check_directory()
    if options.record is not None:
        check_unrecorded(options.record, force=options.force)
        check_target(options.record)
    manager = build_manager(options.plugins)
    with interruptible(dumps=keep is not None) as control:
        traced = LiveSource.open(
            LiveOptions(
                duration=duration,
                interval=options.interval,
                probes=options.probes,
                totals=options.totals,
                budget=budget(options),
                probe_map=ProbeMap.load(options.probe_map) if options.probe_map else None,
                cow=options.cow,
                dropping=options.drop_capabilities,
            )
        )
        control.attach(traced)

        limited = PidFilter(traced, options.pid) if options.pid else None
        source: Source = limited or traced
        if when_ready is None:
            _warn_if_stopped(source.session.tunables.get("run"))
        else:
            when_ready()
        how = run_options(options, source.session)
        shown = ExitStack()

        def prepared() -> None:
            if options.drop_capabilities:
                writes = options.record or options.textfile
                traced.drop_capabilities(["CAP_DAC_OVERRIDE"] if writes else [])
            # after that, for a thread of its own that it has would keep them
            if not (how.tui or how.log or how.streams_json(source.session)):
                shown.enter_context(progress(_what_lasts(duration)))

        with shown:
            status = run_pipeline(
                source,
                manager,
                how,
                control,
                fail_fast=fail_fast,
                when_prepared=prepared,
                before_outcome=shown.close,
                check=check,
            )
        for warning in traced.warnings:
            say(warning)
        for pid in limited.unseen if limited is not None else ():
            say(
                f"nothing was seen of process {pid}: it has ended, or declares no memory mergeable "
                "(madvise, prctl), or ksmd did not come to it"
            )
        return status


def _what_lasts(duration: float | None) -> str:
    return "tracing until Ctrl-C" if duration is None else f"tracing for {duration:g} s"


def _check_directory() -> None:
    """Refuse a current directory that has been deleted: bcc looks for it, and so do relative paths.

    Raises:
        HostError: it is gone.
    """
    try:
        os.getcwd()
    except OSError as error:
        raise HostError("the current directory has been deleted: go to another one") from error


def _check_pids(pids: Sequence[int]) -> None:
    """Refuse processes that are not there.

    Raises:
        KsmtraceError: one is not.
    """
    for pid in pids:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            raise KsmtraceError(f"--pid {pid}: no such process: look with ps -e") from None
        except PermissionError:
            continue


def _warn_if_stopped(run_tunable: str | None) -> None:
    if run_tunable != "1":
        print(
            f"ksmtrace: KSM is switched off (run is {run_tunable}), nothing will be scanned; "
            "switch it on with: echo 1 > /sys/kernel/mm/ksm/run",
            file=sys.stderr,
        )
