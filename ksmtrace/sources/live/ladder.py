"""Chooses, for each kind of event, the best way that this kernel offers, and says why the better ones are out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ksmtrace.errors import HostError, KsmtraceError
from ksmtrace.events.kinds import EventKind
from ksmtrace.kernel.sysfs import ROOT, has_counter
from ksmtrace.session import Exactness, Probe
from ksmtrace.sources.live.offer import FUNCTION_MECHANISMS, Offer, Placement
from ksmtrace.sources.live.way import Hook, Place, Way
from ksmtrace.sources.live.ways import WAYS

_BESIDE_FUNCTIONS = ("raw_tracepoint", "perf")

CHOICES: Mapping[str, tuple[str, ...]] = {
    "auto": (*FUNCTION_MECHANISMS, *_BESIDE_FUNCTIONS),
    "fentry": ("fentry", *_BESIDE_FUNCTIONS),
    "kprobe": ("kprobe", *_BESIDE_FUNCTIONS),
    "tracepoint": ("raw_tracepoint",),
    "sysfs": (),  # see `counters_only`
}
"""What `--probes` may ask for, and the mechanisms that it allows."""

Ways = Mapping[EventKind, tuple[Way, ...]]


@dataclass(frozen=True, slots=True)
class Chosen:
    """How one kind of event is seen.

    Attributes:
        way: None where no way works here.
        rejected: (way's name, reasons) of the better ways that are out.
    """

    way: Way | None
    probe: Probe
    rejected: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(slots=True)
class Plan:
    """What to attach, and what it will show.

    Attributes:
        placements: every hook, in the order in which they are attached.
        sources: files of bpf/, in the order in which they are compiled.
        defines: -D numbers for the text.
    """

    chosen: dict[EventKind, Chosen] = field(default_factory=dict)
    placements: dict[Hook, Placement] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    defines: dict[str, int | str] = field(default_factory=dict)

    @property
    def probes(self) -> dict[EventKind, Probe]:
        """How each kind is seen, as a session has it."""
        return {kind: chosen.probe for kind, chosen in sorted(self.chosen.items())}

    @property
    def mechanisms(self) -> frozenset[str]:
        """What is at work to see ksmd; the function by which files are written is everybody's, and does not count."""
        ways = {kind: chosen.way for kind, chosen in self.chosen.items() if chosen.way is not None}
        hooks = [hook for kind in ways.keys() - {EventKind.TUNABLE} for hook in ways[kind].hooks]
        return frozenset(self.placements[hook].mechanism for hook in hooks)

    @property
    def tier(self) -> str:
        """The plan in a word: "full", "partial", "tracepoint" or "sysfs"."""
        mechanisms = self.mechanisms
        if not mechanisms:
            return "sysfs"
        if mechanisms.isdisjoint(FUNCTION_MECHANISMS):
            return "tracepoint"
        streamed = (Exactness.EXACT, Exactness.DERIVED)
        needed = self.chosen.keys() - {EventKind.SKIPPED, EventKind.SAMPLE, EventKind.PROCESS}
        whole = all(self.chosen[kind].probe.exactness in streamed for kind in needed)
        return "full" if whole else "partial"


def make_plan(offer: Offer, choice: str = "auto", ways: Ways = WAYS) -> Plan:
    """The best way for each kind of event with the mechanisms that `choice` admits.

    Raises:
        KsmtraceError: `choice` is none.
        HostError: nothing of what was asked for works here.
    """
    plan = survey_ways(offer, choice, ways)
    _refuse_if_empty(plan, offer, choice)
    return plan


def survey_ways(offer: Offer, choice: str = "auto", ways: Ways = WAYS) -> Plan:
    """The same, also where it comes to nothing but the kernel's totals.

    Raises:
        KsmtraceError: `choice` is none.
    """
    check_choice(choice)
    plan = Plan()
    for kind, candidates in ways.items():
        plan.chosen[kind] = _choose(candidates, offer, plan, CHOICES[choice])
    _order(plan)
    return plan


def counters_only(root: Path = ROOT) -> Plan:
    """The plan of `--probes sysfs`: nothing attached, the kernel's totals alone; needs neither root nor BTF."""
    plan = Plan()
    for kind, candidates in WAYS.items():
        read = [w for w in candidates if w.exactness is Exactness.SAMPLED]
        totals = [w for w in read if not w.file or has_counter(w.file, root)]
        probe = Probe("", Exactness.ABSENT, "no probes were asked for")
        if totals:
            probe = _probe(totals[0], {})
        plan.chosen[kind] = Chosen(totals[0] if totals else None, probe, ())
    return plan


def check_choice(choice: str) -> None:
    """Whether `--probes` may ask for it.

    Raises:
        KsmtraceError: it is not one of `CHOICES`.
    """
    if choice not in CHOICES:
        raise KsmtraceError(f"--probes {choice}: choose from {', '.join(CHOICES)}")


def _choose(
    candidates: tuple[Way, ...], offer: Offer, plan: Plan, allowed: Collection[str]
) -> Chosen:
    """The first way that works; its hooks join the plan."""
    rejected: list[tuple[str, tuple[str, ...]]] = []
    for way in candidates:
        placements, reasons = _join(way, offer, plan, allowed)
        if not reasons:
            if way.also is not None:
                _join(way.also, offer, plan, allowed)
            return Chosen(way, _probe(way, placements), tuple(rejected))
        rejected.append((way.name, reasons))
    why = "; ".join(f"{name}: {', '.join(reasons)}" for name, reasons in rejected)
    return Chosen(None, Probe("", Exactness.ABSENT, why), tuple(rejected))


def _join(
    way: Way, offer: Offer, plan: Plan, allowed: Collection[str]
) -> tuple[dict[Hook, Placement], tuple[str, ...]]:
    """Where the way's hooks go, having joined the plan, or the reasons why it is out."""
    placements, numbers, reasons = _consider(way, offer, plan, allowed)
    if not reasons:
        plan.placements |= placements
        plan.defines |= numbers
        plan.sources = (*plan.sources, *way.sources)
    return placements, tuple(reasons)


def _consider(
    way: Way, offer: Offer, plan: Plan, allowed: Collection[str]
) -> tuple[dict[Hook, Placement], dict[str, int | str], list[str]]:
    """Where the way's hooks go, the numbers that its text needs, and the reasons why it is out."""
    reasons = offer.lacks(way)
    reasons += _leans(way, plan)
    placements: dict[Hook, Placement] = {}
    for hook in way.hooks:
        placed = offer.place(hook, allowed)
        if isinstance(placed, str):
            reasons.append(placed)
        else:
            placements[hook] = placed
    numbers, missing = offer.numbers(way) if way.sources else ({}, [])
    return placements, numbers, list(dict.fromkeys(reasons + missing))


def _leans(way: Way, plan: Plan) -> Iterator[str]:
    for kind, names in way.beside.items():
        chosen = plan.chosen[kind].way
        if chosen is None or chosen.name not in names:
            yield f"leans on {kind.name.lower()}, which is not seen by {' or '.join(names)}"
    for kind, names in way.not_beside.items():
        chosen = plan.chosen[kind].way
        if chosen is not None and chosen.name in names:
            yield f"does not go with {kind.name.lower()} by {chosen.name}"


def _probe(way: Way, placements: Mapping[Hook, Placement]) -> Probe:
    """The way as people and machines read it."""
    if way.file:
        where = "/proc/vmstat" if way.file == "cow_ksm" else "/sys/kernel/mm/ksm"
        return Probe(f"{where} {way.file}", way.exactness, way.note, counter=way.file)
    if not way.hooks and not way.reads:
        via = "/sys/kernel/mm/ksm, /proc/vmstat, /proc/<ksmd>/schedstat"
        return Probe(via, way.exactness, way.note)
    seen: dict[str, list[str]] = {}
    for hook, placement in placements.items():
        if hook.place is not Place.SWITCH or len(placements) == 1:
            verb = _VERBS.get((placement.mechanism, hook.place), placement.mechanism)
            for symbol in placement.symbols:
                named = f"{symbol}+{hook.offset:#x}" if hook.place is Place.SITE else symbol
                seen.setdefault(named, []).append(verb)
    parts = [f"{' and '.join(verbs)} {symbol}" for symbol, verbs in seen.items()]
    via = " + ".join([*parts, way.reads] if way.reads else parts)
    exactness, note = way.exactness, way.note
    if any(placement.cloned for placement in placements.values()):
        exactness = Exactness.DERIVED
        note = f"{note}; " * bool(note) + "GCC gave it other parameters: trust the self-check"
    return Probe(via, exactness, note, lacks=way.lacks)


_VERBS = {
    ("fentry", Place.RETURN): "fexit",
    ("kprobe", Place.RETURN): "kretprobe",
    ("perf", Place.SWITCH): "context switches of",
}


def _refuse_if_empty(plan: Plan, offer: Offer, choice: str) -> None:
    mechanisms = plan.mechanisms
    by_function = not mechanisms.isdisjoint(FUNCTION_MECHANISMS)
    if by_function or (mechanisms and choice in ("auto", "tracepoint")):
        return
    asked = [offer.mechanisms[name] for name in CHOICES[choice] if name in FUNCTION_MECHANISMS]
    out = asked or list(offer.mechanisms.values())
    why = "; ".join(filter(None, dict.fromkeys(out)))
    why = why or "this kernel lacks the functions and tracepoints"
    raise HostError(
        f"no probes for --probes {choice} here ({why}); see `ksmtrace doctor`; "
        "--probes sysfs shows the kernel's counters alone"
    )


def _order(plan: Plan) -> None:
    """Tracepoints last: they open candidates, and everything that closes one should be there."""
    sources = set(plan.sources)
    plan.placements = dict(
        sorted(plan.placements.items(), key=lambda pair: _LATE.get(pair[0].place, 0))
    )
    names = "process.c" if "process.c" in sources else "process_unknown.c"
    first = ["ksm_event.h", "common.h", names, "state.c", "cursor.c"]
    first = first[:3] + [name for name in first[3:] if name in sources]
    plan.sources = (*first, *sorted(sources - set(first)))


_LATE = {Place.SITE: 2, Place.TRACEPOINT: 2, Place.SWITCH: 1}
