"""The kernels that CI boots pass tests/live in guests, at the same time."""

import subprocess
import sys

import pytest

from guest import LIMIT_SECONDS, OUT, REPOSITORY
from kernels import install, kernels

EXAMPLES = "0.3"
"""The share of each test's rounds, slow tests left out; `make vm-all` does all."""

CI_KERNELS = sorted(name for name, kernel in kernels().items() if kernel.ci)


@pytest.fixture(scope="module")
def guests(can_boot, tmp_path_factory):
    """A running guest for each kernel, and the file that its output goes to: all at once, one
    processor each."""
    OUT.mkdir(exist_ok=True)
    started = {}
    for name in CI_KERNELS:
        said = tmp_path_factory.mktemp("guest") / "said"
        install(kernels()[name])  # one after the other: they share /boot
        with said.open("wb") as file:
            command = [sys.executable, str(REPOSITORY / "tests/vm/guest.py")]
            command += ["--examples", EXAMPLES, name]
            started[name] = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT), said
    yield started
    for run, _ in started.values():
        run.terminate()
        run.wait()


@pytest.mark.vm
@pytest.mark.timeout(LIMIT_SECONDS + 600)
@pytest.mark.parametrize("kernel", CI_KERNELS)
def test_guest_passes_the_live_tests(guests, kernel):
    run, file = guests[kernel]
    status = run.wait()
    said = file.read_text(errors="replace")
    print(said)
    assert status == 0
    closing = said.strip().splitlines()[-1]
    assert " passed" in closing
    assert "skipped" not in closing
