"""One guest boots; there a trace of every event agrees with the kernel, and the engine does, on two
NUMA nodes."""

import subprocess
import sys

import pytest

from guest import BIN, REPOSITORY
from kernels import kernels

KERNEL = next(name for name, kernel in kernels().items() if kernel.ci)
SHORT = "tests/live/test_causes.py::test_each_cause_is_named_and_counted"
IN_GUEST = f"""
{BIN}/ksmtrace doctor
echo 0 >/proc/sys/kernel/numa_balancing  # pages stay where they are
exec {BIN}/pytest {SHORT} tests/vm/on_two_nodes.py --in-guest -p no:cacheprovider -q
"""


@pytest.mark.vm
@pytest.mark.usefixtures("can_boot")
def test_a_guest_boots_and_a_trace_agrees_with_its_kernel():
    command = [sys.executable, str(REPOSITORY / "tests/vm/guest.py"), "--limit", "900"]
    command += ["--nodes", "2", KERNEL]
    ran = subprocess.run(
        [*command, "--", "sh", "-ec", IN_GUEST], capture_output=True, text=True, check=False
    )
    print(ran.stdout, ran.stderr)
    assert ran.returncode == 0
    assert "tier full" in ran.stdout
    assert "2 passed" in ran.stdout
