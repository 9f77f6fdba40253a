"""No BPF program, map or link of ours is left in the kernel, however a run ends."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ksmtrace.kernel.sysfs import read_tunables
from support.command import KSMTRACE

SECONDS_TO_ATTACH = 600
LATE_TO_ATTACH = {"gather": "__msecs_to_jiffies", "kprobe": "ksm_next_page_pmd_entry"}
"""A function of each choice of probes that other choices leave alone."""


def listed(what: str) -> set[int]:
    """Ids that bpftool lists; it fails when one of them goes while it looks, and is then asked
    again."""
    for _ in range(20):
        ran = subprocess.run(["bpftool", "-j", what, "list"], capture_output=True, check=False)
        if ran.returncode == 0:
            return {one["id"] for one in json.loads(ran.stdout or b"[]")}
        time.sleep(0.5)
    raise AssertionError(ran.stderr.decode())


def programs() -> set[int]:
    """Ids of the BPF programs that are loaded."""
    return listed("prog")


def kprobes() -> str:
    """Every kprobe that is set, by whichever interface."""
    found = ""
    for path in ("/sys/kernel/debug/kprobes/list", "/sys/kernel/tracing/kprobe_events"):
        if Path(path).exists():
            found += Path(path).read_text()
    return found


def until(what, seconds) -> bool:
    """Looks seldom: to start bpftool takes an emulated processor a second, which the tracer
    lacks."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(3)
    return True


def links() -> set[int]:
    """Ids of the links by which programs are attached, fentry's and fexit's among them."""
    return listed("link")


def end_by(number: int, probes: str) -> None:
    """Trace until attached, end by a signal, and look for what is left."""
    before, links_before, tunables = programs(), links(), read_tunables()
    assert kprobes() == ""
    command = [KSMTRACE, "live", "--no-tui", "--probes", probes]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as run:
        try:
            assert until(lambda: len(programs() - before) >= 7, SECONDS_TO_ATTACH)
            if probes in LATE_TO_ATTACH:
                assert until(lambda: LATE_TO_ATTACH[probes] in kprobes(), SECONDS_TO_ATTACH)
            if probes == "fentry":
                assert until(lambda: len(links() - links_before) >= 10, SECONDS_TO_ATTACH)
            run.send_signal(number)
            run.wait(timeout=400)  # the kernel takes its time to let go of fentry
        finally:
            run.kill()  # a run that does not end would be waited for
    # the kernel frees a killed process's programs in its own time
    assert until(lambda: programs() <= before, 20)
    assert until(lambda: links() <= links_before, 20)
    assert until(lambda: kprobes() == "", 20)
    assert read_tunables() == tunables


@pytest.mark.guest
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("probes", ["fentry", "gather", "kprobe"])
def test_no_probe_is_left(ksm, number, probes):
    end_by(number, probes)


@pytest.mark.live
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_program_is_left(ksm, number):
    end_by(number, "tracepoint")
