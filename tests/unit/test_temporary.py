"""A file is there whole or as it was, and what a killed ksmtrace left goes with the next one."""

import os
import signal
import subprocess
import sys

import pytest

from ksmtrace.temporary import write_whole


def test_it_replaces_a_file_in_one_step(tmp_path):
    target = tmp_path / "a"
    target.write_text("old")
    inode = target.stat().st_ino
    write_whole(target, "new \u00e9", 0o640)
    assert target.read_text(encoding="utf-8") == "new \u00e9"
    assert target.stat().st_ino != inode
    assert target.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("at", ["fsync", "fchmod", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, at):
    target = tmp_path / "a"
    target.write_text("old")

    def fail(*_: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(os, at, fail)
    with pytest.raises(OSError, match="no"):
        write_whole(target, "new")
    assert target.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_what_a_kill_leaves_goes_with_the_next_file(tmp_path):
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from ksmtrace import temporary\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "temporary.write_whole(Path(sys.argv[1]) / 'a', 'half')\n"
    )
    ran = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert ran.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    write_whole(tmp_path / "b", "whole")
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]
