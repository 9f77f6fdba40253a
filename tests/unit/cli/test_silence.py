"""What takes long says so on a terminal, and a process that nothing was seen of is named."""

import io
import os
import pty
import subprocess
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from ksmtrace.cli import main
from ksmtrace.sources.capture import CaptureSource
from ksmtrace.sources.live.source import LiveSource
from support.command import KSMTRACE

WORKLOAD = "tests/data/workloads/rich-and-poor.toml"


def on_terminal(*arguments, cwd):
    """What a command writes to a standard error that is a terminal, and to a standard output that
    is none."""
    ours, theirs = pty.openpty()
    drawn = []

    def read():
        # a terminal's buffer is small, and who writes to a full one waits
        with suppress(OSError):
            while part := os.read(ours, 65536):
                drawn.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    ran = subprocess.run(
        [KSMTRACE, *map(str, arguments)],
        cwd=cwd, stdout=subprocess.PIPE, stderr=theirs, check=False, timeout=120,
        env={**os.environ, "TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(theirs)
    reader.join()
    os.close(ours)
    assert ran.returncode == 0
    return b"".join(drawn), ran.stdout


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("replay C", b"replaying"),
        ("replay C --json", b"replaying"),
        ("replay C --engine", b"replaying"),
        ("report C", b"reading"),
        ("report C -o PAGE", b"drawing"),
        (f"simulate {WORKLOAD}", b"steps"),
        (f"simulate {WORKLOAD} -o NEW", b"recording"),
        (f"whatif {WORKLOAD} --sweep pages_to_scan=10,100", b"scenarios"),
    ],
)
def test_it_is_said_what_is_done(line, word, repository, bundled_capture, tmp_path):
    """By a bar on stderr, which is gone before the answer is printed, and is not in it."""
    names = {"C": bundled_capture, "NEW": tmp_path / "new", "PAGE": tmp_path / "p.html"}
    words = [names.get(one, one) for one in line.split()]
    drawn, printed = on_terminal(*words, cwd=repository)
    assert word in drawn
    assert drawn.rstrip().endswith((b"\x1b[2K", b"\x1b[?25h"))
    assert b"\x1b" not in printed
    quiet = subprocess.run(
        [KSMTRACE, *map(str, words), *(["--force"] if "NEW" in line else [])],
        cwd=repository, capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    assert quiet.stderr == b""
    assert quiet.stdout == printed


class AsLive(CaptureSource):
    """A capture that stands in for the kernel."""

    def drop_capabilities(self, _kept):
        EVENTS.append("dropped")


EVENTS = []


@pytest.fixture
def live(bundled_capture, monkeypatch):
    """Runs `live` with these options; returns its status."""
    traced = AsLive(str(bundled_capture), speed=None)
    traced.session = replace(traced.session, source="live")
    monkeypatch.setattr(LiveSource, "open", lambda _options: traced)
    EVENTS.clear()
    return lambda *options: main(["live", "--no-tui", *options])


def test_a_process_that_nothing_was_seen_of_is_named(live, capsys):
    assert live("--once", "--pid", str(os.getpid())) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "nothing was seen" in line]
    assert len(said) == 1
    assert said[0].startswith(f"ksmtrace: nothing was seen of process {os.getpid()}: ")
    assert "declares no memory mergeable" in said[0]


@pytest.mark.parametrize(
    ("options", "events"),
    [
        ("--once", ["tracing for 10 s", "ended"]),
        ("--duration 3", ["tracing for 3 s", "ended"]),
        ("--once --json", ["tracing for 10 s", "ended"]),
        ("--check", ["tracing for 10 s", "ended"]),
        ("", ["tracing until Ctrl-C", "ended"]),
        ("--once --drop-capabilities", ["dropped", "tracing for 10 s", "ended"]),
        ("--json --duration 1", []),
        ("--log", []),
    ],
)
def test_a_trace_without_a_screen_says_how_long_it_lasts(options, events, live, monkeypatch):
    """What is told begins once privileges are dropped, for it has a thread, and ends before the
    answer is printed; where lines are printed all the time there is none."""

    @contextmanager
    def told(what):
        EVENTS.append(what)
        yield
        EVENTS.append("ended")

    monkeypatch.setattr("ksmtrace.cli.live.progress", told)
    monkeypatch.setattr("sys.stdout", Notes())
    live(*options.split())
    assert events == EVENTS


class Notes(io.StringIO):
    """A standard output; what is printed must come after the end of what is told."""

    def write(self, text):
        begun = any(event.startswith("tracing") for event in EVENTS)
        assert not begun or EVENTS[-1] == "ended"
        return super().write(text)
