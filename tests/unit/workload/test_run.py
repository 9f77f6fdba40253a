"""A run of a workload on a machine: what is written to it, and what is refused."""

import errno
import os

import pytest

from ksmtrace.errors import ExitStatus, KsmtraceError
from ksmtrace.workload.run import WorkloadRun
from ksmtrace.workload.tunables import RefusedError
from support.workload_steps import workload

KERNEL = {"on": "kernel", "variant": None, "kernel": "6.18.0"}
ENGINE = {"on": "engine", "variant": "ksm-4.4", "kernel": None}


class Machine:
    """Notes what is done; has some tunables, of which it refuses some, and a ksmd that stops."""

    def __init__(self, tunables=("max_page_sharing",), refused=(), passes=10, groups=None):
        self.done = []
        self._tunables = tunables
        self._refused = refused
        self._passes = passes
        self._groups = groups

    def write_tunable(self, name, value):
        if name not in self._tunables:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        self._write(name, value)

    def write_run(self, value):
        self._write("run", value)

    def scan(self, *, passes=0, batches=0):
        yield from range(1, min(self._passes, passes or batches) + 1)

    def counters(self):
        return {"pages_shared": len(self.done)}

    def groups(self):
        return self._groups

    def spawn(self, process):
        self.done.append(("spawn", process))

    def exit(self, process):
        raise KsmtraceError(f"{process} does not end", ExitStatus.FLAGGED)

    def _write(self, name, value):
        if name in self._refused:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        self.done.append((name, value))


def ran(machine, *rows, about=KERNEL, **tunables):
    """The run's document, and the lines for the user."""
    lines = []
    run = WorkloadRun(workload(*rows, **tunables), machine, about, lines.append)
    for _ in run.run():
        pass
    return run.document(), lines


def test_steps_go_to_the_machine_and_snapshots_into_the_document():
    machine = Machine()
    document, lines = ran(machine, "spawn a", "scan 3", "run 2", "snapshot s", max_page_sharing=7)
    assert machine.done == [("max_page_sharing", 7), ("spawn", "a"), ("run", 2)]
    assert lines == []
    assert {key: document[key] for key in KERNEL} == KERNEL
    assert document["snapshots"] == [
        {"step": 1, "name": "scan", "counters": {"pages_shared": 2}, "groups": None},
        {"step": 3, "name": "s", "counters": {"pages_shared": 3}, "groups": None},
    ]


@pytest.mark.parametrize(
    ("row", "unit"), [("scan passes=9", "passes"), ("scan batches=9", "batches")]
)
def test_a_scan_that_ends_early_is_told(row, unit):
    document, lines = ran(Machine(passes=4), row)
    (line,) = lines
    assert line.startswith(f"step 0 (scan): ended after 4 of 9 {unit}")
    assert [one["name"] for one in document["snapshots"]] == ["scan"]


def test_a_run_yields_a_scan_and_each_step():
    run = WorkloadRun(workload("scan 3", "run 0"), Machine(), KERNEL, print)
    assert list(run.run()) == [0, 0, 0, 0, 1]


@pytest.mark.parametrize(("groups", "told"), [(None, True), ([], False), ([["a/r/0"]], False)])
def test_groups_that_a_kernel_cannot_name_are_null(groups, told):
    document, lines = ran(Machine(groups=groups), "snapshot s groups=true")
    assert document["snapshots"][0]["groups"] == groups
    assert [line.startswith("step 0 (snapshot): no groups") for line in lines] == [True] * told


@pytest.mark.parametrize("rows", [(), ("set tunables={smart_scan=0}",)])
def test_a_tunable_that_is_not_there_need_not_be_if_its_value_changes_nothing(rows):
    machine = Machine()
    ran(machine, *(rows or ("snapshot s",)), **({} if rows else {"smart_scan": 0}))
    assert machine.done == []


@pytest.mark.parametrize(("about", "title"), [(KERNEL, "this kernel"), (ENGINE, "ksm-4.4")])
def test_else_it_is_missing(about, title):
    with pytest.raises(KsmtraceError, match=rf"^{title} has no smart_scan$"):
        ran(Machine(), "snapshot s", about=about, smart_scan=1)
    with pytest.raises(KsmtraceError, match=rf"^step 0 \(set\): {title} has no smart_scan$"):
        ran(Machine(), "set tunables={smart_scan=1}", about=about)


@pytest.mark.parametrize(
    ("rows", "tunables", "step", "name"),
    [
        (("snapshot s",), {"max_page_sharing": 7}, None, "max_page_sharing"),
        (("spawn a", "set tunables={max_page_sharing=7}"), {}, 1, "max_page_sharing"),
        (("spawn a", "run 2"), {}, 1, "run"),
    ],
)
def test_what_the_machine_refuses_ends_the_run(rows, tunables, step, name):
    machine = Machine(refused=["max_page_sharing", "run"])
    with pytest.raises(RefusedError, match="EBUSY") as caught:
        ran(machine, *rows, **tunables)
    error = caught.value
    assert (error.step, error.name, error.number) == (step, name, errno.EBUSY)
    assert error.status is ExitStatus.FLAGGED


def test_a_step_that_cannot_be_done_is_named():
    with pytest.raises(KsmtraceError, match=r"^step 1 \(exit\): a does not end$") as caught:
        ran(Machine(), "spawn a", "exit a")
    assert caught.value.status is ExitStatus.FLAGGED
