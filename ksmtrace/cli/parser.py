"""The parser of the command line: what is wrong in one line, and options that leave FILE alone."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any, NoReturn

from ksmtrace.lines import one_line


class _WrongError(Exception):
    """What `Parser.error` would say."""


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in a line that is harmless to a terminal.

    argparse gives an option of several values (`nargs="+"`) all that follows, the FILE of
    `--set A=1 FILE` with it. What cannot be parsed so is parsed as if the last value of such an
    option stood at the end of the line.
    """

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as argparse has them
        self._several: set[str] = set()
        self._trying = False
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

    def error(self, message: str) -> NoReturn:
        """End the program."""
        if self._trying:
            raise _WrongError(message)
        super().error(one_line(message))
