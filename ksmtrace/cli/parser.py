"""The parser of the command line: what is wrong in one line, and options that leave FILE alone."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from typing import Any, NoReturn

from ksmtrace.cli.examples import KeepExamples
from ksmtrace.errors import KsmtraceError
from ksmtrace.lines import one_line


class _WrongError(Exception):
    """What `Parser.error` would say."""


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line, harmless to a terminal, with what may be meant.

    argparse gives an option of several values (`nargs="+"`) all that follows, the FILE of
    `--set A=1 FILE` with it. What cannot be parsed so is parsed as if the last value of such an
    option stood at the end of the line.
    """

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as argparse has them
        self._several: set[str] = set()
        self._trying = False
        options.setdefault("formatter_class", KeepExamples)
        super().__init__(*args, **options)

    def add_argument(self, *names: str, **options: Any) -> argparse.Action:  # noqa: ANN401
        """As argparse; options of several values are kept in mind."""
        action = super().add_argument(*names, **options)
        if action.nargs == "+":
            self._several.update(action.option_strings)
        return action

    def parse_known_args(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        namespace: argparse.Namespace | None = None,
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse, of the first reading that can be parsed; else the error of the first."""
        first: _WrongError | None = None
        for line in (args, *self._file_last(args or ())):
            self._trying = bool(self._several)
            try:
                options, rest = super().parse_known_args(line, copy(namespace))
            except _WrongError as error:
                first = first or error
            else:
                if first is None or not rest:
                    return options, rest
            finally:
                self._trying = False
        self.error(str(first))

    def _file_last(self, args: Sequence[str]) -> Iterator[list[str]]:
        """`args` with the last of several values at the end, for each such option."""
        given = list(args)
        if "--" in given:
            return
        for at, option in enumerate(given):
            if option not in self._several:
                continue
            end = at + 1
            while end < len(given) and not given[end].startswith("-"):
                end += 1
            if end - at > 2:
                yield [*given[: end - 1], *given[end:], "--", given[end - 1]]

    def parse_args(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        namespace: argparse.Namespace | None = None,
    ) -> argparse.Namespace:
        """As argparse; of options that are unknown, the first is told."""
        options, rest = self.parse_known_args(args, namespace)
        if rest:
            parser = self.of(getattr(options, "verb", None))
            first = next((one for one in rest if one.startswith("-")), rest[0])
            parser.error(f"unrecognized argument {first}{parser.meant(first)}")
        return options

    def meant(self, option: str) -> str:
        """A clause with the option that may be meant by one that is unknown; "" where none may."""
        known = (name for action in self._actions for name in action.option_strings)
        return _meant(option.partition("=")[0], known) if option.startswith("--") else ""

    def error(self, message: str) -> NoReturn:
        """End the program with status 2, or what is tried.

        Raises:
            KsmtraceError: the message.
        """
        if self._trying:
            raise _WrongError(message)
        raise KsmtraceError(f"{one_line(message)} (see {self.prog} --help)")

    def _check_value(self, action: argparse.Action, value: str) -> None:
        if action.choices is not None and value not in action.choices:
            names = [str(name) for name in action.choices]
            what = f"{value[:60]!r} is none of {', '.join(names)}"
            raise argparse.ArgumentError(action, what + _meant(value, names))

    def of(self, name: str | None) -> Parser:
        """The parser of a verb; this one for none."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction) and name in action.choices:
                found = action.choices[name]
                assert isinstance(found, Parser)
                return found
        return self


def _meant(given: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(given, list(known), n=1, cutoff=0.7)
    return f": did you mean {near[0]}?" if near else ""
