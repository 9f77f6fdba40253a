"""Dropping capabilities, in a process of its own, against /proc/self/status."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import threading
from ksmtrace.kernel.capabilities import keep_only, without
def effective():
    with open("/proc/thread-self/status") as file:
        return next(int(line.split()[1], 16) for line in file if line.startswith("CapEff"))
with without("CAP_BPF"):
    inside = effective()
after = effective()
keep_only({"CAP_DAC_READ_SEARCH", "CAP_BPF"})
found = []
thread = threading.Thread(target=lambda: found.append(effective()))
thread.start()
thread.join()
try:
    open("/proc/1/environ", "rb").close()
    import os
    os.setuid(1)
    said = "allowed"
except PermissionError:
    said = "refused"
import subprocess
child = subprocess.run(["grep", "CapEff", "/proc/self/status"], capture_output=True, text=True)
print(inside, after, effective(), found[0], int(child.stdout.split()[1], 16), said)
"""


@pytest.mark.live
def test_what_is_kept_is_all_there_is(request):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    inside, after, now, thread, child, said = ran.stdout.split()
    kept = (1 << 2 | 1 << 39) & int(after)
    assert int(inside) == int(after) & ~(1 << 39)
    assert int(now) == int(thread) == kept
    assert int(child) & ~kept == 0
    assert said == "refused"
