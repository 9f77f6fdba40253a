"""The screen: what it shows, that it fits any terminal, and that the terminal is given back."""

import io
import re
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console
from rich.panel import Panel
from rich.segment import Segment, Segments
from rich.style import Style
from rich.text import Text

from ksmtrace import hookimpl
from ksmtrace.events import EventKind
from ksmtrace.plugins import BUILTINS, Role
from ksmtrace.plugins.tui import Plugin
from ksmtrace.plugins.tui.frame import frame, pressed_at
from ksmtrace.plugins.tui.memory import NEITHER, UNTOLD, WAITING, memory_bar, mergeable
from ksmtrace.plugins.tui.picture import PROBES, Picture
from ksmtrace.plugins.tui.view_state import OVERVIEW, PROCESS, Choices, ViewState
from ksmtrace.units import format_value
from support.pictures import ANALYZERS, STREAMS, evil_rows, long_session, picture
from support.runs import EMPTY, analyse, lost, plugin, runner, start, stop
from support.story import story
from support.streams import events, sample, session
from support.tiers import TIERS
from support.tiers import answered as answer_of

BUNDLED_CAPTURE = Path(__file__).parents[2] / "replay/data/debian-6.1.ksmtrace"
SIZES = [(80, 24), (120, 40), (40, 10), (200, 60)]


@cache
def answered(path, tier="full"):
    return Picture.of(answer_of(path, tier))


def _console(width, height, **how):
    return Console(width=width, height=height, file=io.StringIO(), **how)


def _lines(shown, width, height, state=None, *, over=False, **how):
    """The lines of a frame, as text."""
    console = _console(width, height, **how)
    drawn = frame(console, shown, state or ViewState(), (width, height), listens=True, over=over)
    console.print(
        Segments([s for line in drawn for s in (*line, Segment.line())]), crop=False, end=""
    )
    return console.file.getvalue().splitlines()


def _draw(shown, width=80, height=24, state=None, **how):
    return "\n".join(_lines(shown, width, height, state, **how))


