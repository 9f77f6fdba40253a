"""The report for people: plain text that fits 80 columns, the answer first."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator

from ksmtrace.doctor.report import Report
from ksmtrace.doctor.survey import Event
from ksmtrace.drawing.lines import WIDTH
from ksmtrace.events.kinds import EventKind
from ksmtrace.kernel.needs import PURPOSES, WAYS
from ksmtrace.session import Exactness
from ksmtrace.sources.live.reason import Cause, Reason

_PRESENT = {True: "yes", False: "no", None: "?"}
_COUNTED = {
    Exactness.EXACT: "exact",
    Exactness.DERIVED: "derived",
    Exactness.SAMPLED: "as totals",
    Exactness.ABSENT: "not at all",
}


def to_text(report: Report, width: int = WIDTH) -> str:
    """The whole report, in lines of at most `width` characters where no word is longer."""
    reasons = _Reasons(report)
    lines = [
        *_summary(report, width),
        "",
        *_host(report, width),
        *_mechanisms(report, reasons, width),
        *_events(report, reasons, width),
        *reasons.lines(width),
        *_capabilities(report, width),
        *_improvements(report, width),
        *_features(report, width),
    ]
    return "\n".join(lines)


class _Reasons:
    """Every reason once, numbered in the order in which it is first referred to."""

    def __init__(self, report: Report) -> None:
        outages = report.survey.mechanisms.values()
        self._mechanisms = [outage.sentence for outage in outages if outage is not None]
        self._numbers: dict[str, int] = {}

    def number(self, reason: str) -> int:
        return self._numbers.setdefault(reason, len(self._numbers) + 1)

    def refer(self, reasons: tuple[Reason, ...]) -> str:
        """Numbers of reasons, as in "[1,3]"."""
        # What the probe of another kind lacks is listed there already.
        own = [reason for reason in reasons if reason.cause is not Cause.OTHER_KIND] or reasons
        numbers = {self.number(part) for reason in own for part in self._parts(reason)}
        return f"[{','.join(map(str, sorted(numbers)))}]"

    def lines(self, width: int) -> Iterator[str]:
        """The list to which the numbers refer."""
        if self._numbers:
            yield from ("", "why not better")
        for reason, number in self._numbers.items():
            yield from _wrapped(f"  {f'[{number}]':4} ", reason, width)

    def _parts(self, reason: Reason) -> list[str]:
        """Why mechanisms are out, each as a reason of its own; else the reason as it is."""
        named = [sentence for sentence in self._mechanisms if sentence in reason.sentences]
        return list(dict.fromkeys(named)) or [reason.text]


def _summary(report: Report, width: int) -> list[str]:
    if report.able:
        kinds = [e for e in report.survey.events if e.kind is not EventKind.SAMPLE]
        counts = Counter(event.probe.exactness for event in kinds)
        how = ", ".join(f"{counts[e]} {word}" for e, word in _COUNTED.items() if counts[e])
        text = f"ready to trace, tier {report.survey.tier}: of {len(kinds)} kinds of events, {how}"
        return textwrap.wrap(text, width)
    failed = "; ".join(check.detail for check in report.checks if not check.passed)
    lines = textwrap.wrap(f"cannot trace here: {failed or 'nothing can be attached'}", width)
    if report.able_sysfs:
        lines.append("`ksmtrace live --probes sysfs` shows the kernel's own counters")
    return lines


def _host(report: Report, width: int) -> Iterator[str]:
    where = f" on {report.distribution.name}" if report.distribution.name else ""
    yield from _wrapped("kernel ", f"{report.kernel.release} {report.kernel.machine}{where}", width)
    for check in report.checks:
        start = f"{'ok  ' if check.passed else 'FAIL'} {check.name + ':':12}"
        yield from _wrapped(start, check.detail, width)
        if check.remedy:
            yield from _wrapped(" " * len(start), check.remedy, width)


def _mechanisms(report: Report, reasons: _Reasons, width: int) -> Iterator[str]:
    yield ""
    if report.survey.mechanisms:
        named = [
            f"{name} no {reasons.refer((Reason((out.sentence,)),))}" if out else f"{name} yes"
            for name, out in report.survey.mechanisms.items()
        ]
        yield from _wrapped("attaching:     ", ", ".join(named), width)
    lockdown = report.lockdown or "not told (no /sys/kernel/security/lockdown)"
    yield f"lockdown:      {lockdown}"
    if report.kptr_restrict:
        yield f"kptr_restrict: {report.kptr_restrict}"


def _events(report: Report, reasons: _Reasons, width: int) -> Iterator[str]:
    yield ""
    if report.survey.tier is None:
        yield "what --probes sysfs shows"
    else:
        yield "what you will see" if report.able else "what you would see"
    for event in sorted(report.survey.events, key=_readings_last):
        yield from _event(event, reasons, width)


def _readings_last(event: Event) -> tuple[bool, EventKind]:
    return event.kind is EventKind.SAMPLE, event.kind


def _event(event: Event, reasons: _Reasons, width: int) -> Iterator[str]:
    """How it is seen, what that cannot know, and which more exact ways are out."""
    probe = event.probe
    texts = []
    if probe.exactness is not Exactness.ABSENT:
        texts.append(probe.via)
    if probe.exactness is not Exactness.EXACT:
        texts.append(probe.note if texts else "")
        better = (f"{r.way} ({r.exactness}) {reasons.refer(r.reasons)}" for r in event.rejected)
        texts.append(f"not by {', '.join(better)}" if event.rejected else "")
    start = f"  {event.kind.name.lower():22}{probe.exactness:9}"
    for text in filter(None, texts):
        yield from _wrapped(start, text, width)
        start = " " * len(start)


def _capabilities(report: Report, width: int) -> Iterator[str]:
    """By way of tracing what it needs, and which of it is lacking here."""
    yield from ("", "capabilities needed: to run; besides, to see all")
    for name, way in WAYS.items():
        text = f"{_listed(way.to_run)}; {_listed(way.to_see_all)}"
        yield from _wrapped(f"  {name:11} ", text, width)
        if report.lacking[name]:
            yield from _wrapped(" " * 14, f"lacking here: {_listed(report.lacking[name])}", width)
    for name, purpose in PURPOSES.items():
        yield from _wrapped(f"  {name.removeprefix('CAP_')}: ", purpose, width)


def _listed(capabilities: Iterable[str]) -> str:
    return ", ".join(name.removeprefix("CAP_") for name in capabilities) or "none"


def _improvements(report: Report, width: int) -> Iterator[str]:
    if report.improvements:
        yield from ("", "what would make it better")
    for improvement in report.improvements:
        yield from _wrapped("  - ", improvement.what, width)
        for command in improvement.commands:
            yield from _wrapped("      ", command, width)
        for exactness in (e for e in Exactness if e in improvement.gains.values()):
            kinds = (k.name.lower() for k, how in improvement.gains.items() if how is exactness)
            yield from _wrapped(f"    {exactness}: ", ", ".join(kinds), width)


def _features(report: Report, width: int) -> Iterator[str]:
    yield from ("", f"{'what KSM can do here':28}since commit upstream; others backport")
    for feature, present in report.features:
        known = f"  {_PRESENT[present]:4}{feature.name:22}{feature.introduced:6}"
        yield from _wrapped(f"{known}{feature.commit:13}", feature.gives, width)


def _wrapped(start: str, text: str, width: int) -> list[str]:
    """`start` and `text`; further lines are indented to where the text begins."""
    lines = textwrap.wrap(
        text,
        width,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.rstrip() for line in lines] or [start.rstrip()]
