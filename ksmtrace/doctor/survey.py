"""How each kind of event would be seen, and why every better way is out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from ksmtrace.events.kinds import EventKind
from ksmtrace.kernel.bpf import Outage
from ksmtrace.kernel.btf import Btf
from ksmtrace.session import Exactness, Probe
from ksmtrace.sources.live.capabilities import Capabilities
from ksmtrace.sources.live.plan import Chosen, counters_only, survey_probes
from ksmtrace.sources.live.probe_table import PROBES
from ksmtrace.sources.live.reason import Reason, Rejected

_NO_BTF = Reason(("looked up in BTF, which is not here",))


@dataclass(frozen=True, slots=True)
class Event:
    """How one kind of event is seen.

    Attributes:
        way: name of the chosen probe; "" where there is none.
        rejected: the better probes, best first.
    """

    kind: EventKind
    way: str
    probe: Probe
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True, slots=True)
class Survey:
    """How every kind of event would be seen on this kernel.

    Attributes:
        tier: the plan in a word; None where nothing can be attached, and `events` is what
            `--probes sysfs` shows.
        mechanisms: why each is out, None where it works; empty without BTF.
    """

    tier: str | None
    events: tuple[Event, ...]
    mechanisms: Mapping[str, Outage | None]


def survey_kernel(btf: Btf | None, root: Path, hidden: Collection[str] = ()) -> Survey:
    """Try this kernel, as if it did not have what is in `hidden`."""
    if btf is None:
        return Survey(None, _without_btf(root), {})
    specs = [spec for candidates in PROBES.values() for spec in candidates]
    kernel = Capabilities(btf, specs, root, hidden)
    plan = survey_probes(kernel)
    events = (_event(kind, plan.chosen[kind]) for kind in sorted(plan.chosen))
    tier = plan.tier if plan.mechanisms else None
    return Survey(tier, tuple(events), kernel.mechanisms)


def _event(kind: EventKind, chosen: Chosen) -> Event:
    return Event(kind, chosen.spec.name if chosen.spec else "", chosen.probe, chosen.rejected)


def _without_btf(root: Path) -> tuple[Event, ...]:
    """The kernel's totals."""
    events = []
    for kind, chosen in sorted(counters_only(root).chosen.items()):
        better = PROBES[kind]
        if chosen.spec is not None:
            better = better[: better.index(chosen.spec)]
        rejected = tuple(Rejected(spec.name, spec.exactness, (_NO_BTF,)) for spec in better)
        probe = chosen.probe
        if chosen.spec is None:
            probe = Probe("", Exactness.ABSENT, "nothing can be attached here")
        events.append(Event(kind, chosen.spec.name if chosen.spec else "", probe, rejected))
    return tuple(events)
