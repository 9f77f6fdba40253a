"""The verdicts of a comparison: counts by rule, and what each difference was."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from ksmtrace.conformance.rules import Rule
from ksmtrace.events import EventKind
from ksmtrace.events.row import EventRow

MOST_DIFFERENCES = 100
"""Differences kept; further ones are counted only."""


class Verdict(Enum):
    """What one decision comes to.

    Attributes:
        AGREED: the kernel did what the engine would have done.
        UNKNOWN: it depends on what is not in the capture.
        PARTED: the kernel did something else.
    """

    AGREED = 0
    UNKNOWN = 1
    PARTED = 2


@dataclass(frozen=True, slots=True)
class Difference:
    """One decision in which kernel and engine differ.

    Attributes:
        event: number of the record in the stream, from 0.
        kind: its kind.
        scan: seqnr of the pass; None where no pass was seen to begin.
        mm, address: the page, as in the capture; in hexadecimal.
        rule: the rule by its name.
        function: where it lives in mm/ksm.c.
        kernel: what the kernel did.
        engine: what the engine expected.
    """

    event: int
    kind: str
    scan: int | None
    mm: str
    address: str
    rule: str
    function: str
    kernel: str
    engine: str

    def sentence(self, rule: str) -> str:
        """The difference in one sentence; `rule` is the rule in words."""
        where = f"event {self.event}"
        if self.scan is not None:
            where += f" in pass {self.scan}"
        if self.mm != "0x0":
            where += f", page {self.address} of mm {self.mm}"
        return (
            f"{where}: the kernel {self.kernel}, the engine expected {self.engine} "
            f"({self.function}: {rule})"
        )


class Verdicts:
    """Counts by rule, and the first differences.

    Attributes:
        scan: seqnr of the pass under way, for what is reported.
        differences: the first `MOST_DIFFERENCES` of them, in stream order.
    """

    def __init__(self) -> None:
        self.scan: int | None = None
        self.differences: list[Difference] = []
        self._agreed: Counter[Rule] = Counter()
        self._parted: Counter[Rule] = Counter()
        self._unknown: Counter[Rule] = Counter()

    @property
    def parted(self) -> int:
        """Decisions in which kernel and engine differ."""
        return self._parted.total()

    def agree(self, rule: Rule) -> None:
        """The kernel did what the engine would have done."""
        self._agreed[rule] += 1

    def unknown(self, rule: Rule) -> None:
        """It depends on what is not in the capture."""
        self._unknown[rule] += 1

    def part(
        self, rule: Rule, event: EventRow, kernel: str, engine: str, *, scan: int | None = None
    ) -> None:
        """The kernel did `kernel`, the engine would have done `engine`; both continue a sentence.

        `scan` is the pass when it was not the one under way.
        """
        self._parted[rule] += 1
        if len(self.differences) < MOST_DIFFERENCES:
            self.differences.append(
                Difference(
                    event=event.number,
                    kind=EventKind(event.kind).name,
                    scan=self.scan if scan is None else scan,
                    mm=f"{event.mm:#x}",
                    address=f"{event.address:#x}",
                    rule=rule.key,
                    function=rule.function,
                    kernel=kernel,
                    engine=engine,
                )
            )

    def judge(self, rule: Rule, event: EventRow, kernel: str, engine: str, *, agreed: bool) -> bool:
        """Agree or part; returns `agreed`."""
        if agreed:
            self._agreed[rule] += 1
        else:
            self.part(rule, event, kernel, engine)
        return agreed

    def to_json(self) -> dict[str, Any]:
        """Counts, and the differences as objects that carry their sentence."""
        agreed, parted, unknown = self._agreed, self._parted, self._unknown
        ordered = sorted(self.differences, key=lambda difference: difference.event)
        shown = [asdict(one) | {"sentence": sentence(one)} for one in ordered]
        return {
            "decisions": agreed.total() + parted.total() + unknown.total(),
            "agreed": agreed.total(),
            "parted": parted.total(),
            "unknown": unknown.total(),
            "by_rule": {
                rule.key: {
                    "function": rule.function,
                    "agreed": agreed[rule],
                    "parted": parted[rule],
                    "unknown": unknown[rule],
                }
                for rule in Rule
            },
            "first_difference": shown[0] if shown else None,
            "differences": shown,
        }


def sentence(difference: Difference) -> str:
    """What a difference was, in one sentence."""
    (text,) = (rule.text for rule in Rule if rule.key == difference.rule)
    return difference.sentence(text)
