"""Documents: links, files and commands exist, prose is wrapped, the README is short and true."""

import re
import shlex
import subprocess

import pytest

from ksmtrace.cli import build_parser
from ksmtrace.errors import KsmtraceError
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


COMMAND = re.compile(r"(?:\$ )?(?:sudo )?(?:kubectl exec \S+ -- )?ksmtrace ([a-z]+(?: .*)?)")
PLACEHOLDERS = {"DOCUMENT": "run"}
"""What stands for a word that the parser knows."""


def commands(text):
    """Arguments of ksmtrace in a document: lines of quoted blocks, without what is said of them or
    follows in a pipe, and in backticks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]
    for line in lines:
        if found := COMMAND.fullmatch(re.split(r"\s{2,}|\s[|>]\s", line)[0]):
            yield [PLACEHOLDERS.get(word, word) for word in shlex.split(found[1])]


def test_commands_in_documents_are_taken(documents):
    """Verbs and options that there are; a verb's name alone is no command."""
    parser, tried = build_parser(), 0
    for document in documents:
        for arguments in commands(document.read_text()):
            if len(arguments) > 1:
                parser.parse_args(arguments)
                tried += 1
    assert tried > 40
    with pytest.raises(KsmtraceError, match="--gone"):
        parser.parse_args(next(commands("`sudo ksmtrace live --gone`")))


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
