"""What a command does not load, since it makes no use of it: seconds and memory of each start."""

import importlib.util
import subprocess
import sys

import pytest

SERVING = {"prometheus_client", "http", "http.server", "socketserver", "ssl", "asyncio", "h11"}
SCREEN = {
    "rich.live",
    "rich.progress",
    *(f"ksmtrace.plugins.tui.{name}" for name in ("frame", "loop", "overview", "terminal")),
}
OTHERS = {"bcc", "multiprocessing", "pandas"}
EVERYTHING = SERVING | SCREEN | OTHERS | {"numpy", "pyarrow", "rich"}
PRINT = """
import sys
from ksmtrace.cli import main
try:
    status = main()
except SystemExit as ended:
    status = ended.code
print("\\n", *sys.modules, file=sys.stderr)
sys.exit(status)
"""


def loaded(*arguments):
    """The modules that a run of the command line has loaded, without a terminal."""
    ran = subprocess.run(
        [sys.executable, "-c", PRINT, *map(str, arguments)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return set(ran.stderr.splitlines()[-1].split())


def test_modules_are_called_so():
    assert [name for name in sorted(EVERYTHING) if not importlib.util.find_spec(name)] == []


@pytest.mark.parametrize(
    "line", ["--version", "--help", "live --help", "replay --help", "simulate --help"]
)
def test_help_and_version_load_nothing_that_takes_long(line):
    assert loaded(*line.split()) & EVERYTHING == set()


@pytest.mark.parametrize("how", [(), ("--json",), ("--events",)])
def test_a_replay_loads_neither_the_screen_nor_what_serves(how, bundled_capture):
    found = loaded("replay", bundled_capture, *how)
    assert "pyarrow" in found
    assert found & (SERVING | SCREEN | OTHERS) == set()


def test_metrics_load_their_library(bundled_capture, tmp_path):
    found = loaded("replay", bundled_capture, "--textfile", tmp_path)
    assert "prometheus_client" in found
    assert found & SCREEN == set()
