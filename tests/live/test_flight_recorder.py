"""A recording that keeps its last segments, while the kernel merges: what a signal saves."""

import json
import signal
import subprocess
import time

import pytest

from support.command import KSMTRACE, ksmtrace, wait_until_attached

pytestmark = pytest.mark.live


def answer(path):
    """The JSON document of a capture."""
    ran = ksmtrace("replay", "--json", path)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_what_is_kept_and_what_a_signal_saves_agree_with_the_kernel(ksm, processes, tmp_path):
    path = tmp_path / "a"
    processes.spawn("a")
    processes.do("a", "map", region="r", pages=6000)
    processes.do("a", "mergeable", region="r")
    command = [
        KSMTRACE,
        "record",
        "-o",
        path,
        "--keep",
        "2",
        "--max-size",
        "2M",
        "--interval",
        "0.2",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        wait_until_attached(run.pid)
        ksm.write("sleep_millisecs", 5)
        ksm.write("pages_to_scan", 2000)
        ksm.write("run", 1)
        for turn in range(600):
            processes.do("a", "fill", region="r", content=f"twin:{turn % 2}")
            time.sleep(0.05)
            if not path.exists():  # the first segment has given way
                break
        run.send_signal(signal.SIGUSR1)
        while not list(tmp_path.glob("a.dump1*")):
            assert run.poll() is None
            time.sleep(0.1)
        time.sleep(1)
        run.send_signal(signal.SIGTERM)
        _, errors = run.communicate()
    assert "SIGUSR1: saved what is kept" in errors
    assert not path.exists()
    assert sum(entry.stat().st_size for entry in tmp_path.glob("a.0*")) <= 2 << 20
    for saved in (path, tmp_path / "a.dump1"):
        document = answer(saved)
        assert document["events"]["total"] > 1000
        assert document["events"]["lost"] == 0
        counts = document["self_check"]["counts"]
        assert counts or document["tier"] != "full"
        assert {row["difference"] for row in counts.values()} <= {0}
        owners = [one["comm"] for one in document["analyzers"]["balance"]["processes"]]
        assert owners
