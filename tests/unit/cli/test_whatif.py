"""`ksmtrace whatif`: the command, its bad input, and how it ends."""

import json
import os
import pty
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ksmtrace.engine.variants import NEWEST, VARIANTS
from ksmtrace.events import EventKind
from ksmtrace.session import Exactness, Probe
from ksmtrace.sources.engine import EngineSource
from support.command import KSMTRACE, assert_one_line, ksmtrace
from support.recordings import write
from support.streams import ListSource
from support.workload_steps import workload, workload_toml

STEPS = ("spawn a", "map a r 12", "fill a r pages=10 content=byte:97", "mergeable a r", "scan 3")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "w.toml"
    path.write_text(workload_toml(*STEPS))
    return path


def test_a_workload(file):
    ran = ksmtrace(
        "whatif", file, "--variant", "ksm-6.1", "zero-page", "--set", "pages_to_scan=5", "--json"
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    found = json.loads(ran.stdout)
    assert [one["variant"] for one in found["scenarios"]] == [NEWEST, "ksm-6.1", "zero-page"]
    assert [one["saved_bytes"] for one in found["scenarios"]] == [9 * 4096, 9 * 4096, 0]
    assert found["scenarios"][1]["batches"] == 9


def test_a_capture(tmp_path, file):
    ksmtrace("simulate", file, "-o", tmp_path / "c")
    ran = ksmtrace("whatif", tmp_path / "c", "--sweep", "max_page_sharing=2,256")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "equal at the ends of 3 of 3 passes" in ran.stdout
    assert "max_page_sharing=2\n" in ran.stdout
    assert "\x1b" not in ran.stdout


def test_without_comparisons_all_else_is_the_same(file):
    """What was not counted is null, never 0; the relatives of KSM count anyway."""
    command = ("whatif", file, "--variant", "ksm-6.1", "pksm", "zero-page", "--json")
    counted, uncounted = (
        json.loads(ksmtrace(*command, *more).stdout)["scenarios"]
        for more in ((), ("--no-comparisons",))
    )
    for one, other in zip(counted, uncounted, strict=True):
        relative = one["variant"] in ("pksm", "zero-page")
        for row, other_row in (
            (one, other),
            *zip(one["over_time"], other["over_time"], strict=True),
        ):
            assert row["comparisons"] >= 0
            assert other_row["comparisons"] == (row["comparisons"] if relative else None)
            row["comparisons"] = other_row["comparisons"] = None
    assert counted == uncounted


def test_comparisons_that_were_not_counted_are_a_dash_in_the_table(file):
    ran = ksmtrace("whatif", file, "--variant", NEWEST, "--no-comparisons")
    assert (ran.returncode, ran.stderr) == (0, "")
    heads, label, figures = ran.stdout.splitlines()[2:5]
    assert label == f"baseline: {NEWEST}"
    at = heads.index("compared") + len("compared")
    assert figures[:at].split()[-1] == "-"


def test_a_cut_capture_is_warned_of(tmp_path, bundled_capture):
    cut = tmp_path / "cut.ksmtrace"
    cut.write_bytes(bundled_capture.read_bytes()[:400_000])
    ran = ksmtrace("whatif", cut, "--variant", "ksm-6.1", "--json")
    assert ran.returncode == 0
    assert len(ran.stderr.splitlines()) == 1
    assert "left out" in ran.stderr
    assert json.loads(ran.stdout)["passes"] > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("none",), ["none", "no such file"]),
        (("none.toml",), ["none.toml", "no such file"]),
        (("none.ksmtrace",), ["none.ksmtrace", "no such file"]),
        ((".",), ["directory"]),
        (("text",), ["neither a capture nor a workload"]),
        (("bytes",), ["neither a capture nor a workload"]),
        (("bad.toml",), ["step 0", "unknown op"]),
        (("bytes.ksmtrace",), ["not a ksmtrace capture"]),
        (("w.toml", "--variant", "ksm-9"), ["ksm-9", NEWEST]),
        (("w.toml", "--set", "nonsense=1"), ["nonsense", "known"]),
        (("w.toml", "--set", "max_page_sharing=1"), ["EINVAL"]),
        (("w.toml", "--sweep", "max_page_sharing=2,1"), ["EINVAL"]),
        (("w.toml", "--sweep", "smart_scan="), ["no value"]),
        (("w.toml", "--variant", "ksm-6.1", "--set", "smart_scan=1"), ["ENOENT"]),
        (("w.toml", "--sweep", "pages_to_scan=" + ",".join(map(str, range(1, 1200)))), ["1000"]),
    ],
)
def test_bad_input(tmp_path, file, arguments, words):
    (tmp_path / "text").write_text("neither\n" * 9)
    for name in ("bytes", "bytes.ksmtrace"):
        (tmp_path / name).write_bytes(bytes(range(256)))
    (tmp_path / "bad.toml").write_text('name = "x"\n[[step]]\nop = "dance"\n')
    assert_one_line(ksmtrace("whatif", *arguments, cwd=tmp_path), 2, *words)


