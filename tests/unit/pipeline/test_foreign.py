"""Code of other packages: printing, ending the program, taking too long or too much."""

import os
import signal
import sys
import threading
import time
from contextlib import suppress

import pytest

from ksmtrace import hookimpl
from ksmtrace.errors import KsmtraceError
from ksmtrace.pipeline.calls import PluginCalls
from ksmtrace.pipeline.foreign import MOST_LINES, is_foreign
from ksmtrace.pipeline.limits import Limits
from support.runs import EMPTY, plugin, runner
from support.streams import events


def having(**hooks):
    """A plugin with these hooks, by name without `ksmtrace_`."""

    def method(do):
        def called(self):
            return do()

        return called

    made = {}
    for name, do in hooks.items():
        called = method(do)
        called.__name__ = f"ksmtrace_{name}"
        made[called.__name__] = hookimpl(called)
    return type("Having", (), made)()


def lines(capsys):
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_what_is_ours_is_told_by_its_module():
    assert is_foreign(having)
    assert not is_foreign(type(plugin("jsonl")))


@pytest.mark.parametrize(
    "say",
    [
        lambda: print("hello\x1b[2J"),
        lambda: sys.stdout.write("hello\x1b[2J"),
        lambda: sys.stdout.buffer.write(b"hello\x1b[2J"),
        lambda: sys.stdout.writelines(["hello", "\x1b[2J\n"]),
    ],
)
def test_what_a_hook_prints_is_said_on_stderr_with_its_name(capsys, say):
    stdout = sys.stdout
    runner([events(*EMPTY)], {"loud": having(session_start=say)}).run()
    assert sys.stdout is stdout
    assert lines(capsys) == ["ksmtrace: plugin 'loud' prints: hello?[2J"]


def test_only_some_lines_are_passed_on(capsys):
    runner([events(*EMPTY)], {"loud": having(batch=lambda: print("x\n" * 100))}).run()
    found = lines(capsys)
    assert len(found) == MOST_LINES + 1
    assert "left out" in found[-1]


def test_other_threads_print_as_before(capsys):
    def hook():
        thread = threading.Thread(target=lambda: print("the screen"))
        thread.start()
        thread.join()

    runner([events(*EMPTY)], {"loud": having(batch=hook)}).run()
    assert capsys.readouterr().out == "the screen\n"


class NamelessError(Exception):
    def __str__(self):
        raise RuntimeError("no")


def leave(error):
    def hook():
        raise error

    return hook


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (SystemExit(0), "SystemExit"),
        (SystemExit("bye\x1b[2J"), r"SystemExit in ksmtrace_batch: bye\?\[2J"),
        (GeneratorExit(), "GeneratorExit"),
        (NamelessError(), "NamelessError in ksmtrace_batch: with no message"),
        (type("Own", (BaseException,), {})("x" * 10_000), "Own"),
    ],
)
def test_a_hook_cannot_end_the_program(capsys, error, what):
    plugins = {"odd": having(batch=leave(error))}
    document = runner([events(*EMPTY)], plugins, fail_fast=False).run().document
    assert list(document["plugins_failed"]) == ["odd"]
    (line,) = lines(capsys)
    assert line.startswith("ksmtrace: plugin 'odd' raised ")
    assert len(line) < 1000
    with pytest.raises(KsmtraceError, match=rf"'odd' raised {what}"):
        runner([events(*EMPTY)], plugins).run()


def test_ctrl_c_in_a_hook_is_the_users():
    run = runner([events(*EMPTY)], {"odd": having(batch=leave(KeyboardInterrupt()))})
    with pytest.raises(KeyboardInterrupt):
        run.run()


SHORT = Limits(call_seconds=(0.05, 0.2))


def calls_of(hook, *, live, limits, fail_fast=False):
    run = runner([], {"slow": having(batch=hook), "other": having(batch=lambda: None)})
    manager = run.calls._manager
    return PluginCalls(manager, fail_fast=fail_fast, live=live, limits=limits)


