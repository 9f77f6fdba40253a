"""The jsonl sink: one document a line, for live runs only, and a reader that goes away."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ksmtrace.errors import KsmtraceError
from support.runs import plugin, runner
from support.story import story
from support.streams import events, session

TESTS = Path(__file__).parents[2]


def _run(source="live", **options):
    rows = story()
    batches = [events(*rows[:300]), events(*rows[300:])]
    plugins = {"jsonl": plugin("jsonl"), "volatile": plugin("volatile")}
    return runner(batches, plugins, session(source=source), **options).run()


def test_each_interval_is_one_line_of_json_and_the_last_is_the_final_state(capsys):
    snapshot = _run(json=True, once=False)
    lines = capsys.readouterr().out.splitlines()
    documents = [json.loads(line) for line in lines]
    assert len(documents) == 3
    assert [d["events"]["total"] for d in documents] == [300, len(story()), len(story())]
    assert documents[-1] == snapshot.document


@pytest.mark.parametrize(
    "options",
    [
        {"source": "capture"},
        {"source": "capture", "json": True},
        {"json": True, "once": True},
        {"json": False},
        {"source": "engine", "json": True},
    ],
)
def test_other_runs_print_nothing(options, capsys):
    _run(**options)
    assert capsys.readouterr().out == ""


def test_a_reader_that_goes_away_ends_the_run_with_status_0(monkeypatch):
    class Closed:
        def write(self, text):
            raise BrokenPipeError

        def fileno(self):
            raise OSError

    monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(KsmtraceError, match="reader") as error:
        _run(json=True)
    assert error.value.status == 0


def test_a_closed_pipe_makes_no_traceback():
    program = (
        "from test_jsonl import _run\nfrom ksmtrace.errors import KsmtraceError\n"
        "try:\n    _run(json=True)\n"
        "except KsmtraceError as error:\n    raise SystemExit(int(error.status))\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    path = os.pathsep.join((str(TESTS), str(Path(__file__).parent)))
    with os.fdopen(writer, "wb") as out:
        done = subprocess.run(
            [sys.executable, "-c", program],
            stdout=out,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")
