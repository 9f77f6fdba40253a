"""Man pages and completions, made from the command line's own parser."""

import argparse
from pathlib import Path

import shtab
from argparse_manpage.manpage import Manpage

from ksmtrace.cli import VERBS, build_parser
from ksmtrace.cli.parser import Parser

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
    page = Manpage(parser)
    page.manual, page.date = "ksmtrace", date
    page.prog = file.stem
    page.description = summary.partition(". ")[0].rstrip(".")
    file.write_text(f"{page}\n")


def write_completions(directory: Path) -> None:
    """Write a completion for each of `SHELLS`, as a file of its name.

    Args:
        directory: is made.
    """
    directory.mkdir(parents=True)
    parser = build_parser()
    for one in (parser, *verbs_of(parser).values()):
        for action in one._actions:
            if isinstance(action.metavar, str) and action.metavar in _COMPLETED:
                action.complete = _COMPLETED[action.metavar]  # type: ignore[attr-defined]
    for shell in SHELLS:
        (directory / shell).write_text(shtab.complete(parser, shell))
