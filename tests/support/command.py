"""Runs the command as a user does, and checks the form of its errors."""

import os
import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent
KSMTRACE = str(BIN / "ksmtrace")


def ksmtrace(*arguments, **popen):
    """The finished process of `ksmtrace ARGUMENTS`, output as text."""
    return subprocess.run(
        [KSMTRACE, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **popen,
    )


def assert_one_line(ran, status, *words):
    """The documented exit status, one line on stderr with these words in it, nothing on stdout."""
    assert ran.returncode == status, ran.stderr
    assert ran.stdout == ""
    lines = ran.stderr.splitlines()
    assert len(lines) == 1, ran.stderr
    assert lines[0].startswith("ksmtrace: ")
    for word in words:
        assert word in lines[0], lines[0]


def sleeps(pid):
    """Whether a process sleeps most of a second, so that nothing is left that it has to do first.

    However loaded the machine is: a process that waits for a processor does not sleep.
    """
    found = 0
    for _ in range(20):
        time.sleep(0.05)
        found += Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"
    return found >= 16


def wait_until_attached(pid, links=7, seconds=60):
    """Return when a tracer holds so many BPF links and has read the counters for the first time:
    when it mostly sleeps."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        held = 0
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            try:
                held += "bpf" in os.readlink(fd) and "link" in os.readlink(fd)
            except FileNotFoundError:
                continue
        if held >= links and sleeps(pid):
            return
        time.sleep(0.05)
    raise AssertionError(f"{pid} has not attached its probes in {seconds} s")
