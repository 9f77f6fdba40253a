"""The log sink: a line for what is worth knowing, and levels for the journal.

An interval in which all is well has no line.
"""

import os
import sys
from dataclasses import replace

import pytest

from ksmtrace.events import EventBatch, EventKind
from ksmtrace.events.tunable import TunableWrite, tunable_records
from ksmtrace.plugins import log
from support.runs import EMPTY, lost, plugin, runner
from support.story import story
from support.streams import events, session


def lines(capsys, batches, *, of=None, **options):
    """The lines on stderr of a run over `batches` that publishes after each."""
    plugins = {name: plugin(name) for name in ("balance", "log")}
    runner(batches, plugins, of, **{"log": True, **options}).run()
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "\x1b" not in printed.err
    return printed.err.splitlines()


def write(name, text, err=0):
    return EventBatch(tunable_records(TunableWrite(name, text, err)))


def test_a_run_in_which_all_is_well_has_two_lines(capsys):
    stream = events(*story())
    batches = [EventBatch(stream.events[at : at + 50]) for at in range(0, len(stream), 50)]
    first, last = lines(capsys, batches)
    assert first.startswith("ksmtrace: 0.1.0 traces KSM of 6.1.0-test, run is ?; tier full")
    assert "not seen" not in first
    assert last.startswith("ksmtrace: ends after 10 s: 3 passes, ")
    assert " 0 lost; KSM here: " in last


def test_what_is_not_seen_is_logged_at_the_start(capsys):
    facts = session(tier="partial", unseen=[EventKind.BREAK_COW, EventKind.SKIPPED])
    first, _ = lines(capsys, [events(*EMPTY)], of=facts)
    assert "tier partial, not seen: break_cow, skipped" in first


def test_what_is_counted_is_not_unseen(capsys):
    facts = session(tier="totals", unseen=[EventKind.SKIPPED])
    appends = replace(facts.probes[EventKind.STABLE_APPEND], counted=True)
    counting = replace(facts, probes={**facts.probes, EventKind.STABLE_APPEND: appends})
    first, _ = lines(capsys, [events(*EMPTY)], of=counting)
    assert first.endswith("tier totals, not seen: skipped")


def test_where_metrics_are_is_logged_at_the_start(capsys, tmp_path):
    plugins = {name: plugin(name) for name in ("prometheus", "log")}
    run = runner([events(*EMPTY)], plugins, log=True, listen="0", textfile=str(tmp_path))
    run.run()
    first, *_ = capsys.readouterr().err.splitlines()
    assert "metrics at http://127.0.0.1:" in first
    assert f"metrics in {tmp_path}" in first


def test_losses_are_logged_at_once_and_then_summed_up(capsys, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(log.time, "monotonic", lambda: now[0])

    class Late:
        """Lets a minute pass before the last batch."""

        def __iter__(self):
            yield events(*EMPTY, lost(5))
            yield events(lost(2))
            yield events(lost(3))
            now[0] += log.LOSS_SECONDS
            yield events(lost(1))
            yield events(lost(7))

    _, *between, last = lines(capsys, Late())
    assert [line.split()[1] for line in between] == ["5", "6", "7"]
    assert all("lower pages_to_scan" in line for line in between)
    assert " 18 lost" in last


def test_switching_ksm_on_and_off_is_logged_and_no_other_write(capsys):
    batches = [
        events(*EMPTY),
        *(write("run", text) for text in ("1", "1", "0")),
        write("run", "2", err=-22),
        write("pages_to_scan", "7"),
    ]
    _, *between, _ = lines(capsys, batches)
    assert between == [
        "ksmtrace: KSM's run was ? and is 1 now",
        "ksmtrace: KSM's run was 1 and is 0 now",
    ]


def test_a_plugin_that_fails_is_reported_once(capsys):
    from ksmtrace import hookimpl

    class Broken:
        @hookimpl
        def ksmtrace_batch(self):
            raise ValueError("broken")

    plugins = {"broken": Broken(), "log": plugin("log")}
    batches = [events(*EMPTY), events(*EMPTY), events(*EMPTY)]
    runner(batches, plugins, log=True, fail_fast=False).run()
    printed = capsys.readouterr().err.splitlines()
    assert [("broken" in line) for line in printed] == [False, True, False]


def test_without_being_asked_it_logs_nothing(capsys):
    assert lines(capsys, [events(*EMPTY, lost(5)), write("run", "1")], log=False) == []


@pytest.mark.parametrize("journal", [True, False])
def test_lines_for_the_journal_have_levels(tmp_path, monkeypatch, journal):
    with (tmp_path / "stderr").open("w+") as file:
        found = os.fstat(file.fileno())
        monkeypatch.setattr(sys, "stderr", file)
        stream = f"{found.st_dev}:{found.st_ino + (not journal)}"
        monkeypatch.setenv("JOURNAL_STREAM", stream)
        assert log.stderr_is_journal() == journal
        runner([events(*EMPTY, lost(5))], {"log": plugin("log")}, log=True).run()
        file.seek(0)
        levels = [line[:3] for line in file]
    assert levels == (["<6>", "<4>", "<6>"] if journal else ["ksm"] * 3)


def test_names_do_no_harm(capsys):
    first, *_ = lines(capsys, [events(*EMPTY)], listen=None, textfile="/tmp/\x1b[31m\n<0>x")
    assert "/tmp/?[31m?<0>x" in first
