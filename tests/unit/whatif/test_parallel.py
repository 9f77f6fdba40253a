"""Executors: ours, and anybody else's."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path

import pytest

from ksmtrace.errors import ExitStatus, HostError
from ksmtrace.whatif.case import Case
from ksmtrace.whatif.grid import build_grid
from ksmtrace.whatif.parallel import local_executor, run_scenarios
from support.workload_steps import workload

STEPS = workload("spawn p", "map p r 6", "fill p r content=byte:1", "mergeable p r", "scan 3")
CASE = Case("workload", "w", STEPS)
SCENARIOS = build_grid(STEPS, [], [], ["pages_to_scan=1,2,3"])


class Inline(Executor):
    """Runs each call at once, as a stand-in for a cluster's executor."""

    def submit(self, function, /, *arguments, **keywords):
        future = Future()
        future.set_result(function(*arguments, **keywords))
        return future


class Dying(Executor):
    def submit(self, function, /, *arguments, **keywords):
        future = Future()
        future.set_exception(BrokenProcessPool("a process was terminated abruptly"))
        return future


def batches(outcomes):
    return [outcome.at_end.batches for outcome in outcomes]


def test_any_executor_will_do():
    told = []
    inline = run_scenarios(CASE, SCENARIOS, Inline(), told.append)
    assert told == [4]
    with ThreadPoolExecutor(2) as threads:
        assert batches(run_scenarios(CASE, SCENARIOS, threads)) == batches(inline)
    # scenarios in their order: 100, 1, 2 and 3 pages a batch, 6 pages and the end of the pass
    assert batches(inline) == [3, 21, 12, 9]


def test_processes_of_this_machine_are_gone_afterwards():
    with local_executor(CASE, 2) as executor:
        found = run_scenarios(CASE, SCENARIOS[:2], executor)
        assert multiprocessing.active_children()
    assert batches(found) == [3, 21]
    assert multiprocessing.active_children() == []


def test_of_scenarios_under_way_the_share_is_told():
    """A run of many steps is told of on its way, never backwards, and ends at the whole."""
    rows = (
        "spawn p",
        "map p r 300",
        "fill p r content=unique:1",
        "mergeable p r",
        *["scan 2"] * 300,
    )
    long = workload(*rows, smart_scan=0)
    scenarios = build_grid(long, [], [], ["smart_scan=0,1"])
    case = Case("workload", "w", long)
    told = []
    with local_executor(case, 2) as executor:
        run_scenarios(case, scenarios, executor, told.append)
    assert told == sorted(told)
    assert told[-1] == 2
    assert any(0 < count % 1 < 1 for count in told)


def test_an_interruption_ends_them():
    with pytest.raises(KeyboardInterrupt), local_executor(CASE, 2) as executor:  # noqa: PT012
        executor.submit(print)
        raise KeyboardInterrupt
    assert multiprocessing.active_children() == []


def test_a_worker_that_dies_is_one_line():
    with pytest.raises(HostError, match="a worker died") as e:
        run_scenarios(CASE, SCENARIOS, Dying())
    assert e.value.status is ExitStatus.HOST_CANNOT


KILLED_PARENT = """
import os, signal, time
from ksmtrace.whatif.case import Case
from ksmtrace.whatif.parallel import local_executor
from ksmtrace.workload.file import Workload

if __name__ == "__main__":
    with local_executor(Case("workload", "w", Workload("w", "ksm-6.18", {}, ())), 1) as executor:
        print(executor.submit(os.getpid).result(), flush=True)
        executor.submit(time.sleep, 600)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_worker_ends_with_a_parent_that_is_killed(tmp_path):
    """At work on something that takes ten minutes."""
    script = tmp_path / "parent.py"
    script.write_text(KILLED_PARENT)
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        worker = int(parent.stdout.readline())
        assert parent.wait() == -signal.SIGKILL
        deadline = time.monotonic() + 60
        try:
            while is_alive(worker) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert not is_alive(worker)
        finally:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
