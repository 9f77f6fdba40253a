"""Man pages and completions, made from the command line's own parser."""

import argparse
from pathlib import Path

import shtab
from argparse_manpage.manpage import Manpage

from ksmtrace.cli import VERBS, build_parser
from ksmtrace.cli.parser import Parser
from ksmtrace.plugins import BUILTINS
from ksmtrace.sources.live.plan import CHOICES

SHELLS = ("bash", "zsh", "fish")
_COMPLETED = {
    "FILE": shtab.FILE,
    "WORKLOAD": shtab.FILE,
    "VMLINUX": shtab.FILE,
    "DIR": shtab.DIRECTORY,
}


def verbs_of(parser: Parser) -> dict[str, Parser]:
    """The parsers of verbs, by name."""
    return {name: parser.of(name) for name in VERBS}


def write_manuals(directory: Path, date: str) -> None:
    """Write ksmtrace.1 and a page for each verb to a directory.

    Args:
        directory: is made.
        date: of the pages, as 2026-11-30.
    """
    directory.mkdir(parents=True)
    parser = build_parser()
    for name, verb in verbs_of(parser).items():
        _write(directory / f"ksmtrace-{name}.1", verb, verb.description or "", date)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            action.choices.clear()  # each has a page of its own
    _write(directory / "ksmtrace.1", parser, parser.description or "", date)


def _write(file: Path, parser: argparse.ArgumentParser, summary: str, date: str) -> None:
    epilog, parser.epilog = parser.epilog or "", None
    page = Manpage(parser)
    page.manual, page.date = "ksmtrace", date
    page.prog = file.stem
    page.description = summary.partition(". ")[0].rstrip(".")
    paragraphs = filter(None, epilog.split("\n\n"))
    file.write_text("\n".join([f"{page}", *map(_section, paragraphs), ""]))


def _section(paragraph: str) -> str:
    """A paragraph of what ends `--help` as a section; lines that are indented stay as they are.

    It begins with its heading and a colon; without one it is a note.
    """
    heading, colon, text = paragraph.partition(":")
    if not colon or not heading.replace(" ", "").isalpha():
        heading, text = "notes", paragraph
    lines = [f'.SH "{heading.upper()}"']
    literal = False
    for line in filter(None, text.rstrip().split("\n")):
        if literal is not (literal := line.startswith("  ")):
            lines.append(".nf" if literal else ".fi")
        escaped = line.removeprefix("  ").replace("\\", "\\e").replace("-", "\\-")
        lines.append(escaped if literal else escaped.strip())
    return "\n".join([*lines, ".fi"] if literal else lines)


def write_completions(directory: Path) -> None:
    """Write a completion for each of `SHELLS`, as a file of its name.

    Args:
        directory: is made.
    """
    directory.mkdir(parents=True)
    parser = build_parser()
    plugins = [f"{prefix}{one.name}" for prefix in ("", "no:") for one in BUILTINS]
    for one in (parser, *verbs_of(parser).values()):
        for action in one._actions:
            if action.metavar == "WAY":
                action.choices = list(CHOICES)
            elif action.dest == "plugins":
                action.choices = plugins
            if isinstance(action.metavar, str) and action.metavar in _COMPLETED:
                action.complete = _COMPLETED[action.metavar]  # type: ignore[attr-defined]
    for shell in SHELLS:
        (directory / shell).write_text(shtab.complete(parser, shell))
