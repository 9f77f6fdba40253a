"""A trace that has dropped its capabilities misses nothing."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from support.command import KSMTRACE, wait_until_attached

pytestmark = pytest.mark.live

READ_SEARCH, BPF = 1 << 2, 1 << 39


def effective(task):
    for line in (task / "status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    raise AssertionError(f"no capabilities in {task}")


def test_every_thread_is_left_with_next_to_nothing(ksm, processes):
    """In the middle of a trace: CAP_DAC_READ_SEARCH, on old kernels CAP_BPF; merges and /proc are
    read all the same."""
    command = [KSMTRACE, "live", "--once", "--json", "--duration", "15", "--listen", "0"]
    with subprocess.Popen(
        [*command, "--drop-capabilities"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        wait_until_attached(run.pid)
        processes.spawn("twins")
        processes.do("twins", "map", region="r", pages=200)
        processes.do("twins", "fill", region="r", content="twin:9")
        processes.do("twins", "mergeable", region="r")
        ksm.write("pages_to_scan", 5000)
        ksm.write("run", 1)
        time.sleep(5)
        left = {effective(task) for task in Path(f"/proc/{run.pid}/task").iterdir()}
        (serving,) = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        assert effective(Path("/proc") / serving) == 0
        assert "Uid:\t65534\t" in Path("/proc", serving, "status").read_text()
        out, err = run.communicate(timeout=120)
    assert run.returncode == 0, err
    assert len(left) == 1
    assert left.pop() & ~BPF == READ_SEARCH
    document = json.loads(out)
    assert document["events"]["by_kind"]["STABLE_APPEND"] == 200
    assert document["events"]["by_kind"]["PROCESS_SAMPLE"] > 0
    assert document["events"]["lost"] == 0
