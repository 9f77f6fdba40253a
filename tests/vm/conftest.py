"""What a machine needs in order to boot guests."""

import os
import shutil

import pytest

from conftest import cannot


@pytest.fixture(scope="session")
def can_boot(request: pytest.FixtureRequest) -> None:
    """Skip where no guest can be booted, or fail with --require-vm."""
    if os.geteuid() != 0:
        cannot(request, "--require-vm", "needs root, to unpack the kernel into /boot")
    if shutil.which("qemu-system-x86_64") is None:
        cannot(request, "--require-vm", "needs qemu-system-x86 (make test installs it as root)")
