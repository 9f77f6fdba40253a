"""Sink: prints one JSON document per interval, one line each, for `live --json`."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from ksmtrace import hookimpl
from ksmtrace.errors import ExitStatus, KsmtraceError

if TYPE_CHECKING:
    from ksmtrace.pipeline.options import RunOptions
    from ksmtrace.pipeline.snapshot import Snapshot
    from ksmtrace.session import Session


class Plugin:
    """Streams documents on stdout while a live run lasts; of other runs the verb prints the one."""

    def __init__(self) -> None:
        self._streams = False

    @hookimpl
    def ksmtrace_session_start(self, session: Session, options: RunOptions) -> None:
        """See whether this run streams."""
        self._streams = options.streams_json(session)

    @hookimpl
    def ksmtrace_publish(self, snapshot: Snapshot) -> None:
        """Print the document.

        Raises:
            KsmtraceError: nobody reads stdout any more; ends the run with status 0, for `| head`.
        """
        if not self._streams:
            return
        try:
            sys.stdout.write(json.dumps(snapshot.document) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            self._streams = False
            _drop_stdout()
            raise KsmtraceError(
                "the reader of standard output is gone: the run ends", ExitStatus.DONE
            ) from None


def _drop_stdout() -> None:
    """Send stdout to /dev/null: the interpreter would report the same pipe when it exits."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
