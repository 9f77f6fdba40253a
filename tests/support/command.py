"""Runs the command as a user would, and checks the manners of its errors."""

import subprocess
import sys
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
