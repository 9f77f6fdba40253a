"""One figure has one value, whoever shows it, and what a tier cannot know is not drawn as 0.

The same replay as the screen, the text, the report and the JSON document tell it, at three tiers.
"""

import io
import re
from collections import defaultdict

import pytest
from rich.console import Console
from rich.segment import Segment, Segments

from ksmtrace.model.verdict import LITTLE_BYTES
from ksmtrace.plugins.tui.frame import frame
from ksmtrace.plugins.tui.picture import Picture
from ksmtrace.plugins.tui.text import plain_text
from ksmtrace.plugins.tui.view_state import OVERVIEW, ViewState
from ksmtrace.report.text import report_text
from ksmtrace.units import format_value, share, size
from support.tiers import TIERS, answered


@pytest.fixture(scope="module", params=list(TIERS))
def told(request, repository):
    """The answer of one tier."""
    return answered(repository / "tests/replay/data/debian-6.1.ksmtrace", request.param)


@pytest.fixture(scope="module")
def texts(told):
    """What can be read of it, by where: words at one space, however lines were broken."""
    picture = Picture.of(told)
    found = {
        "text": plain_text(told),
        "report": report_text(told.document, [one for _, one in told.sections], "utf-8"),
    }
    for view in (OVERVIEW, *picture.views()):
        console = Console(width=160, height=60, file=io.StringIO(), color_system=None)
        lines = frame(console, picture, ViewState(view=view), (160, 60), listens=True, over=True)
        console.print(Segments([s for line in lines for s in (*line, Segment.line())]), end="")
        found[view or "overview"] = console.file.getvalue()
    return {where: " ".join(text.split()) for where, text in found.items()}


def _at(document, path):
    for key in path.split("."):
        document = document.get(key) if isinstance(document, dict) else None
    return document


SAME = {
    "pages shared": [
        *("analyzers.stable_tree.shared_pages", "counters.pages_shared"),
    ],
    "pages sharing": [
        *("analyzers.stable_tree.sharing_pages", "counters.pages_sharing"),
    ],
    "pages unshared": ["analyzers.unstable_tree.unshared_pages", "counters.pages_unshared"],
    "pages volatile": ["analyzers.volatile.volatile_pages", "counters.pages_volatile"],
    "bytes saved by sharing": [
        *("analyzers.stable_tree.saved_bytes", "analyzers.balance.total.saved_bytes"),
    ],
    "cores of ksmd": ["analyzers.scan_cost.ksmd_cores", "analyzers.balance.ksmd_cores"],
    "seconds of ksmd": [
        *("analyzers.scan_cost.ksmd_cpu_seconds", "analyzers.balance.total.ksmd_cpu_seconds"),
    ],
    "pages examined": [
        *("analyzers.scan_cost.examined_pages", "analyzers.volatile.examined_pages"),
        "analyzers.balance.total.examined_pages",
    ],
    "pages joined": [
        *("analyzers.stable_tree.merged_pages", "analyzers.balance.total.joined_pages"),
    ],
    "pages written to": [
        *("analyzers.cow.user_pages", "analyzers.balance.total.user_break_pages"),
        "analyzers.stable_tree.cow_fault_pages",
    ],
    "pages examined in the last pass": [
        *("analyzers.scan_cost.last_pass_examined_pages",),
        "analyzers.volatile.last_pass_examined_pages",
    ],
    "passes": ["passes", "analyzers.scan_cost.passes"],
}
"""Places of the document that mean the same: one value, or not known."""


@pytest.mark.parametrize("meaning", SAME)
def test_what_means_the_same_is_the_same_in_the_document(told, meaning):
    values = {path: _at(told.document, path) for path in SAME[meaning]}
    known = {value for value in values.values() if value is not None}
    assert len(known) <= 1, values
    if told.document["tier"] == "full":
        assert known, meaning


SIZE, SHARE, COUNT = r"(-?[\d.,]+ (?:B|KiB|MiB|GiB))", r"([\d.,]+%)", r"([\d,]+)"
SAID = [
    (rf"KSM saves {SIZE}|{SIZE} saved,|saved by sharing {SIZE}"
     rf"|(?<!net )saved: {SIZE} at the end",
     "analyzers.balance.total.saved_bytes", size),
    (rf"{SIZE} net|(?<!\w)net:? {SIZE}|less bookkeeping {SIZE}",
     "analyzers.balance.total.net_saved_bytes", size),
    (rf"ksmd (?:takes )?{SHARE} of a core|share of a core {SHARE}",
     "analyzers.scan_cost.ksmd_cores", "{:.1%}".format),
    (rf"{COUNT} KSM pages stand for|\(shared\) {COUNT} kernel:",
     "analyzers.stable_tree.shared_pages", "{:,}".format),
    (rf"{COUNT} pages saved|\(sharing\) {COUNT} kernel:", "analyzers.stable_tree.sharing_pages",
     "{:,}".format),
    (rf"KSM pages stand for {COUNT}", "analyzers.balance.total.merged_pages", "{:,}".format),
    (rf"(?:Of|of) {COUNT} (?:pages examined|examinations)", "analyzers.volatile.examined_pages",
     "{:,}".format),
    (rf"written to {COUNT}|Writes broke {COUNT}|broken by writes {COUNT}",
     "analyzers.cow.user_pages", "{:,}".format),
    (rf"pages merged in this run {COUNT}|{COUNT} pages joined the stable tree",
     "analyzers.stable_tree.merged_pages", "{:,}".format),
]  # fmt: skip
"""How a figure is said, where it is in the document, and how it is written."""


