"""Runs a source through the pipeline for a verb: signals, screen or text or JSON, exit status."""

from __future__ import annotations

import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import pluggy

from ksmtrace.cli.formats import print_json
from ksmtrace.cli.recording import recording
from ksmtrace.errors import ExitStatus, KsmtraceError
from ksmtrace.pipeline.control import RunControl
from ksmtrace.pipeline.options import RunOptions
from ksmtrace.pipeline.runner import Runner
from ksmtrace.pipeline.snapshot import Snapshot
from ksmtrace.plugins.log import stderr_is_journal
from ksmtrace.session import Session
from ksmtrace.sources import Source

if TYPE_CHECKING:
    from ksmtrace.cli.check import Check
    from ksmtrace.conformance.comparison import Comparison


@contextmanager
def interruptible(*, dumps: bool = False) -> Iterator[RunControl]:
    """Turns SIGINT, SIGTERM and SIGHUP into an orderly end of a run while the context lasts.

    With `dumps`, SIGUSR1 asks for a dump of the recording.

    A second signal raises KeyboardInterrupt, except SIGHUP, which comes twice as a terminal closes:
    from the kernel and from its shell. Under nohup it stays ignored.
    """
    control = RunControl()

    def interrupt(number: int, _frame: FrameType | None) -> None:
        if control.interrupted and number != signal.SIGHUP:
            raise KeyboardInterrupt
        control.interrupt()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    if dumps:
        before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, lambda *_: control.ask_for_dump())
    try:
        yield control
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_options(asked: Namespace, session: Session) -> RunOptions:
    """The options of a run, from those of its verb and from where its output goes."""
    answers = asked.json or asked.once or asked.check
    tui = not (answers or asked.log or asked.no_tui) and sys.stdout.isatty()
    log = asked.log or (stderr_is_journal() and not (answers or tui))
    return RunOptions(
        interval=asked.interval,
        record=asked.record,
        **recording(asked),
        listen=asked.listen,
        web_config=asked.web_config,
        textfile=asked.textfile,
        groups=asked.groups,
        json=asked.json,
        once=asked.once,
        tui=tui,
        hold=asked.hold,
        core_worth_bytes=asked.core_worth,
        log=session.live and log,
    )


def run_pipeline(
    source: Source,
    manager: pluggy.PluginManager,
    options: RunOptions,
    control: RunControl,
    *,
    fail_fast: bool,
    engine: Comparison | None = None,
    when_prepared: Callable[[], None] | None = None,
    before_outcome: Callable[[], None] | None = None,
    check: Check | None = None,
) -> int:
    """Run to the end and print the outcome; returns the exit status.

    `engine` follows the source, and has a part in the outcome. `when_prepared` is as `Runner.run`
    takes it; `before_outcome` is called when all is read. With `check` the outcome is one line, and
    the status that of a monitoring plugin. A replay that serves metrics goes on serving its last
    state until it is interrupted.

    Raises:
        KsmtraceError: the source or a plugin ended the run.
    """
    runner = Runner(source, manager, options, control, fail_fast=fail_fast)
    status: int = ExitStatus.DONE

    def at_end(snapshot: Snapshot) -> None:
        nonlocal status
        if before_outcome is not None:
            before_outcome()
        if check is not None:
            if control.interrupted:
                raise KsmtraceError("interrupted before the end", ExitStatus.INTERRUPTED)
            line, status = check.line_and_status(snapshot.document)
            print(line, flush=True)
            return
        _print_outcome(snapshot, options, engine)
        if engine is not None and engine.verdicts.parted:
            status = ExitStatus.FLAGGED
        if runner.calls.failures:
            status = ExitStatus.BAD_INPUT
        if control.interrupted:
            status = ExitStatus.INTERRUPTED
        elif options.listen and not source.session.live and not control.quitted:
            print("ksmtrace: replay done, still serving metrics; Ctrl-C ends it", file=sys.stderr)
            control.wait_for_interrupt()

    runner.run(at_end, when_prepared)
    return status


def _print_outcome(snapshot: Snapshot, options: RunOptions, engine: Comparison | None) -> None:
    streamed = options.streams_json(snapshot.session)
    if streamed or (options.log and not (options.json or options.once)):
        return
    if options.json:
        followed = {} if engine is None else {"engine": engine.to_json()}
        print_json(snapshot.document | followed)
    else:
        from ksmtrace.plugins.tui.text import plain_text

        print(plain_text(snapshot).rstrip())
        if engine is not None:
            from ksmtrace.conformance.text import engine_text

            print(f"\n{engine_text(engine)}")
    sys.stdout.flush()
