"""A busy host with ksmtrace attached and over its budget: the kernel complains of nothing, nothing
of ours stays in it, and KSM works."""

import json
import random
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.command import KSMTRACE
from support.loaded import KernelLog, kprobes, links, programs, until

pytestmark = [pytest.mark.live, pytest.mark.slow]

TESTS = Path(__file__).parent.parent
SECONDS_TO_ATTACH = 120
SECONDS, SECONDS_TO_END = 40, 300
ALIVE = 8
PAGES = 50


@contextmanager
def busy():
    """Processes that are born and gone, and four that do whatever may be done to memory."""
    modules = [("support.churn", str(ALIVE), "0")]
    modules += [("support.stress", str(seed)) for seed in range(4)]
    started = []
    try:
        for module in modules:
            command = [sys.executable, "-m", *module]
            one = subprocess.Popen(command, cwd=TESTS, stdout=subprocess.DEVNULL)
            started.append(one)
        yield started
    finally:
        for one in started:
            one.terminate()
        for one in started:
            one.wait()


def switch(ksm, chance):
    """One write to KSM's tunables; ksmd goes on afterwards, since what rests is in no sample."""
    names = {"run": (2, 0), "pages_to_scan": (50, 500, 5000), "sleep_millisecs": (5, 10, 20)}
    name = chance.choice(list(names))
    ksm.write(name, chance.choice(names[name]))
    ksm.write("run", 1)


def merges(ksm, processes):
    """Whether two processes' equal pages merge, all of them and nothing else, and come apart."""
    ksm.write("run", 2)
    ksm.write("run", 0)
    ksm.start_stepping()
    for name in ("one", "two"):
        processes.spawn(name)
        processes.do(name, "map", region="r", pages=PAGES)
        processes.do(name, "fill", region="r", content="unique:1")
        processes.do(name, "mergeable", region="r")
    ksm.scan(4)
    merged = ksm.counter("pages_shared"), ksm.counter("pages_sharing")
    processes.do("one", "poke", region="r", first=0, pages=PAGES, offset=0, value=255)
    ksm.scan(2)
    return merged == (PAGES, PAGES) and ksm.counter("pages_sharing") == 0


def test_a_host_under_stress_is_whole_afterwards(ksm, processes, tmp_path):
    before, links_before, log = programs(), links(), KernelLog()
    chance = random.Random(1)
    command = [KSMTRACE, "live", "--once", "--json", "--duration", str(SECONDS)]
    command += ["--budget", "0.0001%", "--probes", "tracepoint"]
    out, err = tmp_path / "out", tmp_path / "err"
    ksm.write("sleep_millisecs", 20)
    ksm.write("pages_to_scan", 500)
    ksm.write("run", 1)
    with (
        busy() as started,
        out.open("w") as stdout,
        err.open("w") as stderr,
        subprocess.Popen(command, stdout=stdout, stderr=stderr) as run,
    ):
        try:
            assert until(lambda: len(programs() - before) >= 7, SECONDS_TO_ATTACH)
            deadline = time.monotonic() + SECONDS_TO_END
            while run.poll() is None:
                assert time.monotonic() < deadline
                switch(ksm, chance)
                time.sleep(1)
        finally:
            run.kill()
        assert [one.poll() for one in started] == [None] * len(started)
    document = json.loads(out.read_text())
    assert run.returncode == 0, err.read_text()
    assert document["tier"] == "tracepoint"
    assert document["stream"]["ended_seconds"], document["probe_time"]
    assert document["plugins_failed"] == {}
    assert until(lambda: programs() <= before, 20)
    assert until(lambda: links() <= links_before, 20)
    assert until(lambda: kprobes() == "", 20)
    assert merges(ksm, processes)
    assert log.complaints() == []
