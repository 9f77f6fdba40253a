"""Every kernel of kernels.toml boots in a guest and passes tests/live there."""

import os
import shutil
import subprocess
import sys

import pytest

from conftest import cannot
from guest import OUT, REPOSITORY
from kernels import kernels


@pytest.mark.vm
@pytest.mark.parametrize("kernel", sorted(name for name, kernel in kernels().items() if kernel.ci))
def test_guest_passes_the_live_tests(request, kernel):
    if os.geteuid() != 0:
        cannot(request, "--require-vm", "needs root, to unpack the kernel into /boot")
    if shutil.which("qemu-system-x86_64") is None:
        cannot(request, "--require-vm", "needs qemu-system-x86 (make test installs it as root)")
    OUT.mkdir(exist_ok=True)
    ran = subprocess.run(
        [sys.executable, str(REPOSITORY / "tests/vm/guest.py"), kernel],
        capture_output=True,
        text=True,
        check=False,
    )
    print(ran.stdout, ran.stderr)
    assert ran.returncode == 0
    closing = ran.stdout.strip().splitlines()[-1]
    assert " passed" in closing
    assert "skipped" not in closing
