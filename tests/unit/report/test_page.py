"""The page: its content and order, and that no text of the run is markup."""

from html.parser import HTMLParser

import pytest

from ksmtrace.drawing.summary import advice, verdict
from ksmtrace.plugins.advice.rules import Recommendation
from ksmtrace.report.page import page
from ksmtrace.report.text import report_text
from ksmtrace.report.trust import trust
from ksmtrace.report.write import MARK
from support.pictures import ANALYZERS, EVIL_NAME, evil_rows, picture
from support.runs import EMPTY, lost
from support.story import story

CONCLUSIONS = {
    "balance": {"verdict": f"Worth it {EVIL_NAME}", "verdict_reasons": ["3 GiB saved", "cheap"]},
    "advice": {
        "recommendations": [
            Recommendation("slower", "Scan slower", "it has settled", "echo 1 > x").to_json(),
            Recommendation("evil", EVIL_NAME, EVIL_NAME, EVIL_NAME).to_json(),
        ]
    },
}


def told(rows, *, more=0, warnings=()):
    shown = picture(rows, *ANALYZERS, more=more)
    document = dict(shown.document)
    document["analyzers"] = {**document["analyzers"], **CONCLUSIONS}
    return document, [*(section for _, section in shown.sections), trust(document, warnings)]


def html(rows, **how):
    return page(*told(rows, **how), began_ns=1_700_000_000 * 10**9, name=f"{EVIL_NAME}.ksmtrace")


class _Page(HTMLParser):
    """Elements by name, their attributes, and the text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def made():
    return html(story(), more=2, warnings=["it did not end cleanly"])


def test_the_verdict_comes_before_the_advice_before_the_sections(made):
    text = _Page(made).text
    order = [
        "KSM on 6.1.0-test, 10.0 s",
        "none lost",
        "from 2023-11-14 22:13:20 UTC",
        "Worth it",
        "Scan slower (it has settled)",
        "echo 1 > x",
        "40 KSM pages stand for 120",
        "What Other 1 has to say",
        "agreed with the kernel",
        "It did not end cleanly",
    ]
    at = [text.index(part) for part in order]
    assert at == sorted(at)


def test_every_chart_is_there_twice_and_every_table(made):
    tags = _Page(made).tags
    _, sections = told(story(), more=2)
    charts = sum(len(section.charts) for section in sections)
    assert tags.count("figure") == charts >= 8
    assert tags.count("svg") == 2 * charts
    assert tags.count("table") == sum(len(section.tables) for section in sections)


def test_it_loads_nothing_and_runs_nothing(made):
    parsed = _Page(made)
    assert not {"script", "iframe", "img", "object", "embed"} & set(parsed.tags)
    assert not [name for name, _ in parsed.attributes if name.startswith("on") or name == "src"]
    addresses = [v for _, v in parsed.attributes if v and "://" in v]
    assert set(addresses) == {"http://www.w3.org/2000/svg"}
    assert all(v.startswith("#s") for name, v in parsed.attributes if name == "href")
    assert "default-src 'none'" in made
    assert MARK in made[:512]


def test_names_of_the_run_are_text(made):
    assert "<script" not in made
    assert "\x1b" not in made
    assert _Page(made).text.count("<script>alert(1)</script> [red]&amp;") >= 4
    evil = html(evil_rows())
    assert "[red]" in evil
    assert not set(evil) & {"\x1b", "\x07"}


def test_identifiers_are_unique(made):
    identifiers = [value for name, value in _Page(made).attributes if name == "id"]
    assert len(identifiers) == len(set(identifiers)) > 4


def test_losses_stand_out():
    made = html([*EMPTY, lost(1234)])
    assert '<span class="bad">' in made
    assert "1,234 LOST" in made
    assert "1,234 events were LOST: every count may be too low" in _Page(made).text


@pytest.mark.parametrize("rows", [story(), evil_rows(), []], ids=["story", "evil", "nothing"])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_the_text_has_80_columns_and_no_escape_codes(rows, encoding):
    text = report_text(*told(rows, more=1), encoding)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    text.encode(encoding)
    assert text.index("Verdict: Worth it") < text.index("- Scan slower") < text.index("Stable tree")


def test_recommendations_come_with_evidence_and_command_and_the_verdict_with_reasons():
    assert advice({"analyzers": CONCLUSIONS})[0] == ("Scan slower (it has settled)", "echo 1 > x")
    assert verdict({"analyzers": CONCLUSIONS}).endswith(": 3 GiB saved; cheap")
    assert advice({"analyzers": {}}) == []
    assert advice({"analyzers": {"advice": {"recommendations": None}}}) == []
