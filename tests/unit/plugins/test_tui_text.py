"""The text that ends a run: what it holds, that it fits, and that nothing gets through it."""

import re

import pytest

from ksmtrace import hookimpl
from ksmtrace.events import EventKind
from ksmtrace.plugins.advice.rules import Recommendation
from ksmtrace.plugins.tui.text import plain_text
from ksmtrace.session import Exactness, Probe, Session
from support.pictures import ANALYZERS, STREAMS, evil_rows, long_session
from support.runs import EMPTY, analyse, lost, runner
from support.story import story
from support.streams import events, sample, session


@pytest.mark.parametrize("rows", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("of", [session(), long_session(only_pids=(1, 2))], ids=["short", "long"])
def test_the_text_has_80_columns_and_no_escape_codes(rows, of):
    text = plain_text(analyse(rows, *ANALYZERS, of=of))
    assert max(map(len, text.splitlines())) <= 80
    assert re.fullmatch(r"[\n -~]*", text)
    assert text.endswith("\n")


def test_the_text_is_the_outcome():
    text = plain_text(analyse(story(), *ANALYZERS))
    for part in (
        "ksmtrace ",
        "live, kernel 6.1.0-test, full tier, 10.0 s, 3 passes",
        "KSM saves 320.0 KiB: 40 KSM pages stand for 120 pages.",
        "The kernel's general_profit, which leaves stable nodes out: 304.0 KiB.",
        "121 pages joined the stable tree",
        "EBUSY 1, EFAULT 1",
        "Of 784 pages examined: 30.6% merged",
        "agreed with the kernel at 1 of 1 pass ends",
        "events, none lost",
    ):
        assert part in text.replace("\n", " ")
    assert re.search(r"java +pid 815 +159", text)
    assert re.search(r"break_cow +exact +1 +test:BREAK_COW", text)
    assert "Not seen" not in text


def test_the_text_names_what_was_not_seen_and_why_and_what_was_lost():
    of = session(unseen=[EventKind.CMP_AND_MERGE_PAGE])
    text = plain_text(analyse([*EMPTY, lost(7)], *ANALYZERS, of=of))
    assert "Not seen in this run:\n  cmp_and_merge_page: test" in text
    assert "7 LOST: every count above may be too low" in text
    assert "incomplete: events were lost" in text
    assert "pages examined" not in text
    assert re.search(r"reconstructed +0 +0 +- +-", text)


def test_the_text_tells_the_kernels_own_profit():
    rows = sample(pages_shared=0, pages_sharing=0, ksm_zero_pages=3, general_profit=-4096)
    text = plain_text(analyse(rows))
    assert "The kernel's general_profit, which leaves stable nodes out: -4.0 KiB." in text
    assert "KSM saves 12.0 KiB: 0 KSM pages stand for 0 pages, the zero page stands" in text


def test_the_text_admits_that_nothing_was_read():
    text = plain_text(analyse([]))
    assert "not known: the kernel's counters were not read" in text
    assert "no reading of the kernel's counters yet" in text


def test_the_text_needs_no_analyzers_and_names_a_failed_plugin(capsys):
    class Broken:
        @hookimpl
        def ksmtrace_batch(self):
            raise ValueError("two\nlines \x1b[2J")

    run = runner([events(*story())], {"broken": Broken()}, fail_fast=False, interval=3600)
    text = plain_text(run.run())
    assert "Plugin broken was dropped: plugin 'broken' raised ValueError" in text
    assert "\x1b" not in text


def test_a_process_name_gets_no_escape_codes_through():
    shown = plain_text(analyse(evil_rows(), *ANALYZERS))
    assert not set(shown) & {"\x1b", "\x07"}
    assert "?]0;x?[red]" in shown


def test_a_total_is_the_kernels_own():
    """Where pages are not seen one by one, the count shown is the kernel's for the run."""
    total = Probe("/sys/kernel/mm/ksm pages_scanned", Exactness.SAMPLED, counter="pages_scanned")
    seen = {**session().probes, EventKind.CMP_AND_MERGE_PAGE: total}
    facts = Session("live", session().kernel, "tracepoint", seen)
    rows = [
        *sample(pages_scanned=1000, pages_shared=0),
        *sample(pages_scanned=8654, pages_shared=0),
    ]
    assert "7,654" in plain_text(analyse(rows, of=facts))


def _concluding(verdict, recommendations):
    class Concludes:
        def __init__(self, key, value):
            self._given = {key: value}

        @hookimpl
        def ksmtrace_analysis(self):
            return self._given

    plugins = {
        "balance": Concludes("verdict", verdict),
        "advice": Concludes("recommendations", recommendations),
    }
    return plain_text(runner([events(*story())], plugins, interval=3600).run())


def test_the_verdict_and_the_advice_come_first():
    advice = [
        Recommendation(
            "slower", "Scan slower\x1b[2J.", "KSM has settled " + "why " * 30, "echo 10"
        ).to_json(),
        Recommendation("less", "Advise less memory.", "why", "madvise").to_json(),
    ]
    text = _concluding("KSM saves 3 GiB for 2 % of a CPU.", advice)
    title, verdict, *_ = text.split("\n\n")
    assert title.startswith("ksmtrace ")
    lines = verdict.splitlines()
    assert lines[0] == "Verdict: KSM saves 3 GiB for 2 % of a CPU."
    assert lines[1].startswith("- Scan slower?[2J. (KSM has settled")
    assert lines[-3:] == ["    echo 10", "- Advise less memory. (why)", "    madvise"]
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(("verdict", "recommendations"), [(None, None), ("", []), ({"x": 1}, ())])
def test_without_a_verdict_the_text_has_none(verdict, recommendations):
    assert "Verdict" not in _concluding(verdict, recommendations)