@pytest.mark.parametrize("rows", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("of", [session(), long_session()], ids=["short", "long"])
@pytest.mark.parametrize("size", SIZES)
def test_every_view_fits_the_screen(rows, of, size):
    shown = picture(rows, *ANALYZERS, of=of)
    for view in (OVERVIEW, *shown.views()):
        for state in (
            ViewState(view=view),
            ViewState(view=view, help=True),
            ViewState(view=view, prompt="x" * 40),
        ):
            lines = _lines(shown, *size, state)
            assert len(lines) <= size[1]
            assert max(map(len, lines)) <= size[0]


@pytest.mark.parametrize("more", [9, 30])
@pytest.mark.parametrize("size", SIZES)
def test_it_fits_whatever_the_number_of_analyzers(more, size):
    shown = picture(story(), *ANALYZERS, more=more)
    assert len(set(shown.views().values())) == len(shown.views())
    for view in (OVERVIEW, *shown.views()):
        for state in (
            ViewState(view=view),
            ViewState(view=view, scroll=1 << 20, sort=1, needle="alpha"),
        ):
            lines = _lines(shown, *size, state)
            assert len(lines) <= size[1]
            assert max(map(len, lines)) <= size[0]


def test_with_nine_analyzers_80_by_24_names_every_view_with_its_key():
    shown = picture(story(), *ANALYZERS, more=5)
    drawn = _draw(shown)
    for title in (
        "1 KSM pages and their sharers",
        "2 How long merges take",
        *(f"{5 + n} Other {n}" for n in range(5)),
    ):
        assert title in drawn
    assert "q quit" in drawn
    assert "s sort" in drawn


@pytest.mark.parametrize("how", [{}, {"no_color": True}, {"legacy_windows": True}])
def test_80_by_24_answers_the_four_questions(how):
    """Does it pay, who gains, what is wasted, what to do, with the command."""
    drawn = _draw(answered(BUNDLED_CAPTURE), over=True, **how)
    for answer in (
        "COSTS MORE THAN IT SAVES  3.3 MiB saved",
        "ksmd takes 25.3% of a core",
        "Do: Let ksmd scan slower",
        "    echo 60200 > /sys/kernel/mm/ksm/pages_to_scan",
        "Mergeable memory: 7.8 MiB in 1,991 pages",
    ):
        assert answer in drawn
    for pattern in (
        r"saved 852 \(42.8%\) .*kept 567 \(28.5%\) .*unique 502 \(25.2%\)",
        r"changing 62 \(3.1%\) .*held 8 \(0.4%\)",
        r"saved +[▁-█]{20,} +3.3 MiB now, 7.8 MiB at most",
        r"ksmd's CPU +[▁-█]{20,} +44.6% now",
        r"Who gains +saved +net saved +ksmd's CPU +pages written",
        r"beta 125 +1.7 MiB +1.6 MiB +5.32 s +167",
        r"written to between two looks +3,337 +415 ms",
    ):
        assert re.search(pattern, drawn), pattern
    assert drawn.splitlines()[-1].startswith("q quit")


@pytest.mark.parametrize("tier", TIERS)
def test_the_bar_is_as_wide_as_the_screen_and_its_parts_are_all_pages(tier):
    shown = answered(BUNDLED_CAPTURE, tier)
    pages = mergeable(shown.document)
    counters = shown.document["counters"]
    gauges = ("shared", "sharing", "unshared", "volatile")
    assert sum(pages.values()) == sum(counters[f"pages_{name}"] for name in gauges)
    assert (NEITHER in pages) == (tier != "full")
    assert UNTOLD not in pages
    for width in (40, 80, 200):
        bar = list(memory_bar(shown, width))[1]
        assert len(bar.plain) == width
        assert len(set(bar.plain)) == len(pages), "each part is seen, and told without colours"


@pytest.mark.parametrize("cause", ["skipped", "fork_shared", "held", "other"])
def test_pages_whose_cause_is_not_known_are_not_said_to_wait(cause):
    document = answered(BUNDLED_CAPTURE).document
    volatile = document["analyzers"]["volatile"]
    known = volatile["causes"]
    causes = {**known, cause: {**known[cause], "now_pages": None}}
    gauge = volatile["volatile_pages"]
    analyzers = document["analyzers"] | {"volatile": {**volatile, "causes": causes}}
    pages = mergeable({**document, "analyzers": analyzers})
    told = sum(one["now_pages"] or 0 for name, one in causes.items() if name != "gone")
    assert pages.get(UNTOLD, 0) == gauge - told
    assert WAITING not in pages


def test_a_filter_that_leaves_no_process_says_so():
    drawn = _draw(answered(BUNDLED_CAPTURE), state=ViewState(needle="漢"))
    assert "no process has '漢' in its name" in drawn


@pytest.mark.parametrize("size", [(40, 10), (60, 16)])
def test_a_small_screen_has_what_to_do_and_whole_figures(size):
    shown = answered(BUNDLED_CAPTURE)
    assert "pages_to_scan" in "".join(_draw(shown, *size).split())
    for view in shown.views():
        lines = _lines(shown, size[0], 200, ViewState(view=view))
        for section in shown.sections_of(view):
            for figure in section.figures:
                value = format_value(figure.value, figure.unit)
                assert any(value in line for line in lines)


def test_all_keys_are_told_on_a_small_screen_too():
    shown, state = answered(BUNDLED_CAPTURE), ViewState()
    choices = Choices(shown.views(), 5, (), ())
    state.press("?", choices)
    seen = ""
    for _ in range(30):
        seen += _draw(shown, 40, 10, state)
        state.press("pagedown", choices)
    assert "exit status 130" in " ".join(seen.split())
    state.press("x", choices)
    assert not state.help


def test_panels_come_in_the_order_of_importance_or_not_at_all():
    shown = answered(BUNDLED_CAPTURE)
    for height in range(24, 120, 3):
        drawn = _draw(shown, 120, height)
        titles = [f"─ {name} ─" in drawn for name in ("balance", "stable tree", "copies")]
        assert titles == sorted(titles, reverse=True)


def test_one_process_is_looked_into():
    shown = answered(BUNDLED_CAPTURE)
    drawn = _draw(shown, 100, 200, ViewState(view=PROCESS, process="beta 125"))
    for pattern in (
        r"^beta 125$",
        r"cgroup /",
        r"Is KSM worth it\?",
        r"saved +1.7 MiB",
        r"ksmd's CPU +5.32 s",
        r"Copy on write",
        r"by writes +167",
        r"beta 125: \d[\d,]* pages",
        r"beta 125 0x[0-9a-f]+-0x[0-9a-f]+",
    ):
        assert re.search(pattern, drawn, re.MULTILINE), pattern
    assert not re.search(r"^alpha", drawn, re.MULTILINE)
    gone = _draw(shown, 100, 40, ViewState(view=PROCESS, process="beta 12"))
    assert "No analyzer has anything to say of it now." in gone


def test_a_click_is_the_key_of_what_is_there():
    shown = answered(BUNDLED_CAPTURE)
    console = _console(80, 24)
    lines = frame(console, shown, ViewState(), (80, 24), listens=True, over=False)
    texts = ["".join(segment.text for segment in line) for line in lines]

    def click(words):
        y = next(at for at, text in enumerate(texts) if words in text)
        return pressed_at(lines, f"click {texts[y].index(words)} {y}")

    assert click("alpha 124") == "process 1"
    assert click("7 Copy on write") == "7"
    assert click("p pause") == "p"
    assert click("COSTS MORE") == ""
    assert pressed_at(lines, "click 79 22") == pressed_at(lines, "click 500 500") == ""


def test_a_counter_that_this_kernel_has_not_is_not_0():
    """pages_scanned came with 6.6."""
    shown = answered(BUNDLED_CAPTURE, "tracepoint")
    drawn = _draw(shown, 120, 60, ViewState(view=PROBES))
    assert re.search(r"cmp_and_merge_page +sampled +- ", drawn)


def _questions():
    text = (Path(__file__).parents[3] / "docs/REFERENCE.md").read_text()
    table = text.partition("| question | keys | there |\n|---|---|---|\n")[2].partition("\n\n")[0]
    for row in table.splitlines():
        question, typed, there = (cell.strip() for cell in row.strip("|").split("|"))
        yield pytest.param(typed.strip("`"), re.search("`(.+?)`", there)[1], id=question)


@pytest.mark.parametrize(("typed", "there"), list(_questions()))
def test_a_question_is_answered_where_the_reference_says(typed, there):
    shown = answered(BUNDLED_CAPTURE)
    state = ViewState()
    processes = [name for name, _ in shown.processes()]
    if typed != "none":
        key = "enter" if typed == "Enter" else typed
        state.press(key, Choices(shown.views(), 20, processes, range(1, 41)))
    assert there in " ".join(_draw(shown, state=state).split())


def test_looking_back_says_at_what():
    shown = picture(story(), *ANALYZERS)
    state = ViewState(at=2, paused=True)
    lines = frame(_console(80, 24), shown, state, (80, 24), listens=True, over=False, passes=1234)
    assert "PASS 3 of 1,234, p: now" in "".join(segment.text for segment in lines[0])
    assert "pass: 12_" in _draw(shown, state=ViewState(prompt="12", asks="pass"))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_screens_as_pictures_have_no_text_beyond_their_edge(size, tmp_path):
    """Each view in rich's SVG: lines are as wide as their characters, and within the frame."""
    shown = picture(story(), *ANALYZERS, more=5)
    for view in (OVERVIEW, *shown.views()):
        console = _console(*size, record=True, force_terminal=True)
        lines = frame(console, shown, ViewState(view=view), size, listens=True, over=False)
        console.print(Segments([s for line in lines for s in (*line, Segment.line())]), end="")
        path = tmp_path / f"{view or 'overview'}-{size[0]}.svg"
        console.save_svg(str(path))
        root = ElementTree.parse(path).getroot()
        width = float(root.get("viewBox").split()[2])
        texts = [t for t in root.iter("{http://www.w3.org/2000/svg}text") if t.get("textLength")]
        assert len({text.get("y") for text in texts}) <= size[1]
        assert texts
        for text in texts:
            assert float(text.get("x")) + float(text.get("textLength")) <= width


def test_the_overview_shows_the_run():
    drawn = _draw(picture(story(), *ANALYZERS))
    for part in (
        "6.1.0-test",
        "full tier",
        "0 lost",
        "3 passes",
        "agreed with the kernel at 1 of 1 pass ends",
        "1 KSM pages and their sharers  40 KSM pages stand for 120",
        "3 Unique pages",
        "4 Why pages do not merge",
        "5 Probes",
    ):
        assert part in drawn
    assert re.search(r"reconstructed +40 +80 +60 +80", drawn)
    assert re.search(r"difference +0 +0 +0 +0", drawn)
    roomy = _draw(picture(story(), *ANALYZERS), 120, 40)
    assert "cmp_and_merge_page" in roomy
    assert "java 815" in roomy


def test_the_verdict_comes_first():
    names = [one.name for one in BUILTINS if one.role is Role.ANALYZER]
    shown = picture(story(), *names).views()
    assert list(shown.items())[:3] == [("balance", "1"), ("advice", "2"), ("stable_tree", "3")]


def test_a_view_draws_lead_figures_charts_and_tables():
    shown = picture(story(), more=1)
    drawn = _draw(shown, 100, 80, ViewState(view="other0"))
    figures = ("Other 0", "saved", "5.0 MiB", "25.0%", "Over time", "up: 4 at the end", "Ranges")
    tables = ("never", "always", "Processes", "alpha 1", "2:30:00", "the first three")
    for part in (*figures, *tables):
        assert part in drawn
    assert "█" in drawn


def test_the_view_of_probes_lists_every_kind_and_its_limits():
    of = session(unseen=[EventKind.MM_ENTER])
    drawn = _draw(picture(story(), *ANALYZERS, of=of), 120, 60, ViewState(view=PROBES))
    assert re.search(r"mm_enter +absent +- +test", drawn)
    assert re.search(r"remove_stable_node +exact", drawn)


def test_a_view_is_scrolled_to_its_end_and_no_further():
    shown = picture(story(), more=1)
    state = ViewState(view="other0", scroll=1 << 20)
    assert "the first three" in _draw(shown, 80, 24, state)
    assert 0 < state.scroll < 100
    state.scroll = 0
    assert "lines more" in _draw(shown, 80, 24, state)


def test_tables_are_sorted_and_filtered():
    shown = picture(story(), more=1)

    def order(**state):
        drawn = _draw(shown, 100, 80, ViewState(view="other0", **state)).partition("\nProcesses")[2]
        rows = re.findall(
            r"^(alpha 1|beta 2|\?\[2J\S*)(?=.* [\d:.-]+( s)? *$)", drawn, re.MULTILINE
        )
        return [name[0] for name, _ in rows]

    assert order() == ["a", "?", "b"]
    assert order(sort=1) == ["?", "a", "b"]
    assert order(sort=2) == ["b", "a", "?"]
    assert order(sort=1, backwards=True) == ["b", "a", "?"]
    assert order(sort=2, backwards=True) == ["a", "b", "?"], "what is not known is last both ways"
    assert order(backwards=True) == ["b", "?", "a"]
    assert order(needle="BETA") == ["b"]
    assert "2 rows hidden by the filter" in _draw(
        shown, 100, 80, ViewState(view="other0", needle="b")
    )


def test_what_is_paused_ended_filtered_or_typed_is_shown():
    shown = picture(story(), *ANALYZERS)
    assert "PAUSED" in _draw(shown, state=ViewState(paused=True))
    assert "ended, q quits" in _draw(shown, over=True)
    assert "filter: alpha" in _draw(shown, state=ViewState(needle="alpha"))
    assert "process: al_" in _draw(shown, state=ViewState(prompt="al"))


def test_losses_and_differences_stand_out():
    kernel = {"pages_shared": 3, "pages_sharing": 0, "pages_unshared": 0, "pages_volatile": 0}
    rows = [*EMPTY, start(0), stop(0), *sample(at_scan_stop=True, **kernel), lost(2)]
    drawn = _draw(picture(rows), force_terminal=True, color_system="truecolor", no_color=False)
    assert re.search(r"\x1b\[1;7;[\d;]+m2 lost", drawn)
    # rich keeps what a style is drawn with, whatever the colours of the next console
    assert re.search(r"\x1b\[1;[\d;]+m-3", drawn)


def test_no_color_is_honoured(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    drawn = _draw(picture([*EMPTY, lost(2)]), force_terminal=True)
    assert not re.search(r"\x1b\[[\d;]*(3\d|4\d)[;m]", drawn)


def test_a_process_name_gets_neither_escape_codes_nor_markup_through():
    drawn = _draw(picture(evil_rows(), *ANALYZERS), 120, 40)
    assert not set(drawn) & {"\x1b", "\x07"}
    assert "?]0;x?[red]" in drawn
    drawn = _draw(picture([], more=1), 120, 90, ViewState(view="other0"))
    assert "\x1b" not in drawn
    assert "?[2J<script>alert(1)</script> [red]&amp;" in drawn


def _terminal():
    return _console(80, 24, force_terminal=True, color_system="truecolor")


ENTER, LEAVE, SHOW_CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"


def test_the_terminal_is_given_back_before_the_outcome_is_printed():
    console = _terminal()
    rows = story()
    plugins = {"tui": Plugin(console), "stable_tree": plugin("stable_tree")}
    run = runner([events(*rows[:300]), events(*rows[300:])], plugins, tui=True)
    seen = []
    run.run(lambda snapshot: seen.append(console.file.getvalue()))
    output = console.file.getvalue()
    assert output.count(ENTER) == output.count(LEAVE) == 1
    assert seen == [output]
    assert output.rindex(SHOW_CURSOR) > output.index(ENTER)


class _Raises:
    """A sink that ends the run in the middle."""

    @hookimpl
    def ksmtrace_publish(self):
        raise RuntimeError("in the middle")


def test_the_terminal_is_given_back_when_the_run_fails():
    console = _terminal()
    plugins = {"raises": _Raises(), "tui": Plugin(console)}
    with pytest.raises(Exception, match="in the middle"):
        runner([events(*story())] * 2, plugins, tui=True).run()
    assert console.file.getvalue().count(ENTER) == console.file.getvalue().count(LEAVE) == 1


def test_a_screen_that_cannot_be_written_to_is_dropped(capsys):
    class Torn(io.StringIO):
        def write(self, text):
            if "q quit" in text or "Ctrl-C" in text:
                raise OSError("the line is dead")
            return super().write(text)

    console = Console(width=80, height=24, file=Torn(), force_terminal=True)
    batches = [events(*story()[at : at + 100]) for at in range(0, 700, 100)]

    class Slow:
        @hookimpl
        def ksmtrace_publish(self):
            import time

            time.sleep(0.2)

    run = runner(batches, {"slow": Slow(), "tui": Plugin(console)}, tui=True, fail_fast=False)
    run.run()
    assert "the line is dead" in run.calls.failures["tui"]
    assert console.file.getvalue().count(LEAVE) == 1


def test_a_panel_that_cannot_be_drawn_spoils_nothing_else():
    class Broken:
        @hookimpl
        def ksmtrace_panels(self):
            return [Panel(object()), Text("a\x1b[2Jb"), Text("c", Style(link="\x1b[2J"))]

    plugins = {"broken": Broken(), "stable_tree": plugin("stable_tree")}
    shown = Picture.of(runner([events(*story())], plugins, interval=3600).run())
    drawn = _draw(shown, 200, 40)
    assert "the panel of broken cannot be drawn" in drawn
    assert "a?[2Jb" in drawn
    assert "\x1b[2J" not in drawn
    assert "stable tree" in drawn


def test_a_replay_that_is_over_at_once_has_no_screen():
    console = _terminal()
    runner([events(*story())], {"tui": Plugin(console)}, tui=True, interval=3600).run()
    assert console.file.getvalue() == ""


def test_nothing_is_drawn_unless_wanted():
    console = _terminal()
    runner([events(*story())], {"tui": Plugin(console)}).run()
    assert console.file.getvalue() == ""


def test_a_total_is_the_kernels_own():
    rows = [*sample(pages_scanned=1, pages_shared=0), *sample(pages_scanned=9, pages_shared=0)]
    assert analyse(rows).document["counters"]["pages_scanned"] == 9
    assert "pages" in _draw(Picture.of(analyse(rows)))
