"""What would let ksmtrace see more on this host, as commands where there are any."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ksmtrace.doctor.survey import Event, Survey
from ksmtrace.events.kinds import EventKind
from ksmtrace.kernel.distribution import Distribution
from ksmtrace.session import Exactness
from ksmtrace.sources.live.capabilities import FUNCTION_MECHANISMS
from ksmtrace.sources.live.probe_spec import ProbeSpec
from ksmtrace.sources.live.probe_table import PROBES
from ksmtrace.sources.live.reason import Cause, Reason, Rejected

_INLINED = (EventKind.CMP_AND_MERGE_PAGE, EventKind.REPLACE_PAGE)
_BEST_FIRST = tuple(Exactness)

Gains = Mapping[EventKind, Exactness]


@dataclass(frozen=True, slots=True)
class Improvement:
    """One thing to do.

    Attributes:
        what: to do.
        gains: kinds of events that would be seen more exactly, and how exactly.
        commands: to type for it, in this order; may be none.
    """

    what: str
    gains: Gains
    commands: tuple[str, ...] = ()


def find_improvements(
    survey: Survey,
    missing_capabilities: Sequence[str],
    lockdown: str,
    distribution: Distribution,
    release: str,
) -> tuple[Improvement, ...]:
    """Everything known that gains something here."""
    found = (
        *_functions(survey, missing_capabilities, lockdown),
        *_addresses(survey),
        *_options(survey),
        *_probe_map(survey, distribution, release),
    )
    # a switch that is off is told even where another mechanism does as well: it costs ksmd more
    return (*_switches(survey), *(improvement for improvement in found if improvement.gains))


def _switches(survey: Survey) -> Iterator[Improvement]:
    """Settings by which probes attach and do not fire."""
    out = {outage.remedy: outage for outage in survey.mechanisms.values() if outage is not None}
    remedies = {remedy: outage.sentence for remedy, outage in out.items() if remedy}
    gains = _gains(survey, lambda reason: not set(remedies.values()).isdisjoint(reason.sentences))
    if remedies:
        yield Improvement("switch on what lets probes fire", gains, tuple(sorted(remedies)))


def _functions(
    survey: Survey, missing_capabilities: Sequence[str], lockdown: str
) -> Iterator[Improvement]:
    """Where the kernel could probe functions, and refuses."""
    found = {name: survey.mechanisms.get(name) for name in FUNCTION_MECHANISMS}
    out = {name: outage for name, outage in found.items() if outage is not None}
    if len(out) < len(FUNCTION_MECHANISMS):
        return
    sentences = {outage.sentence for outage in out.values()}
    gains = _gains(survey, lambda reason: not sentences.isdisjoint(reason.sentences))
    if lockdown == "confidentiality":
        yield Improvement("boot with lockdown=integrity, which lets probes in", gains)
    lacking = ", ".join(missing_capabilities)
    refused = [name for name, outage in out.items() if outage.refused]
    if lacking and survey.mechanisms["raw_tracepoint"]:
        yield Improvement(f"run as root with {lacking}", gains)
    elif lacking and refused:
        # The kernel takes other programs, so that this is one possible cause of several.
        what = f"try with {lacking}: the lack may be why {refused[0]} is refused"
        yield Improvement(what, gains)


def _addresses(survey: Survey) -> Iterator[Improvement]:
    gains = _gains(survey, lambda reason: reason.cause is Cause.HIDDEN_ADDRESSES)
    yield Improvement(
        "show root the kernel's addresses", gains, ("sysctl -w kernel.kptr_restrict=1",)
    )


def _options(survey: Survey) -> Iterator[Improvement]:
    """Options of the kernel's configuration that the reasons name."""
    options = {
        option
        for event in survey.events
        for rejected in event.rejected
        for reason in rejected.reasons
        for option in reason.options
    }
    named = " and ".join(f"{option}=y" for option in sorted(options))
    gains = _gains(survey, lambda reason: bool(reason.options))
    yield Improvement(f"boot a kernel built with {named}", gains)


def _probe_map(survey: Survey, distribution: Distribution, release: str) -> Iterator[Improvement]:
    """Where inlined functions begin, which only kprobes can use."""
    gains = {
        event.kind: Exactness.EXACT
        for event in survey.events
        if event.kind in _INLINED and event.probe.exactness is Exactness.DERIVED
    }
    if survey.mechanisms and survey.mechanisms["kprobe"] is None:
        yield Improvement(
            "make a probe map of this very build",
            gains,
            (
                distribution.install_symbols(release),
                f"ksmtrace probemap {distribution.vmlinux(release)} -o FILE",
                "ksmtrace live --probe-map FILE",
            ),
        )


def _gains(survey: Survey, gone: Callable[[Reason], bool]) -> dict[EventKind, Exactness]:
    """What would be seen more exactly if every reason that is `gone` were no more."""
    events = {event.kind: event for event in survey.events}
    chosen: dict[EventKind, str] = {}
    gains = {}
    for kind, specs in PROBES.items():
        event = events[kind]
        by_name = {spec.name: spec for spec in specs}
        best = next((r for r in event.rejected if _works(r, by_name[r.way], gone, chosen)), None)
        chosen[kind] = best.way if best is not None else event.way
        if best is not None and _better(best.exactness, event):
            gains[kind] = best.exactness
    return dict(sorted(gains.items()))


def _works(
    rejected: Rejected,
    spec: ProbeSpec,
    gone: Callable[[Reason], bool],
    chosen: Mapping[EventKind, str],
) -> bool:
    """Whether the probe would do, with the other kinds seen as `chosen` says."""
    own = [reason for reason in rejected.reasons if reason.cause is not Cause.OTHER_KIND]
    required = all(chosen[kind] in names for kind, names in spec.requires.items())
    conflicts = any(chosen[kind] in names for kind, names in spec.conflicts.items())
    return all(map(gone, own)) and required and not conflicts


def _better(exactness: Exactness, event: Event) -> bool:
    return _BEST_FIRST.index(exactness) < _BEST_FIRST.index(event.probe.exactness)
