"""Runs the command on a real pseudo-terminal and keeps what it draws."""

import fcntl
import os
import pty
import struct
import subprocess
import termios


def on_terminal(
    command: list[str], *, columns: int, lines: int, env: dict | None = None
) -> tuple[int, str]:
    """(exit status, everything written to the terminal) of `command` on a terminal of that size."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    environment = {**(env or os.environ), "TERM": "xterm-256color"}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        environment.pop(name, None)
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        os.close(theirs)
        drawn = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            drawn += piece
        process.wait(timeout=60)
    os.close(ours)
    return process.returncode, drawn.decode("utf-8", "replace")