@pytest.mark.parametrize(("said", "path", "written"), SAID, ids=[path for _, path, _ in SAID])
def test_every_mention_of_a_figure_has_the_documents_value(told, texts, said, path, written):
    value = _at(told.document, path)
    mentions = defaultdict(set)
    for where, text in texts.items():
        for match in re.finditer(said, text):
            mentions[next(filter(None, match.groups()))].add(where)
    assert set(mentions) <= ({written(value)} if value is not None else set()), dict(mentions)
    if told.document["tier"] == "full":
        assert len(set().union(*mentions.values())) >= 2, "it is said in two places at least"


def test_a_name_has_one_value_in_all_sections(told):
    values = defaultdict(set)
    for plugin, section in told.sections:
        for figure in section.figures:
            if figure.value is not None:
                values[figure.name].add((format_value(figure.value, figure.unit), plugin))
    assert {
        name: told for name, told in values.items() if len({value for value, _ in told}) > 1
    } == {}


def test_what_is_shown_is_in_the_document(told, texts):
    """Every size and share in a sentence is a number of the document as it is written."""
    numbers = list(_numbers(told.document))
    written = {
        *(text for value in numbers for text in _written(value)),
        *(size(pages * 4096) for pages in numbers if isinstance(pages, int)),
        *(size(gib * 2**30) for gib in numbers if isinstance(gib, float)),
    }
    said = [section.lead for _, section in told.sections]
    said += [texts["text"].partition("Reconstruction:")[0], *_bearings(told)]
    strange = {
        token
        for text in said
        for token in re.findall(r"-?[\d.,]+ (?:B|KiB|MiB|GiB)\b|[\d.,]+%", text)
        if token not in written
    }
    assert strange <= _ratios(told.document)


def _bearings(told):
    return [
        f"{format_value(figure.value, figure.unit)}"
        for _, section in told.sections
        for figure in section.figures
        if figure.value is not None
    ]


def _numbers(value):
    if isinstance(value, dict):
        for one in value.values():
            yield from _numbers(one)
    elif isinstance(value, list):
        for one in value:
            yield from _numbers(one)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def _written(value):
    yield size(value)
    if 0 <= value <= 100:
        yield from (f"{value:.{places}%}" for places in (0, 1, 2))
        yield f"{100 * value:.2g}%"


def _ratios(document):
    """Shares that are said and are the quotient of two numbers of the document."""
    volatile, balance = (document["analyzers"][name] for name in ("volatile", "balance"))
    parts = [value for key, value in volatile.items() if key.endswith("_pages") and value]
    parts += [one["examined_pages"] for one in (volatile["causes"] or {}).values()]
    unchanged = ("fork_shared", "held", "huge_page", "other")
    causes = volatile["causes"] or {}
    kept = sum(causes[name]["examined_pages"] or 0 for name in unchanged if name in causes)
    parts += [kept, (volatile["unplaced_pages"] or 0) - kept]
    tracked = (document["analyzers"]["heat_map"]["pages"] or {}).values()
    found = {
        text
        for whole, some in ((volatile["examined_pages"], parts), (sum(tracked), tracked))
        for part in some
        if whole and part is not None
        for text in (f"{part / whole:.0%}", f"{part / whole:.1%}", share(part / whole))
    }
    net, worth = balance["total"]["net_saved_bytes"], balance["core_worth_bytes"]
    if net:
        found.add(share(net / worth))
        found.add(share(LITTLE_BYTES / worth))
    return found


def test_no_chart_draws_what_is_not_known(told):
    for _, section in told.sections:
        for chart in section.charts:
            assert chart.series or not chart.x, chart.title
            for name, values in chart.series.items():
                known = [value for value in values if value is not None]
                assert known, (chart.title, name)
                if told.document["tier"] != "full":
                    assert any(known), f"{chart.title}: {name} is flat, which no event says"


def test_no_table_has_a_column_without_a_value(told):
    for _, section in told.sections:
        for table in section.tables:
            for at, name in enumerate(table.columns if table.rows else ()):
                assert any(row[at] is not None for row in table.rows), (table.title, name)


def test_what_is_left_out_is_named_with_its_reason(told):
    said = " ".join(section.exactness for _, section in told.sections)
    if told.document["tier"] == "full":
        assert "chart of" not in said
        return
    assert "chart of pages per pass (cmp_and_merge_page is not seen one by one" in said
    assert re.search(r"broken by writes[^;]* \(who writes to merged pages is not seen", said)
