"""How each kind of event would be seen, and why every better way is out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from ksmtrace.events.kinds import EventKind
from ksmtrace.kernel.btf import Btf
from ksmtrace.session import Exactness, Probe
from ksmtrace.sources.live.ladder import Chosen, counters_only, survey_ways
from ksmtrace.sources.live.offer import Offer
from ksmtrace.sources.live.ways import WAYS

LEANS = ("leans on ", "does not go with ")
"""How the ladder begins a reason that lies with the way of another kind of event."""

_NO_BTF = "looked up in BTF, which is not here"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A better way that is out, and why: at least one reason."""

    way: str
    exactness: Exactness
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """How one kind of event is seen.

    Attributes:
        way: name of the chosen way; "" where there is none.
        rejected: the better ways, best first.
    """

    kind: EventKind
    way: str
    probe: Probe
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True, slots=True)
class Survey:
    """The ladder of this kernel.

    Attributes:
        tier: the plan in a word; None where nothing can be attached, and `events` is what `--probes sysfs` shows.
        mechanisms: why each is out, "" where it works; empty without BTF.
    """

    tier: str | None
    events: tuple[Event, ...]
    mechanisms: Mapping[str, str]


def survey_kernel(btf: Btf | None, root: Path, hidden: Collection[str] = ()) -> Survey:
    """Try this kernel, as if it did not have what is in `hidden`."""
    if btf is None:
        return Survey(None, _without_btf(root), {})
    ways = [way for candidates in WAYS.values() for way in candidates]
    offer = Offer(btf, ways, root, hidden)
    plan = survey_ways(offer)
    events = (_event(kind, plan.chosen[kind]) for kind in sorted(plan.chosen))
    tier = plan.tier if plan.mechanisms else None
    return Survey(tier, tuple(events), offer.mechanisms)


def _event(kind: EventKind, chosen: Chosen) -> Event:
    exactness = {way.name: way.exactness for way in WAYS[kind]}
    rejected = (Rejected(name, exactness[name], reasons) for name, reasons in chosen.rejected)
    return Event(kind, chosen.way.name if chosen.way else "", chosen.probe, tuple(rejected))


def _without_btf(root: Path) -> tuple[Event, ...]:
    """The kernel's totals."""
    events = []
    for kind, chosen in sorted(counters_only(root).chosen.items()):
        better = WAYS[kind]
        if chosen.way is not None:
            better = better[: better.index(chosen.way)]
        rejected = tuple(Rejected(way.name, way.exactness, (_NO_BTF,)) for way in better)
        probe = chosen.probe
        if chosen.way is None:
            probe = Probe("", Exactness.ABSENT, "nothing can be attached here")
        events.append(Event(kind, chosen.way.name if chosen.way else "", probe, rejected))
    return tuple(events)
