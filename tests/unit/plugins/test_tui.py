"""The screen and the closing text: what they show, that they fit, and that nothing gets through them."""

import io
import re

import pytest
from rich.console import Console

from ksmtrace import hookimpl
from ksmtrace.events import EventKind
from ksmtrace.plugins.tui import Plugin, plain_text, render
from ksmtrace.plugins.tui.panels import duration, size
from ksmtrace.session import Exactness, Kernel, Probe, Session
from support.runs import EMPTY, analyse, examined, lost, plugin, process, runner, start, stop
from support.story import story
from support.streams import events, sample, session

ANALYZERS = ("stable_tree", "unstable_tree", "volatile")
EVIL = b"\x1b]0;x\x07[red]"


def _long_session(**changes):
    probes = {
        kind: Probe(
            f"raw_tracepoint some_rather_long_name and kprobe {kind.name}",
            Exactness.DERIVED,
            "x y " * 40,
        )
        for kind in EventKind
        if kind is not EventKind.LOST
    }
    kernel = Kernel(
        "6.18.44-some-very-long-local-version-of-a-distribution", "ab" * 20, "x86_64", 4096
    )
    return Session("live", kernel, "tracepoint", probes, **changes)


def _evil_rows():
    changed = examined(1, mm=1, old=1, new=2)
    return [*EMPTY, process(1, 4194304, EVIL), start(0), *[changed] * 30, stop(0), lost(123456789)]


def _three_processes():
    rows = [*EMPTY]
    for mm in (1, 2, 3, 4):
        rows += [process(mm, 4194300 + mm, b"qemu-system-x86"), examined(1, mm=mm, old=1, new=2)]
    return rows


STREAMS = {"story": story(), "evil": _evil_rows(), "three": _three_processes(), "nothing": []}


def _draw(snapshot, width, height, **how):
    console = Console(width=width, height=height, file=io.StringIO(), **how)
    console.print(render(snapshot))
    return console.file.getvalue()


@pytest.mark.parametrize("rows", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("of", [session(), _long_session()], ids=["short", "long"])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 24), (120, 50), (200, 60)])
def test_the_screen_fits(rows, of, width, height):
    lines = _draw(analyse(rows, *ANALYZERS, of=of), width, height).splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("rows", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("of", [session(), _long_session(only_pids=(1, 2))], ids=["short", "long"])
def test_the_text_has_80_columns_and_no_escape_codes(rows, of):
    text = plain_text(analyse(rows, *ANALYZERS, of=of))
    assert max(map(len, text.splitlines())) <= 80
    assert re.fullmatch(r"[\n -~]*", text)
    assert text.endswith("\n")


def test_the_screen_shows_the_run():
    drawn = _draw(analyse(story(), *ANALYZERS), 80, 24)
    for part in (
        "6.1.0-test",
        "tier full",
        "0 lost",
        "3 passes",
        "agreed with the kernel at 1 of 1 pass ends",
        "cmp_and_merge_page",
        "break_cow",
        "stable tree",
        "unstable tree",
        "java 815",
    ):
        assert part in drawn
    assert re.search(r"reconstructed +40 +80 +60 +80", drawn)
    assert re.search(r"kernel +40 +80 +60 +80", drawn)
    assert re.search(r"difference +0 +0 +0 +0", drawn)
    assert drawn.index("stable tree") < drawn.index("unstable tree") < drawn.index("volatile ─")


def test_a_tall_screen_lists_every_kind_and_a_wide_one_its_limits():
    of = session(unseen=[EventKind.MM_ENTER])
    tall = _draw(analyse(story(), *ANALYZERS, of=of), 120, 50)
    assert "remove_stable_node" in tall
    assert re.search(r"mm_enter +absent +- +test", tall)
    assert "remove_stable_node" not in _draw(analyse(story(), *ANALYZERS), 80, 24)


def test_losses_and_differences_stand_out():
    kernel = {"pages_shared": 3, "pages_sharing": 0, "pages_unshared": 0, "pages_volatile": 0}
    rows = [*EMPTY, start(0), stop(0), *sample(at_scan_stop=True, **kernel), lost(2)]
    drawn = _draw(
        analyse(rows), 80, 24, force_terminal=True, color_system="standard", no_color=False
    )
    assert "\x1b[1;37;41m2 lost" in drawn
    assert "\x1b[1;33m-3" in drawn


def test_no_color_is_honoured(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    drawn = _draw(analyse([*EMPTY, lost(2)]), 80, 24, force_terminal=True)
    assert not re.search(r"\x1b\[[\d;]*(3\d|4\d)[;m]", drawn)


def test_a_process_name_gets_neither_escape_codes_nor_markup_through():
    snapshot = analyse(_evil_rows(), *ANALYZERS)
    for shown in (_draw(snapshot, 80, 24), plain_text(snapshot)):
        assert "\x1b" not in shown
        assert "\x07" not in shown
        assert "?]0;x?[red]" in shown


def test_third_party_panels_are_shown_and_cropped_by_the_screen_alone():
    class Mine:
        @hookimpl
        def ksmtrace_panels(self):
            return ["[b]mine[/]"]

    plugins = {"mine": Mine(), **{name: plugin(name) for name in ANALYZERS}}
    snapshot = runner([events(*story())], plugins, interval=3600).run()
    assert "mine" in _draw(snapshot, 120, 50)


def test_the_text_tells_the_outcome():
    text = plain_text(analyse(story(), *ANALYZERS))
    for part in (
        "ksmtrace ",
        "live, kernel 6.1.0-test, full tier, 10.0 s, 3 passes",
        "KSM saves 320.0 KiB: 40 KSM pages stand for 120 pages.",
        "304.0 KiB (general_profit)",
        "121 pages joined the stable tree",
        "EBUSY 1, EFAULT 1",
        "Of 784 pages examined: 30.6% in the stable tree",
        "agreed with the kernel at 1 of 1 pass ends",
        "events, none lost",
    ):
        assert part in text.replace("\n", " ")
    assert re.search(r"java +pid 815 +159", text)
    assert re.search(r"break_cow +exact +1 +test:BREAK_COW", text)
    assert "Not seen" not in text


def test_the_text_says_what_was_not_seen_and_why_and_what_was_lost():
    of = session(unseen=[EventKind.CMP_AND_MERGE_PAGE])
    text = plain_text(analyse([*EMPTY, lost(7)], *ANALYZERS, of=of))
    assert "Not seen in this run:\n  cmp_and_merge_page: test" in text
    assert "7 LOST: every count above may be too low" in text
    assert "incomplete: events were lost" in text
    assert "pages examined" not in text
    assert re.search(r"reconstructed +0 +0 +- +-", text)


def test_the_text_says_when_ksm_costs_more_than_it_saves():
    rows = sample(pages_shared=0, pages_sharing=0, ksm_zero_pages=3, general_profit=-4096)
    text = plain_text(analyse(rows))
    assert "Net of KSM's own bookkeeping: -4.0 KiB (general_profit): it costs more" in text
    assert "The zero page stands for 3 more, 12.0 KiB." in text


def test_the_text_admits_that_nothing_was_read():
    text = plain_text(analyse([]))
    assert "not known: the kernel's counters were not read" in text
    assert "no reading of the kernel's counters yet" in text


def test_the_text_stands_without_analyzers_and_names_a_failed_plugin(capsys):
    class Broken:
        @hookimpl
        def ksmtrace_batch(self):
            raise ValueError("two\nlines \x1b[2J")

    run = runner([events(*story())], {"broken": Broken()}, fail_fast=False, interval=3600)
    snapshot = run.run()
    text = plain_text(snapshot)
    assert "Plugin broken was dropped: plugin 'broken' raised ValueError" in text
    assert "\x1b" not in text
    assert "plugin broken failed" in _draw(snapshot, 120, 24)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0 B"),
        (1023, "1,023 B"),
        (-2048, "-2.0 KiB"),
        (3 << 30, "3.0 GiB"),
        (5 << 50, "5,120.0 TiB"),
    ],
)
def test_sizes_have_binary_units(value, shown):
    assert size(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0.0 s"), (119.9, "119.9 s"), (3723, "1:02:03")]
)
def test_durations_are_short(seconds, shown):
    assert duration(seconds) == shown


