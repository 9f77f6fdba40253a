"""Options of bounded recordings: sizes, counts and conditions, and what goes with what."""

import os
import signal
from argparse import Namespace
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.cli.run import interruptible
from ksmtrace.errors import KsmtraceError
from ksmtrace.pipeline.condition import Condition
from support.command import assert_one_line, ksmtrace


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--keep", "3"), ("give --record",)),
        (("--max-size", "4M"), ("give --record",)),
        (("--dump-when", "passes>3"), ("give --record",)),
        (("--record", "x", "--dump-when", "passes>3"), ("give --keep too",)),
        (("--record", "x", "--keep", "1"), ("--keep 1", "2 to 9999")),
        (("--record", "x", "--keep", "5", "--max-size", "4M"), ("too small", "5M")),
        (("--record", "x", "--max-size", "0"), ("too small", "1M")),
    ],
)
def test_what_goes_with_what(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert_one_line(ksmtrace("live", *arguments), 2, *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--max-size", "5X"),
        ("--max-size", "-1"),
        ("--max-size", "M"),
        ("--max-size", "\u0664M"),
        ("--max-size", "1" * 40),
        ("--keep", "two"),
        ("--keep", "-2"),
        ("--dump-when", "passes"),
        ("--dump-when", "passes>many"),
        ("--dump-when", "passes>nan"),
        ("--dump-when", ">3"),
        ("--dump-when", ""),
    ],
)
def test_values_that_are_none(arguments):
    ran = ksmtrace("record", "-o", "x", *arguments)
    assert ran.returncode == 2
    assert arguments[0] in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_signal_asks_for_a_dump_and_ends_nothing():
    before = signal.getsignal(signal.SIGUSR1)
    with interruptible(dumps=True) as control:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert control.dumps_asked == 1
        assert not control.interrupted
    assert signal.getsignal(signal.SIGUSR1) is before


def test_without_segments_that_are_kept_the_signal_is_left_alone():
    before = signal.getsignal(signal.SIGUSR1)
    with interruptible():
        assert signal.getsignal(signal.SIGUSR1) is before


KEYS = st.lists(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), min_size=1, max_size=3)
VALUES = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(-9, 9))


@given(KEYS, st.sampled_from(["<", "<=", "==", "!=", ">=", ">"]), st.integers(-9, 9), VALUES)
def test_a_condition_is_what_python_says(keys, compare, number, value):
    condition = Condition.parse(f" {'.'.join(keys)} {compare} {number}")
    document = value
    for key in reversed(keys):
        document = {key: document}
    expected = value is not None and eval(f"value {compare} number")
    assert condition.holds(document) == expected
    assert Condition.parse(str(condition)) == condition


@given(st.text())
def test_any_text_is_a_condition_or_refused(text):
    with suppress(KsmtraceError):
        condition = Condition.parse(text)
        assert Condition.parse(str(condition)).key == condition.key


def test_a_condition_names_a_figure_that_there_is():
    with pytest.raises(KsmtraceError, match=r"no 'b' of a\.b in the JSON document, which has c"):
        Condition("a.b", ">", 1).holds({"a": {"c": 1}})
    with pytest.raises(KsmtraceError, match="is no number"):
        Condition("a", ">", 1).holds({"a": "text"})


def test_options_of_other_verbs_ask_for_nothing():
    from ksmtrace.cli.recording import recording

    asked = recording(Namespace(record=None, verb="replay"))
    assert asked["dump_when"] is None
    assert not asked["ends_when_full"]
