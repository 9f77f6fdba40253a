"""Nothing of ours stays in the kernel, however a run ends."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.command import KSMTRACE

SECONDS_TO_ATTACH = 60


def programs() -> set[int]:
    """Ids of the BPF programs that are loaded."""
    listed = subprocess.run(["bpftool", "-j", "prog", "list"], capture_output=True, check=True)
    return {program["id"] for program in json.loads(listed.stdout)}


def kprobes() -> str:
    """Every kprobe that is set, by whichever interface."""
    found = ""
    for path in ("/sys/kernel/debug/kprobes/list", "/sys/kernel/tracing/kprobe_events"):
        if Path(path).exists():
            found += Path(path).read_text()
    return found


def until(what, seconds) -> bool:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def end_by(number: int, *, with_kprobes: bool) -> None:
    """Trace until attached, end by a signal, and look for what is left."""
    before = programs()
    assert kprobes() == ""
    command = [KSMTRACE, "live", "--no-tui"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as run:
        assert until(lambda: len(programs() - before) >= 7, SECONDS_TO_ATTACH)
        if with_kprobes:
            assert until(lambda: "ksm_next_page_pmd_entry" in kprobes(), SECONDS_TO_ATTACH)
        run.send_signal(number)
        run.wait(timeout=60)
    # the kernel frees a killed process's programs in its own time
    assert until(lambda: programs() <= before, 20)
    assert until(lambda: kprobes() == "", 20)


@pytest.mark.guest
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_kprobe_is_left(ksm, number):
    end_by(number, with_kprobes=True)


@pytest.mark.live
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_program_is_left(ksm, number):
    end_by(number, with_kprobes=False)
