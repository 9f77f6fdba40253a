"""estimate and audit where not all processes are seen: that is said, and what is seen is told."""

import json
import subprocess

import pytest

from support.command import KSMTRACE

ALONE = ("unshare", "--pid", "--fork", "--mount-proc")


@pytest.mark.live
@pytest.mark.parametrize("verb", [("estimate", "--looks", "1"), ("audit",)])
def test_another_pid_namespace_is_told(verb):
    ran = subprocess.run(
        [*ALONE, KSMTRACE, *verb, "--json"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "only processes that are seen here are looked at" in ran.stderr
    assert "PID namespace of its own" in ran.stderr
    assert json.loads(ran.stdout)["complete"]


@pytest.mark.live
def test_here_all_are_seen():
    ran = subprocess.run([KSMTRACE, "audit"], capture_output=True, text=True, check=False)
    assert "seen here" not in ran.stderr
