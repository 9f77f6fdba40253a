"""No BPF program, map or link of ours is left in the kernel, however a run ends."""

import signal
import subprocess

import pytest

from ksmtrace.kernel.sysfs import read_tunables
from support.command import KSMTRACE
from support.loaded import kprobes, links, programs, until

SECONDS_TO_ATTACH = 600
LATE_TO_ATTACH = {"gather": "__msecs_to_jiffies", "kprobe": "ksm_next_page_pmd_entry"}
"""A function of each choice of probes that other choices leave alone."""


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
@pytest.mark.parametrize(
    ("probes", "number"),
    [
        *((probes, signal.SIGKILL) for probes in ("fentry", "gather", "kprobe")),
        ("gather", signal.SIGTERM),
        *(
            pytest.param(probes, signal.SIGTERM, marks=pytest.mark.slow)
            for probes in ("fentry", "kprobe")
        ),
    ],
)
def test_no_probe_is_left(ksm, probes, number):
    end_by(number, probes)


@pytest.mark.live
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_program_is_left(ksm, number):
    end_by(number, "tracepoint")