def test_a_capture_without_candidates(tmp_path):
    session = EngineSource(workload(*STEPS)).session
    session.probes[EventKind.CMP_AND_MERGE_PAGE] = Probe("", Exactness.ABSENT, "test")
    write(tmp_path / "c", ListSource(session, []), [])
    assert_one_line(ksmtrace("whatif", tmp_path / "c"), 2, "candidates", "doctor")


def test_a_worker_that_is_killed_ends_the_run(tmp_path):
    """Also with a case that is larger than a pipe, and with scenarios that wait for their turn."""
    path = tmp_path / "long.toml"
    path.write_text(workload_toml(*STEPS, *["scan 1"] * 5000, "scan 1000000"))
    run = subprocess.Popen(
        [KSMTRACE, "whatif", str(path), "--sweep", "max_page_sharing=2,3,4,5,6,7,8,9"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (workers := workers_of(run.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    os.kill(workers[-1], signal.SIGKILL)
    out, errors = run.communicate(timeout=60)
    assert (run.returncode, out) == (3, "")
    assert errors.count("\n") == 1
    assert "a worker died" in errors
    assert ended(run.pid)


def workers_of(session):
    """Those of its processes that run scenarios."""
    return [
        pid
        for pid in processes_of(session)
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


@pytest.fixture
def endless(tmp_path):
    """A workload that runs for hours."""
    path = tmp_path / "long.toml"
    path.write_text(workload_toml(*STEPS[:-1], "scan 1000000"))
    return path


def processes_of(session):
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(path.name))
    return found


def ended(session, seconds=20):
    deadline = time.monotonic() + seconds
    while processes_of(session) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not processes_of(session)


@pytest.mark.parametrize(
    ("number", "whole_group", "delay"),
    [
        (signal.SIGINT, True, 0),
        (signal.SIGINT, True, 1),
        (signal.SIGINT, False, 0.5),
        (signal.SIGTERM, False, 0.5),
        (signal.SIGKILL, False, 0.5),
    ],
)
def test_an_interruption_ends_all_workers(endless, number, whole_group, delay):
    run = subprocess.Popen(
        [KSMTRACE, "whatif", str(endless), "--sweep", "smart_scan=0,1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while len(processes_of(run.pid)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(delay)  # at first the workers are about to start, later at work
    (os.killpg if whole_group else os.kill)(run.pid, number)
    try:
        out, errors = run.communicate(timeout=60)
        all_ended = ended(run.pid)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
    assert all_ended
    assert run.returncode == (-number if number == signal.SIGKILL else 130)
    assert out == ""
    assert "Traceback" not in errors


def test_a_terminal_gets_a_bar_on_stderr(file):
    ours, theirs = pty.openpty()
    run = subprocess.Popen(
        [KSMTRACE, "whatif", str(file), "--json"], stdout=subprocess.PIPE, stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:
        pass  # the other end is closed
    finally:
        os.close(ours)
    assert json.loads(run.stdout.read())["scenarios"]
    run.stdout.close()
    assert run.wait() == 0
    assert b"scenarios" in shown
    assert f"/{len(VARIANTS)}".encode() in shown
