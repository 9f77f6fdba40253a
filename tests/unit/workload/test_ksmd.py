"""When a kernel thread is asleep."""

import pytest

from ksmtrace.errors import HostError
from ksmtrace.workload.ksmd import wait_until_asleep

ASLEEP, RUNNING = "0 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0\n", "running\n"


@pytest.fixture
def thread(tmp_path, monkeypatch):
    """A thread's directory in /proc, which changes as listed while it is waited for."""
    changes = []

    def show(syscall, state):
        (tmp_path / "syscall").write_text(syscall)
        (tmp_path / "stat").write_text(f"37 (a ) S) {state} 2 0 0 0 -1 2097216\n")

    def sleep(seconds):
        assert seconds < 0.01
        show(*changes.pop(0))

    monkeypatch.setattr("ksmtrace.workload.ksmd.time.sleep", sleep)
    (tmp_path / "comm").write_text("ksmd\n")
    return tmp_path, show, changes


def test_waits_until_the_thread_is_off_the_run_queue_in_state_s(thread):
    """On a run queue with state S it was just woken; off it with state D it waits for a lock."""
    proc, show, changes = thread
    show(RUNNING, "R")
    changes += [(RUNNING, "S"), (ASLEEP, "D"), (RUNNING, "R"), (ASLEEP, "S"), (RUNNING, "R")]
    wait_until_asleep(proc)
    assert changes == [(RUNNING, "R")]


WAKING, LOOKING, LOCKED = (ASLEEP, "R"), (RUNNING, "S"), (ASLEEP, "D")


@pytest.mark.parametrize("moments", [[WAKING, LOOKING], [LOOKING, LOCKED, LOCKED]])
@pytest.mark.parametrize("repeated", range(3))
def test_one_moment_is_not_taken_for_another(tmp_path, monkeypatch, moments, repeated):
    """The thread goes on between two reads of its files."""
    shown = [WAKING] * repeated + moments + [(RUNNING, "R"), (ASLEEP, "S")]

    def read_text(path):
        syscall, state = shown[0]
        del shown[: len(shown) > 1]
        return syscall if path.name == "syscall" else f"37 (ksmd) {state} 2 0\n"

    monkeypatch.setattr("ksmtrace.workload.ksmd.Path.read_text", read_text)
    wait_until_asleep(tmp_path)
    assert shown == [(ASLEEP, "S")]


def test_gives_up(thread, monkeypatch):
    proc, show, _ = thread
    show(RUNNING, "R")
    monkeypatch.setattr("ksmtrace.workload.ksmd._PATIENCE_SECONDS", -1)
    with pytest.raises(HostError, match="ksmd has not come to rest"):
        wait_until_asleep(proc)


def test_a_thread_that_cannot_be_looked_at(tmp_path):
    with pytest.raises(HostError, match="stat cannot be read"):
        wait_until_asleep(tmp_path)
    (tmp_path / "stat").write_text("37 (ksmd) S 2 0\n")
    with pytest.raises(HostError, match="syscall cannot be read"):
        wait_until_asleep(tmp_path)