def batch(calls):
    return [name for name, _ in calls.each("ksmtrace_batch")]


def stubborn():
    while True:
        with suppress(Exception):
            time.sleep(600)


BLOCKS = {
    "sleeps": lambda: time.sleep(600),
    "waits for a lock": lambda: threading.Event().wait(),
    "reads what never comes": lambda: os.read(os.pipe()[0], 1),
    "counts for ever": lambda: [None for _ in iter(int, 1)],
    "catches what it can": stubborn,
}


@pytest.mark.parametrize("hook", BLOCKS.values(), ids=BLOCKS)
def test_a_hook_that_blocks_is_named_then_dropped(capsys, hook):
    calls = calls_of(hook, live=True, limits=SHORT)
    assert batch(calls) == ["other"]
    named, dropped = lines(capsys)
    assert "plugin 'slow' has not come back from ksmtrace_batch after" in named
    assert "going on without it" in dropped
    assert batch(calls) == ["other"]
    assert list(calls.failures) == ["slow"]


def test_a_hook_that_blocks_ends_a_recording():
    calls = calls_of(BLOCKS["sleeps"], live=True, limits=SHORT, fail_fast=True)
    with pytest.raises(KsmtraceError, match=r"'slow' has not come back .* -p no:slow"):
        batch(calls)


def test_a_replay_is_told_and_waits(capsys):
    told = threading.Event()

    def hook():
        time.sleep(0.1)  # SHORT's first limit is behind it
        told.wait(0.2)

    calls = calls_of(hook, live=False, limits=SHORT)
    assert sorted(batch(calls)) == ["other", "slow"]
    named, over = lines(capsys)
    assert "`live` drops it after 0.2 s" in named
    assert "`live` would drop it" in over
    assert calls.failures == {}


@pytest.mark.parametrize("live", [False, True])
def test_an_alarm_that_python_handles_late_stops_nothing(live, monkeypatch, capsys):
    """The signal came before the hook was back, its handler runs after the timer was stopped."""
    stop = signal.setitimer

    def stopped_first(which, seconds, interval=0.0):
        before = stop(which, seconds, interval)
        if not seconds and callable(late := signal.getsignal(signal.SIGALRM)):
            late(signal.SIGALRM, None)
        return before

    monkeypatch.setattr(signal, "setitimer", stopped_first)
    calls = calls_of(lambda: None, live=live, limits=Limits(call_seconds=(60.0, 0.0)))
    assert sorted(batch(calls)) == ["other", "slow"]
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    assert lines(capsys) == []


def test_a_plugin_that_takes_most_of_the_time_is_named_then_dropped(capsys):
    calls = calls_of(lambda: time.sleep(0.02), live=True, limits=Limits(window_seconds=0.05))
    while "slow" in batch(calls):
        pass
    named, dropped = lines(capsys)
    assert "plugin 'slow' takes" in named
    assert "of the time; going on without it" in dropped


def test_a_plugin_that_grows_is_named_then_dropped(capsys):
    kept = []
    limits = Limits(memory_bytes=(16 << 20, 48 << 20))
    calls = calls_of(lambda: kept.append(bytearray(os.urandom(1)) * (8 << 20)), live=True,
                     limits=limits)  # fmt: skip
    while "slow" in batch(calls):
        assert len(kept) < 1000
    named, dropped = lines(capsys)
    assert "MiB of memory; `live` drops it above 48 MiB" in named
    assert "MiB of memory; going on without it" in dropped


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_hook_cannot_take_the_signals_by_which_a_run_is_ended(number):
    def ours(_number, _frame):
        pass

    before = signal.signal(number, ours)
    try:
        taking = having(batch=lambda: signal.signal(number, signal.SIG_IGN))
        runner([events(*EMPTY)], {"taking": taking}).run()
        assert signal.getsignal(number) is ours
    finally:
        signal.signal(number, before)
