"""Runs a source through the pipeline for a verb: signals, screen or text or JSON, exit status."""

from __future__ import annotations

import json
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import pluggy

from ksmtrace.errors import ExitStatus
from ksmtrace.pipeline.runner import Runner
from ksmtrace.pipeline.snapshot import Snapshot
from ksmtrace.plugins.log import stderr_is_journal
from ksmtrace.sources import Source

if TYPE_CHECKING:
    from ksmtrace.engine_replay.replay import EngineReplay


class Interruption:
    """Whether SIGINT or SIGTERM came; ends the source, so that the run closes what it opened.

    Attributes:
        came: a signal came.
        quit: the user ended the run by a key, which is a normal end.
        source: what to end.
    """

    def __init__(self) -> None:
        self.came = False
        self.quit = False
        self.source: Source | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as signal wants it
        """Take a signal; a second one ends the program the hard way."""
        if self.came:
            raise KeyboardInterrupt
        self.came = True
        if self.source is not None:
            self.source.stop()

    def quit_run(self) -> None:
        """End the run as if its source had ended; any thread may."""
        self.quit = True
        if self.source is not None:
            self.source.stop()

    def wait(self) -> None:
        """Return when a signal has come."""
        while not self.came:
            time.sleep(0.1)


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Turns SIGINT and SIGTERM into an orderly end while the context lasts."""
    interruption = Interruption()
    before = {n: signal.signal(n, interruption) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_pipeline(
    source: Source,
    manager: pluggy.PluginManager,
    options: Namespace,
    interruption: Interruption,
    *,
    fail_fast: bool,
    engine: EngineReplay | None = None,
) -> int:
    """Run to the end and print the outcome; returns the exit status.

    `engine` follows the source, and has a part in the outcome. A replay that serves metrics goes on serving its last state until it is interrupted.

    Raises:
        KsmtraceError: the source or a plugin ended the run.
    """
    interruption.source = source
    if interruption.came:
        source.stop()
    live = source.session.source == "live"
    options.json_stream = options.json and live and not options.once
    asked, answers = getattr(options, "log", False), options.json or options.once
    options.tui = not (answers or asked or options.no_tui) and sys.stdout.isatty()
    under_systemd = stderr_is_journal() and not (answers or options.tui)
    options.log = live and (asked or under_systemd)
    options.quit_run = interruption.quit_run
    options.interrupted = lambda: interruption.came
    runner = Runner(source, manager, options, fail_fast=fail_fast)
    status = ExitStatus.DONE

    def at_end(snapshot: Snapshot) -> None:
        nonlocal status
        _print_outcome(snapshot, options, engine)
        if engine is not None and engine.account.parted:
            status = ExitStatus.FLAGGED
        if runner.calls.failures:
            status = ExitStatus.BAD_INPUT
        if interruption.came:
            status = ExitStatus.INTERRUPTED
        elif options.listen and not live and not interruption.quit:
            print("ksmtrace: replay done, still serving metrics; Ctrl-C ends it", file=sys.stderr)
            interruption.wait()

    runner.run(at_end)
    return status


def _print_outcome(snapshot: Snapshot, options: Namespace, engine: EngineReplay | None) -> None:
    if options.json_stream or (options.log and not (options.json or options.once)):
        return
    if options.json:
        followed = {} if engine is None else {"engine": engine.to_json()}
        print(json.dumps(snapshot.document | followed, indent=2))
    else:
        from ksmtrace.plugins.tui import plain_text

        print(plain_text(snapshot).rstrip())
        if engine is not None:
            from ksmtrace.engine_replay.text import engine_text

            print(f"\n{engine_text(engine)}")
    sys.stdout.flush()
