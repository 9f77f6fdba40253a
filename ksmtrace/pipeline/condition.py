"""A condition on a figure of the JSON document, as the command line has it."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ksmtrace.errors import KsmtraceError

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_FORM = re.compile(r"\s*([^\s<>=!]+)\s*(>=|<=|==|!=|>|<)\s*(\S+)\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Condition:
    """A figure compared with a number, `analyzers.cow.user_pages>1000` for example.

    Attributes:
        key: of the figure in the JSON document, keys of objects within objects joined by dots.
        compare: "<", "<=", "==", "!=", ">=" or ">".
        number: what the figure is compared with.
    """

    key: str
    compare: str
    number: float

    @classmethod
    def parse(cls, text: str) -> Condition:
        """The condition that `text` is.

        Raises:
            KsmtraceError: it is none.
        """
        match = _FORM.fullmatch(text)
        try:
            number = float(match[3]) if match else float("nan")
        except ValueError:
            number = float("nan")
        if match is None or number != number:
            raise KsmtraceError(
                f"{text!r} is no condition: give a key of the JSON document, one of "
                f"{' '.join(_COMPARE)}, and a number: 'events.lost>0'"
            )
        return cls(match[1], match[2], number)

    def holds(self, document: Mapping[str, Any]) -> bool:
        """Whether it is true in the JSON document; it is not where the figure is unknown.

        Raises:
            KsmtraceError: the document has no such figure, or it is no number.
        """
        value: Any = document
        for part in self.key.split("."):
            if value is None:
                return False
            if not isinstance(value, Mapping) or part not in value:
                known = ", ".join(map(str, value)) if isinstance(value, Mapping) else ""
                has = f", which has {known}" if known else ""
                raise KsmtraceError(f"no {part!r} of {self.key} in the JSON document{has}")
            value = value[part]
        if value is None:
            return False
        if not isinstance(value, (int, float)):
            raise KsmtraceError(f"{self.key} of the JSON document is no number: name one that is")
        return _COMPARE[self.compare](value, self.number)

    def __str__(self) -> str:
        return f"{self.key}{self.compare}{self.number:g}"
