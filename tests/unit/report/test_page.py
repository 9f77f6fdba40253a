"""The page: its content and order, and that no text of the run is markup."""

import base64
import hashlib
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from ksmtrace.drawing.summary import advice, verdict
from ksmtrace.plugins.advice.rules import Recommendation
from ksmtrace.report.page import page
from ksmtrace.report.text import report_text
from ksmtrace.report.trust import trust
from ksmtrace.report.write import MARK
from ksmtrace.section import Section, Table
from support.pictures import ANALYZERS, EVIL_NAME, evil_rows, picture
from support.runs import EMPTY, lost
from support.story import story
from support.streams import session

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
    run = replace(session(), realtime_ns=1_700_000_000 * 10**9, host=f"web1{EVIL_NAME}")
    tunables = {"pages_to_scan": "60200", "run": EVIL_NAME}
    name = f"{EVIL_NAME}.ksmtrace"
    return page(*told(rows, **how), session=run, tunables=tunables, name=name)


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
        "KSM on web1",
        "6.1.0-test, 10.0 s",
        "none lost",
        "from 2023-11-14 22:13:20 UTC",
        "pages_to_scan 100 (at the end 60200)",
        "Worth it",
        "Scan slower (it has settled)",
        "echo 1 > x",
        "Where every page that ksmd came to went: ",
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
    assert tags.count("figure") == charts + 1 >= 9
    assert tags.count("svg") == 2 * (charts + 1)
    assert tags.count("table") == sum(bool(t.rows) for s in sections for t in s.tables) > 8
    assert tags.count("tr") == sum(len(t.rows) + 1 for s in sections for t in s.tables if t.rows), (
        "without its script the page has every row"
    )


def test_its_policy_allows_its_own_script_by_hash_and_nothing_else(made):
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', made)
    (script,) = re.findall(r"<script>(.*?)</script>", made, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert dict(part.split(maxsplit=1) for part in policy.split("; ")) == {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "script-src": f"'sha256-{digest}'",
    }


def test_it_loads_nothing(made):
    parsed = _Page(made)
    assert not {"iframe", "img", "object", "embed", "link"} & set(parsed.tags)
    assert not [name for name, _ in parsed.attributes if name.startswith("on") or name == "src"]
    addresses = [v for _, v in parsed.attributes if v and "://" in v]
    assert set(addresses) <= {"http://www.w3.org/2000/svg"}
    assert all(v.startswith("#s") for name, v in parsed.attributes if name == "href")
    assert MARK in made[:512]


def test_names_of_the_run_are_text(made):
    assert made.count("<script") == 1
    assert "\x1b" not in made
    assert _Page(made).text.count("<script>alert(1)</script> [red]&amp;") >= 4
    evil = html(evil_rows())
    assert "[red]" in evil
    assert not set(evil) & {"\x1b", "\x07"}


@pytest.mark.parametrize(
    ("answer", "tone"),
    [("worth it", "good"), ("costs more than it saves", "bad"), ("not yet settled", "unsure")],
)
def test_the_verdict_has_the_colour_of_its_answer(answer, tone):
    document, sections = told(story())
    document["analyzers"]["balance"] = {"verdict": answer, "verdict_reasons": ["3 GiB saved"]}
    made = page(document, sections, session=session(), tunables={}, name="c")
    said = f"{answer[0].upper()}{answer[1:]}"
    assert f'<p class="verdict {tone}"><strong>{said}</strong>: 3 GiB saved</p>' in made


def test_a_cell_is_sorted_by_its_value_and_not_by_how_it_is_written():
    rows = [("a", 2048, "x"), ("b", None, "-"), ("c", math.nan, "y")]
    table = Table("t", ("name", "saved", "why"), ("text", "bytes", "text"), rows)
    document, _ = told([])
    made = page(
        document, [Section("s", "l", tables=[table])], session=session(), tunables={}, name="c"
    )
    assert '<td class="n" data-v="2048">2.0 KiB</td>' in made
    assert made.count("data-v=") == 1


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
    assert (
        text.index("Verdict: Worth it")
        < text.index("- Scan slower")
        < text.index("KSM pages and their sharers")
    )


@pytest.mark.parametrize(("width", "most"), [(20, 40), (60, 60), (140, 140), (9999, 240)])
def test_the_text_is_as_wide_as_asked_for_and_its_prose_is_100_columns_at_most(width, most):
    text = report_text(*told(story()), "utf-8", host="web1", tunables=["run 1"] * 60, width=width)
    head, body = text.split("\n\nKSM pages and their sharers\n")
    assert max(map(len, head.splitlines())) <= min(most, 100)
    assert max(map(len, body.splitlines())) == most
    assert head.startswith("ksmtrace report: host web1, kernel")
    assert "Tunables: run 1" in head


def test_recommendations_come_with_evidence_and_command_and_the_verdict_with_reasons():
    assert advice({"analyzers": CONCLUSIONS})[0] == ("Scan slower (it has settled)", "echo 1 > x")
    assert verdict({"analyzers": CONCLUSIONS}).endswith(": 3 GiB saved; cheap")
    assert advice({"analyzers": {}}) == []
    assert advice({"analyzers": {"advice": {"recommendations": None}}}) == []
