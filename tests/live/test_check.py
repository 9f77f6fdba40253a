"""`live --check` on this machine's own kernel."""

import re

import pytest

from support.command import ksmtrace

pytestmark = pytest.mark.live


def test_what_is_saved_is_held_against_a_range(ksm):
    """KSM runs and nobody has mergeable memory: nothing is saved."""
    ksm.write("run", 1)
    ran = ksmtrace("live", "--check", "--probes", "sysfs", "--duration", "1", "-c", "saved=1MiB:")
    assert ran.returncode == 2, ran.stderr
    assert re.fullmatch(
        r"KSM CRITICAL - saved 0 B is below 1\.0 MiB; [^|]+"
        r" \| saved=0B;;1048576:;0 net=\S+ ksmd=\S+ lost=\S+\n",
        ran.stdout,
    )
    ran = ksmtrace("live", "--check", "--probes", "sysfs", "--duration", "1", "-c", "saved=0")
    assert ran.returncode == 0, ran.stdout
