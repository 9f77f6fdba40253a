"""What a verb makes of its options and of signals."""

import io
import os
import signal
import sys
from dataclasses import replace

import pytest

from ksmtrace.cli import build_parser, run
from ksmtrace.cli.run import interruptible, run_options
from ksmtrace.pipeline.condition import Condition
from ksmtrace.pipeline.options import RunOptions
from support.streams import session


class Terminal(io.StringIO):
    """A stdout that somebody looks at."""

    def isatty(self):
        return True


@pytest.fixture
def options_of(monkeypatch):
    """The options of a run by the words of its command line."""

    def made(words, *, source="live", terminal=False, journal=False):
        monkeypatch.setattr(sys, "stdout", Terminal() if terminal else io.StringIO())
        monkeypatch.setattr(run, "stderr_is_journal", lambda: journal)
        return run_options(build_parser().parse_args(words.split()), session(source=source))

    return made


@pytest.mark.parametrize(
    ("verb", "source"),
    [("live", "live"), ("demo", "live"), ("replay FILE", "capture")],
)
def test_by_default_a_run_shows_nothing_except_its_text_at_the_end(options_of, verb, source):
    assert options_of(verb, source=source) == RunOptions()


def test_a_recording_has_one_answer(options_of):
    asked = options_of("record -o FILE")
    assert asked == RunOptions(record="FILE", once=True, ends_when_full=True)


def test_every_option_arrives(options_of):
    words = "live --interval 2 --record R --listen 0 --web-config W --textfile T --groups 3 --json"
    assert options_of(words) == RunOptions(
        interval=2, record="R", listen="0", web_config="W", textfile="T", groups=3, json=True
    )


def test_the_bounds_of_a_recording_arrive(options_of):
    words = "live --record R --max-size 8M --keep 4 --dump-when passes>9"
    assert options_of(words) == RunOptions(
        record="R", most_bytes=8 << 20, keep=4, dump_when=Condition("passes", ">", 9)
    )


@pytest.mark.parametrize(
    ("words", "tui"),
    [("", True), ("--no-tui", False), ("--json", False), ("--once", False), ("--log", False)],
)
def test_a_terminal_has_a_screen_unless_something_else_is_asked_for(options_of, words, tui):
    assert options_of(f"live {words}", terminal=True).tui == tui
    assert not options_of(f"live {words}").tui


@pytest.mark.parametrize("words", ["", "--json", "--once"])
def test_under_systemd_a_run_logs_unless_an_answer_is_asked_for(options_of, words):
    assert options_of(f"live {words}", journal=True).log == (not words)
    assert not options_of(f"live {words}", journal=True, terminal=True).log


def test_a_replay_keeps_no_log(options_of):
    assert not options_of("replay FILE", source="capture", journal=True).log


@pytest.mark.parametrize(
    ("options", "source", "streams"),
    [
        (RunOptions(json=True), "live", True),
        (RunOptions(json=True, once=True), "live", False),
        (RunOptions(json=True), "capture", False),
        (RunOptions(), "live", False),
    ],
)
def test_a_document_each_interval_is_for_live_runs(options, source, streams):
    assert options.streams_json(replace(session(), source=source)) == streams


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_ends_the_run_and_the_second_the_program(number):
    before = signal.getsignal(number)
    with interruptible() as control:
        os.kill(os.getpid(), number)
        assert control.interrupted
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
