"""Puts files of /sys back when the process that changed them is killed.

It runs as a process of its own, reads plans from stdin, one a line: JSON lists of [path, value].
When stdin ends and the last line was not "done", it carries them out, the last one first. It
inherits its parent's lock, so that nobody borrows KSM before that.
"""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

Plan = Sequence[tuple[str, str]]

_PATIENCE_SECONDS = 10.0
_PAUSE_SECONDS = 0.05


def carry_out(plan: Plan, patience_seconds: float = 0.0) -> None:
    """Write all values; one that is refused is skipped, after a while if it is for being busy."""
    deadline = time.monotonic() + patience_seconds
    while True:
        busy = False
        for path, value in plan:
            try:
                Path(path).write_text(value)
            except OSError as error:
                busy |= error.errno == errno.EBUSY
        if not busy or time.monotonic() > deadline:
            return
        time.sleep(_PAUSE_SECONDS)


class Restorer:
    """A process that carries plans out if this one is killed before `dismiss`.

    Args:
        lock: file descriptor that the process keeps open until it has done so.
    """

    def __init__(self, lock: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            pass_fds=[lock],
            process_group=0,
            text=True,
        )

    def add(self, plan: Plan) -> None:
        """A plan to be carried out before those added earlier."""
        self._say(json.dumps(plan))

    def dismiss(self) -> None:
        """All is put back: nothing to be done any more."""
        self._say("done")
        with suppress(BrokenPipeError):
            self._process.communicate()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        # somebody killed the restorer: this process puts back what it changed itself
        with suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()


def main() -> None:
    """Wait for the parent's end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    lines = sys.stdin.read().splitlines()
    if lines[-1:] != ["done"]:
        for line in reversed(lines):
            carry_out(json.loads(line), _PATIENCE_SECONDS)


if __name__ == "__main__":
    main()
