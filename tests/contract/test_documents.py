"""Documents: links and named files exist, prose is wrapped, and the README is short and true."""

import re
import subprocess

import pytest

from support.command import ksmtrace


@pytest.fixture
def documents(repository):
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=repository, capture_output=True, text=True, check=True
    )
    return [repository / name for name in listed.stdout.splitlines()]


def anchors(text):
    """The anchors of a document's headings, as GitHub makes them."""
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_links_lead_somewhere(documents):
    broken = []
    for document in documents:
        for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
            path, _, anchor = link.partition("#")
            if "://" in path:
                continue
            target = document.parent / path if path else document
            if not target.exists() or (anchor and anchor not in set(anchors(target.read_text()))):
                broken.append(f"{document.name}: {link}")
    assert broken == []


def test_files_that_documents_name_exist(documents, repository):
    """Paths from the top, in backticks; with a word in capitals they are examples."""
    named = re.compile(r"`((?:ksmtrace|plugins|bpf|dashboards|tools|tests|docs)/[\w./-]+)`")
    missing = [
        f"{document.name}: {path}"
        for document in documents
        for path in named.findall(document.read_text())
        if not (repository / path).exists() and not re.search(r"[A-Z]{4}", path)
    ]
    assert missing == []


def test_prose_is_wrapped(documents):
    """At 100 columns, except rows of tables and what is quoted."""
    long = []
    for document in documents:
        prose = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
        lines = [line for line in prose.splitlines() if len(line) > 100]
        long += [f"{document.name}: {line}" for line in lines if not line.startswith("|")]
    assert long == []


def test_recipes_have_the_steps_that_they_promise(repository):
    text = (repository / "CONTRIBUTING.md").read_text()
    recipes = re.findall(r"^### ([^\n]*), (\d+) steps?$(.*?)(?=^#)", text, re.MULTILINE | re.DOTALL)
    assert len(recipes) == text.count("\n### ")
    for title, count, body in recipes:
        assert len(re.findall(r"^\d+\. ", body, re.MULTILINE)) == int(count), title


def test_the_readme_is_short(repository):
    assert len((repository / "README.md").read_text().splitlines()) <= 100


def test_the_readme_shows_what_is_printed(repository):
    text = (repository / "README.md").read_text()
    shown = re.search(r"The beginning of `ksmtrace (.*?)`.*?```\n(.*?)```", text, re.DOTALL)
    assert ksmtrace(*shown[1].split(), cwd=repository).stdout.startswith(shown[2])
