"""The circumstances of the process itself: one line, the documented status, nothing half-done."""

import os
import resource
import signal
import subprocess
import sys

import pytest

from ksmtrace.capture.reader import open_capture
from ksmtrace.cli.run import interruptible
from support.command import KSMTRACE, assert_one_line

MIB = 1 << 20
WITHOUT_DIRECTORY = ("sh", "-c", 'cd "$1" && rmdir "$1" && shift && exec "$@"', "sh")


@pytest.fixture(autouse=True)
def _no_nohup():
    """Who runs the tests may have been started by nohup, which is left to the one test of it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def shell(script, *arguments, **popen):
    """The finished command, after shell redirections."""
    return subprocess.run(
        ["sh", "-c", f'"$@" {script}', "sh", KSMTRACE, *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=120, **popen,
    )  # fmt: skip


@pytest.mark.parametrize("verb", [("plugins",), ("--version",), ("replay", None, "--json")])
@pytest.mark.parametrize("stream", ["2>&-", "2>/dev/full", "<&-", ">&- 2>&-", ">&-"])
def test_streams_that_are_closed_or_full(bundled_capture, verb, stream):
    ran = shell(stream, *(bundled_capture if one is None else one for one in verb))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert bool(ran.stdout) == (">&-" not in stream.replace("2>&-", ""))


@pytest.mark.parametrize("stream", ["2>/dev/full", "2>&-", ">/dev/full 2>/dev/full"])
def test_an_error_keeps_its_status_where_it_cannot_be_told(stream):
    assert shell(stream, "replay", "/nonexistent").returncode == 2


def test_a_full_standard_output(bundled_capture):
    ran = shell(">/dev/full", "replay", bundled_capture, "--json")
    assert_one_line(ran, 3, "standard output", "No space left")
    assert shell(">/dev/full 2>/dev/full", "replay", bundled_capture).returncode == 3


@pytest.mark.parametrize("limit", [60, 100, 200, 255])
def test_too_little_address_space_to_begin_with(bundled_capture, limit):
    def bound():
        resource.setrlimit(resource.RLIMIT_AS, (limit * MIB, limit * MIB))

    ran = shell("", "replay", bundled_capture, "--json", preexec_fn=bound)
    assert_one_line(ran, 3, f"limited to {limit} MiB (RLIMIT_AS)", "ulimit -v")


def test_a_standard_output_that_cannot_be_written_to(bundled_capture):
    assert_one_line(shell("1</dev/null", "replay", bundled_capture, "--json"), 3, "standard output")


@pytest.mark.parametrize("limit", [20, 60, 127])
def test_too_small_a_data_segment_to_begin_with(bundled_capture, limit):
    def bound():
        resource.setrlimit(resource.RLIMIT_DATA, (limit * MIB, limit * MIB))

    ran = shell("", "replay", bundled_capture, "--json", preexec_fn=bound)
    assert_one_line(ran, 3, f"limited to {limit} MiB (RLIMIT_DATA)", "ulimit -d")


def test_memory_that_runs_out_is_no_damage_of_the_capture(bundled_capture, monkeypatch):
    def lacking(*_):
        raise MemoryError

    reader = "ksmtrace.capture.segment_reader"
    monkeypatch.setattr(f"{reader}.from_arrow", lacking)
    # where a batch of the usual size fits, what was asked for is the file's damage
    with open_capture(bundled_capture) as capture:
        assert list(capture.batches()) == []
        assert "is cut or damaged" in capture.warnings[0]
    monkeypatch.setattr(f"{reader}._SPARE_BYTES", 1 << 62)
    with open_capture(bundled_capture) as capture:
        with pytest.raises(MemoryError):
            list(capture.batches())
        assert capture.warnings == []


def test_memory_that_runs_out_is_no_other_reason():
    """A library that does not fit, or an allocation that fails, is not "missing"."""
    for error in (
        "MemoryError()",
        "OSError(12, 'Cannot allocate memory')",
        "ImportError('libx.so: failed to map segment from shared object')",
    ):
        script = (
            "import sys\n"
            "from ksmtrace import cli\n"
            "def fail(options):\n"
            f"    raise {error}\n"
            "cli._run = fail\n"
            "sys.exit(cli.main([]))\n"
        )
        ran = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )
        assert_one_line(ran, 3, "memory ran out")


@pytest.mark.parametrize(
    ("verb", "status", "words"),
    [
        (("record", "-o", "x", "--probes", "sysfs"), 3, "current directory has been deleted"),
        (("live", "--once"), 3, "current directory has been deleted"),
        (("report", None, "-o", "x"), 2, "cannot write x"),
        (("replay", "x"), 2, "no such file"),
    ],
)
def test_a_current_directory_that_is_gone(tmp_path, bundled_capture, verb, status, words):
    gone = tmp_path / "gone"
    gone.mkdir()
    arguments = [str(bundled_capture) if one is None else one for one in verb]
    ran = subprocess.run(
        [*WITHOUT_DIRECTORY, gone, KSMTRACE, *arguments],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert_one_line(ran, status, words)


def test_what_needs_no_directory_works_without(tmp_path, bundled_capture):
    gone = tmp_path / "gone"
    gone.mkdir()
    ran = subprocess.run(
        [*WITHOUT_DIRECTORY, gone, KSMTRACE, "replay", bundled_capture, "--json"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/nonexistent/x", "create the directory first"),
        ("/proc/x", "cannot be written"),
        ("/", "is a directory"),
        ("/dev/null", "not a regular file"),
        (__file__, "not a ksmtrace capture"),
    ],
)
def test_where_a_capture_goes_is_looked_at_before_anything_is_attached(path, words):
    """Without root, BPF or KSM even: it is the first thing that is wrong."""
    ran = shell("", "record", "-o", path, "--probe-map", "/nonexistent/map")
    assert_one_line(ran, 2, path, words)


class TestSignals:
    """In this process: what each signal does to a run."""

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_one_ends_it_in_order(self, number):
        with interruptible() as control:
            os.kill(os.getpid(), number)
            assert control.interrupted

    def test_a_terminal_that_closes_sends_two(self):
        with interruptible() as control:
            for number in (signal.SIGHUP, signal.SIGHUP):
                os.kill(os.getpid(), number)
            assert control.interrupted
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGTERM)

    def test_nohup(self):
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            with interruptible() as control:
                os.kill(os.getpid(), signal.SIGHUP)
                assert not control.interrupted
        finally:
            signal.signal(signal.SIGHUP, before)


@pytest.mark.live
@pytest.mark.parametrize("stream", ["2>&-", ">/dev/full", "2>/dev/full", ">&- 2>&- <&-"])
def test_a_capture_is_kept_and_closed(tmp_path, stream):
    path = tmp_path / "a.ksmtrace"
    if os.geteuid() != 0 or not os.path.exists("/sys/kernel/mm/ksm/run"):
        pytest.skip("needs KSM")
    ran = shell(stream, "record", "-o", path, "--duration", "1", "--probes", "sysfs")
    assert ran.returncode == (3 if stream == ">/dev/full" else 0)
    with open_capture(path) as capture:
        assert sum(map(len, capture.batches())) > 0
        assert capture.warnings == []


@pytest.mark.live
def test_a_hangup_closes_the_capture(tmp_path):
    if not os.path.exists("/sys/kernel/mm/ksm/run"):
        pytest.skip("needs KSM")
    path = tmp_path / "a.ksmtrace"
    with subprocess.Popen(
        [KSMTRACE, "record", "-o", str(path), "--probes", "sysfs"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as run:  # fmt: skip
        while not path.exists():
            assert run.poll() is None
        run.send_signal(signal.SIGHUP)
        assert run.wait(60) == 130
    with open_capture(path) as capture:
        list(capture.batches())
        assert capture.warnings == []


@pytest.mark.live
@pytest.mark.parametrize("verb", [("record", "-o"), ("live", "--once", "--record")])
@pytest.mark.parametrize("harm", ["rm", "truncate -s 100", "cp /dev/null"])
def test_a_capture_that_vanishes_while_it_is_recorded(tmp_path, verb, harm):
    """Said at once, recorded on beside it, and status 2: by the command, as a user meets it."""
    if not os.path.exists("/sys/kernel/mm/ksm/run"):
        pytest.skip("needs KSM")
    path = tmp_path / "a.ksmtrace"
    with subprocess.Popen(
        [KSMTRACE, *verb, str(path), "--probes", "sysfs", "--interval", "0.2"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as run:  # fmt: skip
        while not path.exists():
            assert run.poll() is None
        subprocess.run(["sh", "-c", f"{harm} {path}"], check=True)
        while not (beside := tmp_path / "a.ksmtrace.after1").exists():
            assert run.poll() is None
        run.send_signal(signal.SIGTERM)
        _, told = run.communicate(timeout=60)
    assert run.returncode == 2, told
    assert f"{path} was" in told
    assert str(beside) in told
    with open_capture(beside) as capture:
        assert sum(map(len, capture.batches())) > 0
        assert capture.warnings == []


def test_names_with_escape_sequences(tmp_path):
    ran = shell("", "replay", tmp_path / "\x1b[31mred")
    assert_one_line(ran, 2, "?[31mred")
    assert "\x1b" not in ran.stderr


def test_looking_at_where_a_capture_goes_starts_no_thread(tmp_path, bundled_capture):
    """Arrow's would keep the capabilities that --drop-capabilities gives up."""
    script = (
        "import os, sys\n"
        "import ksmtrace.cli.live\n"
        "from ksmtrace.capture.target import check_target\n"
        "check_target(sys.argv[1])\n"
        "check_target(sys.argv[2])\n"
        "assert 'pyarrow' not in sys.modules\n"
    )
    arguments = [tmp_path / "new.ksmtrace", bundled_capture]
    ran = subprocess.run([sys.executable, "-c", script, *arguments], check=False)
    assert ran.returncode == 0