def _terminal():
    return Console(
        width=80, height=24, file=io.StringIO(), force_terminal=True, color_system="standard"
    )


ENTER, LEAVE, SHOW_CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"


def test_the_terminal_is_given_back_before_the_outcome_is_printed():
    console = _terminal()
    rows = story()
    plugins = {"tui": Plugin(console), "volatile": plugin("volatile")}
    run = runner([events(*rows[:300]), events(*rows[300:])], plugins, tui=True)
    seen = []
    run.run(lambda snapshot: seen.append(console.file.getvalue()))
    output = console.file.getvalue()
    assert output.count(ENTER) == output.count(LEAVE) == 1
    assert "cmp_and_merge_page" in output
    assert seen == [output]
    assert output.rindex(SHOW_CURSOR) > output.index(ENTER)


def test_the_terminal_is_given_back_when_drawing_fails(capsys):
    console = _terminal()

    class Broken:
        drawn = 0

        @hookimpl
        def ksmtrace_panels(self):
            self.drawn += 1
            return [object() if self.drawn > 1 else "fine"]

    batches = [events(*story()[:300]), events(*story()[300:])]
    run = runner(batches, {"tui": Plugin(console), "broken": Broken()}, tui=True, fail_fast=False)
    run.run()
    assert "tui" in run.calls.failures
    assert console.file.getvalue().count(LEAVE) == 1


def test_a_replay_that_is_over_at_once_has_no_screen():
    console = _terminal()
    runner([events(*story())], {"tui": Plugin(console)}, tui=True, interval=3600).run()
    assert console.file.getvalue() == ""


def test_nothing_is_drawn_unless_wanted():
    console = _terminal()
    runner([events(*story())], {"tui": Plugin(console)}).run()
    assert console.file.getvalue() == ""


def test_a_total_is_the_kernels_own():
    """Where pages are not seen one by one, the count shown is what the kernel counted during the run."""
    total = Probe("/sys/kernel/mm/ksm pages_scanned", Exactness.SAMPLED)
    seen = {**session().probes, EventKind.CMP_AND_MERGE_PAGE: total}
    facts = Session("live", session().kernel, "tracepoint", seen)
    rows = [
        *sample(pages_scanned=1000, pages_shared=0),
        *sample(pages_scanned=8654, pages_shared=0),
    ]
    snapshot = analyse(rows, of=facts)
    assert "7,654" in _draw(snapshot, 80, 24)
    assert "7,654" in plain_text(snapshot)
