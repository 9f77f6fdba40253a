"""One guest boots, and there a trace of every event agrees with the kernel."""

import subprocess
import sys

import pytest

from guest import BIN, REPOSITORY
from kernels import kernels

KERNEL = next(name for name, kernel in kernels().items() if kernel.ci)
SHORT = "tests/live/test_causes.py::test_each_cause_is_named_and_counted"
IN_GUEST = f"""
{BIN}/ksmtrace doctor
exec {BIN}/pytest {SHORT} --in-guest -p no:cacheprovider -q
"""


@pytest.mark.vm
@pytest.mark.usefixtures("can_boot")
def test_a_guest_boots_and_a_trace_agrees_with_its_kernel():
    command = [sys.executable, str(REPOSITORY / "tests/vm/guest.py"), "--limit", "900", KERNEL]
    ran = subprocess.run(
        [*command, "--", "sh", "-ec", IN_GUEST], capture_output=True, text=True, check=False
    )
    print(ran.stdout, ran.stderr)
    assert ran.returncode == 0
    assert "tier full" in ran.stdout
    assert "1 passed" in ran.stdout
