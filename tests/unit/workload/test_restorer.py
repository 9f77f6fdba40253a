"""The restorer puts back what its parent changed, if the parent is killed."""

import fcntl
import subprocess
import sys

import pytest

from ksmtrace.workload.restorer import Restorer, carry_out

MASTER = """
import os, signal, sys
from pathlib import Path
from ksmtrace.workload.restorer import Restorer
folder = Path(sys.argv[1])
lock = (folder / "lock").open("w")
import fcntl
fcntl.flock(lock, fcntl.LOCK_EX)
restorer = Restorer(lock.fileno())
restorer.add([[str(folder / "a"), "1"], [str(folder / "b"), "first"]])
restorer.add([[str(folder / "b"), "second"], [str(folder / "missing" / "c"), "x"]])
if sys.argv[2] == "dismiss":
    restorer.dismiss()
else:
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("end", "a", "b"), [("die", "1", "first"), ("dismiss", "0", "0")])
def test_restores_after_death_only(tmp_path, end, a, b):
    """Later plans first, what cannot be written passed over, and the lock held until it is done."""
    for name in ("a", "b"):
        (tmp_path / name).write_text("0")
    subprocess.run([sys.executable, "-c", MASTER, str(tmp_path), end], check=False)
    with (tmp_path / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert (tmp_path / "a").read_text() == a
        assert (tmp_path / "b").read_text() == b


def test_a_warden_that_was_killed_is_no_error(tmp_path):
    with (tmp_path / "lock").open("w") as lock:
        restorer = Restorer(lock.fileno())
        restorer._process.kill()
        restorer._process.wait()
        restorer.add([("x", "y")])
        restorer.dismiss()


def test_values_that_are_refused_are_passed_over(tmp_path):
    carry_out([(str(tmp_path), "x"), (str(tmp_path / "a"), "1")])
    assert (tmp_path / "a").read_text() == "1"
