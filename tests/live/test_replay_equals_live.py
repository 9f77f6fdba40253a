"""A live run on this machine and the replay of its capture: equal answers, equal metrics."""

import json
import subprocess
import sys
import time

import pytest

from ksmtrace.capture.reader import open_capture
from support.command import KSMTRACE, ksmtrace, wait_until_attached
from support.exposition import samples
from support.terminal import on_terminal

pytestmark = pytest.mark.live


def test_live_and_replay(clean_ksm, tmp_path):
    capture = tmp_path / "demo.ksmtrace"
    live = ksmtrace("demo", "--record", capture, "--duration", "12", "--interval", "30", "--json",
                    "--textfile", tmp_path / "live")  # fmt: skip
    assert live.returncode == 2, "the directory for the textfile is missing"
    (tmp_path / "live").mkdir()
    (tmp_path / "replay").mkdir()
    live = ksmtrace("demo", "--record", capture, "--duration", "12", "--interval", "30", "--json",
                    "--textfile", tmp_path / "live")  # fmt: skip
    assert live.returncode == 0, live.stderr
    replay = ksmtrace("replay", capture, "--json", "--textfile", tmp_path / "replay")
    assert replay.returncode == 0, replay.stderr
    ours = json.loads(live.stdout.splitlines()[-1])
    theirs = json.loads(replay.stdout)
    assert theirs["analyzers"] == ours["analyzers"]
    assert theirs["analyzers"]["stable_tree"]["merged_pages"] > 2000
    both = [samples((tmp_path / run / "ksmtrace.prom").read_text()) for run in ("live", "replay")]
    assert both[0] == both[1]
    assert len(both[0]) > 40


@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_a_recording_cleanly(ksm, tmp_path, signal):
    """Exit 130, the summary printed, the capture closed and readable."""
    import signal as signals

    ksm.write("run", 1)
    capture = tmp_path / "c.ksmtrace"
    with subprocess.Popen(
        [KSMTRACE, "record", "-o", str(capture)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        wait_until_attached(run.pid)
        run.send_signal(signals.Signals[signal])
        out, err = run.communicate(timeout=30)
    assert run.returncode == 130, err
    assert err == ""
    assert "ksmtrace" in out
    with open_capture(str(capture)) as read:
        assert sum(len(batch) for batch in read.batches()) > 0
        assert read.warnings == []


def test_a_killed_recording_replays(ksm, tmp_path):
    """SIGKILL: what was flushed is there, with a warning that the end is missing."""
    ksm.write("run", 1)
    capture = tmp_path / "c.ksmtrace"
    with subprocess.Popen(
        [KSMTRACE, "record", "-o", str(capture)], stdout=subprocess.DEVNULL
    ) as run:
        wait_until_attached(run.pid)
        time.sleep(3)  # a batch is written each second
        run.kill()
    replay = ksmtrace("replay", capture, "--json")
    assert replay.returncode == 0
    assert "did not end cleanly" in replay.stderr
    assert json.loads(replay.stdout)["events"]["by_kind"]["SAMPLE"] > 0


def test_a_plugin_of_another_package_joins(clean_ksm, repository, tmp_path):
    """Installed, it is listed, shows its panel's text, its metric and its JSON; raising, it is
    named."""
    import os
    import shutil

    package = shutil.copytree(repository / "tests/plugin_package", tmp_path / "package")
    subprocess.run(
        [*(sys.executable, "-m", "pip", "install", "-q", "--no-deps"),
         *("--target", str(tmp_path / "site"), str(package))],
        check=True,
    )  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    listed = ksmtrace("plugins", env=environment).stdout
    assert "hottest" in listed
    assert "ksmtrace-hottest 1.2" in listed
    capture = tmp_path / "c.ksmtrace"
    live = ["demo", "--duration", "6", "--interval", "30", "--json", "--record", capture]
    (tmp_path / "prom").mkdir()
    ran = ksmtrace(*live, "--textfile", tmp_path / "prom", env=environment)
    assert ran.returncode == 0, ran.stderr
    analysis = json.loads(ran.stdout.splitlines()[-1])["analyzers"]
    assert analysis["hottest"]["attempts"] == analysis["stable_tree"]["attempted_pages"] > 0
    assert "ksmtrace_hottest_attempts " in (tmp_path / "prom/ksmtrace.prom").read_text()
    assert "hottest address" in ksmtrace("replay", capture, env=environment).stdout
    _, drawn = on_terminal(
        [KSMTRACE, "replay", str(capture), "--speed", "2"], columns=120, lines=40, env=environment
    )
    assert "hottest address was tried" in drawn.rpartition("\x1b[?1049l")[0]
    raising = {**environment, "HOTTEST_RAISES": "1"}
    ran = ksmtrace("replay", capture, env=raising)
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert "'hottest' raised RuntimeError" in line
    assert "-p no:hottest" in line
    assert ran.stdout == ""
    ran = ksmtrace("replay", capture, "-p", "no:hottest", env=raising)
    assert ran.returncode == 0
    ran = ksmtrace(*live, "--force", env=raising)
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert "going on without it" in line
    document = json.loads(ran.stdout.splitlines()[-1])
    assert list(document["plugins_failed"]) == ["hottest"]
    assert document["analyzers"]["stable_tree"]["merged_pages"] > 0
