"""docs/WHERE.md: each question that people ask leads to a view, a key, a metric and a document."""

import re

import pytest

from ksmtrace.documents.json_schema import schema
from ksmtrace.plugins.tui.picture import Picture

ASKED = (
    *("worth", "not merge", "gains", "storms", "taken back", "believed", "settled", "settings"),
    *("in vain", "zero pages", "tenants", "NUMA", "huge pages", "migration", "snapshot"),
)
"""What is asked for in public, a word of each."""

NONE = re.compile(r"none(: .+)?")


@pytest.fixture(scope="module")
def rows(repository):
    text = (repository / "docs/WHERE.md").read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1:]]


def test_every_question_is_there(rows):
    questions = [row[0] for row in rows]
    assert [word for word in ASKED if not any(word in one for one in questions)] == []
    assert all(one.endswith("?") for one in questions)
    assert len(rows) == len(set(questions)) > len(ASKED)


def test_keys_are_in_the_json_schema(rows):
    whole = schema("run")
    for question, _, key, *_ in rows:
        assert NONE.fullmatch(key) or _is_leaf(whole, key.strip("`").split(".")), question
    assert not _is_leaf(whole, ["analyzers", "balance", "unheard_of"])


def _is_leaf(found, path):
    if not path:
        return "properties" not in found and "items" not in found
    name = path[0].removesuffix("[]")
    inner = found["additionalProperties"] if name[0] == "<" else found["properties"].get(name)
    if not isinstance(inner, dict):
        return False
    return _is_leaf(inner["items"] if path[0].endswith("[]") else inner, path[1:])


def test_metrics_are_in_the_reference(rows, repository):
    text = (repository / "docs/METRICS.md").read_text()
    for question, _, _, metric, _ in rows:
        assert NONE.fullmatch(metric) or f"| {metric} |" in text, question


def test_each_leads_to_a_document(rows):
    """Whether the links lead somewhere is what test_documents and test_site are about."""
    for question, *_, read in rows:
        assert re.search(r"\]\([A-Z_]+\.md(#[\w-]+)?\)", read), question


def test_views_are_those_of_the_screen(repository, rows):
    """By key and title, as a replay of the bundled capture has them."""
    from support.tiers import answered

    shown = Picture.of(answered(repository / "tests/replay/data/debian-6.1.ksmtrace", "full"))
    views = {
        f"`{key}` {' '.join(s.title for s in shown.sections_of(name)) or 'Probes'}"
        for name, key in shown.views().items()
    }
    for question, view, *_ in rows:
        assert NONE.fullmatch(view) or view in views, question
