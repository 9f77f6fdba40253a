"""`why` of odd processes and by odd users: a line, the documented status, and it ends."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest

from ksmtrace.cli import main
from support.command import KSMTRACE, ksmtrace, sleeps

HOLDER = """
import mmap, sys
flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000
memory = mmap.mmap(-1, int(sys.argv[1]) << 20, flags)
memory.madvise(mmap.MADV_NOHUGEPAGE)
for at in range(int(sys.argv[2])):
    memory[at * 4096] = 1 + at % 250
print(flush=True)
sys.stdin.read()
"""
LOOK = ("--looks", "2", "--every", "0.05")


@pytest.fixture
def holder():
    """Starts a process with so many MiB reserved, of which so many pages are written."""
    started = []

    def start(mebibytes, pages):
        command = [sys.executable, "-c", HOLDER, str(mebibytes), str(pages)]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        child.stdout.readline()
        started.append(child)
        return child

    yield start
    for child in started:
        child.kill()
        child.communicate()


def asked(*arguments):
    return json.loads(ksmtrace("why", *arguments, *LOOK, "--json").stdout)


def refused(capsys, *arguments):
    """The line and the status."""
    status = main(["why", *map(str, arguments)])
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    return status, line


@pytest.mark.live
def test_terabytes_that_are_empty_cost_nothing_here(holder):
    check_terabytes(holder)


@pytest.mark.guest
def test_terabytes_that_are_empty_cost_nothing_in_a_guest(holder):
    check_terabytes(holder)


def check_terabytes(holder):
    child = holder(32 << 20, 300)
    found = asked(child.pid)
    reasons = {one["reason"]: one for one in found["reasons"]}
    pages = sum(one["pages"] for one in found["reasons"])
    assert pages > (32 << 40) // 4096
    assert 300 <= reasons["not_advised"]["present_pages"] < 20_000
    (large,) = [one for one in found["mappings"] if one["pages"] >= (32 << 40) // 4096]
    assert large["present_pages"] == 300


@pytest.mark.live
def test_a_stopped_process_is_read(holder):
    child = holder(4, 300)
    os.kill(child.pid, signal.SIGSTOP)
    reasons = {one["reason"]: one["pages"] for one in asked(child.pid)["reasons"]}
    assert reasons["unread"] == reasons["changing"] == 0


@pytest.mark.live
def test_a_process_that_ends_while_it_is_read(holder, monkeypatch, capsys):
    child = holder(4, 300)
    from ksmtrace.why import comparing

    read = comparing.Comparison._read

    def after(self, pages, done):
        child.kill()
        child.wait()
        return read(self, pages, done)

    monkeypatch.setattr(comparing.Comparison, "_read", after)
    status, line = refused(capsys, child.pid, *LOOK)
    assert status == 2
    assert f"process {child.pid} ended while it was looked at" in line


@pytest.mark.live
def test_a_zombie_has_nothing(holder, capsys):
    child = holder(4, 1)
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    status, line = refused(capsys, child.pid)
    assert (status, "there is no process" in line) == (2, True)


@pytest.mark.live
@pytest.mark.parametrize("addresses", ["0-1000", "1000", "ffffffffffff0000-ffffffffffffffff"])
def test_addresses_outside_of_the_process(addresses, holder, capsys):
    child = holder(4, 1)
    status, line = refused(capsys, child.pid, addresses)
    assert status == 2
    assert f"process {child.pid} maps nothing from 0x" in line
    assert f"/proc/{child.pid}/maps lists" in line


@pytest.mark.live
def test_a_range_that_is_mapped_in_part(holder):
    child = holder(4, 1)
    with open(f"/proc/{child.pid}/maps") as maps:
        first = int(maps.readline().split("-")[0], 16)
    found = asked(child.pid, f"0-{first + 1:x}")
    assert [(one["start"], one["pages"]) for one in found["mappings"]] == [(f"{first:#x}", 1)]


@pytest.mark.live
def test_a_guest_by_its_name(holder):
    """A process is taken for a guest by its command line."""
    name = f"web{os.getpid()}"
    script = "import sys; print(flush=True); sys.stdin.read()"
    command = ["qemu-system-x86_64", "-c", script, "-name", f"guest={name}"]
    with subprocess.Popen(
        command, executable=sys.executable, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        found = asked("--vm", name)
        assert (found["process"]["pid"], found["process"]["vm"]) == (child.pid, name)
        child.stdin.close()


@pytest.mark.live
def test_what_is_interrupted_says_so(holder):
    child = holder(64, 10_000)
    command = [KSMTRACE, "why", str(child.pid), "--every", "600", "--json", "--no-near"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as why:
        while not sleeps(why.pid):
            pass
        why.send_signal(signal.SIGINT)
        out, err = why.communicate(timeout=60)
    assert why.returncode == 130, err
    found = json.loads(out)
    assert (found["complete"], found["looks"]) == (False, 1)
    assert b"incomplete: it was cut short" in err


@pytest.mark.live
def test_who_may_not_read_is_told():
    script = (
        "import os, sys; os.setgid(65534); os.setuid(65534); from ksmtrace.cli import main; "
        f"sys.exit(main(['why', '{os.getpid()}']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert done.returncode == 3, done.stderr
    (line,) = done.stderr.splitlines()
    assert re.search(r"may not be read \(EACCES.*run as root", line)


@pytest.mark.live
def test_bytes_are_printed_where_they_are_asked_for_alone(holder):
    child = holder(4, 300)
    for option, shown in (((), False), (("--show-bytes",), True)):
        near = asked(child.pid, *option)["near"]
        assert near["near_pages"] >= 200
        differences = [one for shape in near["shapes"] for one in shape["differences"]]
        assert all((one["bytes"] is not None) is shown for one in differences)
    assert asked(child.pid, "--no-near")["near"] is None
