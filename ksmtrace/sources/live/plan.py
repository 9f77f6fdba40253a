"""The choice, for each kind of event, of the best probe that this kernel offers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ksmtrace.errors import HostError, KsmtraceError
from ksmtrace.events.kinds import RARE, EventKind
from ksmtrace.kernel.sysfs import ROOT, has_counter
from ksmtrace.session import Exactness, Probe
from ksmtrace.sources.live.bpf_parts import files_of, program_parts
from ksmtrace.sources.live.capabilities import FUNCTION_MECHANISMS, Capabilities, Placement
from ksmtrace.sources.live.gather_probe import GATHER
from ksmtrace.sources.live.probe_spec import Hook, Place, ProbeSpec, ProbeTable
from ksmtrace.sources.live.probe_table import PROBES
from ksmtrace.sources.live.reason import Cause, Reason, Rejected

_OF_NO_FUNCTION = ("raw_tracepoint", "perf")
_NOT_ASKED_FOR = Reason(("not asked for",))

CHOICES: Mapping[str, tuple[str, ...]] = {
    "auto": (*FUNCTION_MECHANISMS, *_OF_NO_FUNCTION),
    "gather": (*FUNCTION_MECHANISMS, *_OF_NO_FUNCTION),
    "fentry": ("fentry", *_OF_NO_FUNCTION),
    "kprobe": ("kprobe", *_OF_NO_FUNCTION),
    "tracepoint": ("raw_tracepoint",),
    "sysfs": (),  # see `counters_only`
}
"""What `--probes` may ask for, and the mechanisms that it allows."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """How one kind of event is seen.

    Attributes:
        spec: the probe; None where none works here.
        probe: the same as a session has it.
        rejected: the better probes, which are out, best first.
    """

    spec: ProbeSpec | None
    probe: Probe
    rejected: tuple[Rejected, ...]


@dataclass(slots=True)
class Plan:
    """What to attach, and what it will show.

    Attributes:
        chosen: how each kind of event is seen.
        placements: every hook, in the order in which they are attached.
        files: of bpf/, those that the hooks take.
        defines: -D numbers for the C text.
        by_windows: of the placements, those that are attached for a share of the time.
        totals: events are counted and not sent, and there is no ring.
    """

    chosen: dict[EventKind, Chosen] = field(default_factory=dict)
    placements: dict[Hook, Placement] = field(default_factory=dict)
    by_windows: dict[Hook, Placement] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    defines: dict[str, int | str] = field(default_factory=dict)
    totals: bool = False

    @property
    def probes(self) -> dict[EventKind, Probe]:
        """How each kind is seen, as a session has it."""
        return {kind: chosen.probe for kind, chosen in sorted(self.chosen.items())}

    @property
    def sources(self) -> tuple[str, ...]:
        """Files of bpf/, in the order of the program's text; none where nothing is attached."""
        return tuple(part.file for part in program_parts(self.files)) if self.files else ()

    @property
    def mechanisms(self) -> frozenset[str]:
        """What is at work to see ksmd.

        The function by which files are written is everybody's, and does not count.
        """
        specs = {kind: one.spec for kind, one in self.chosen.items() if one.spec is not None}
        hooks = {hook for kind in specs.keys() - {EventKind.TUNABLE} for hook in specs[kind].hooks}
        # One that its return makes needless has no place.
        placed = hooks & self.placements.keys()
        return frozenset(self.placements[hook].mechanism for hook in placed)

    @property
    def tier(self) -> str:
        """The plan in a word: "full", "partial", "tracepoint", "totals" or "sysfs"."""
        mechanisms = self.mechanisms
        if not mechanisms:
            return "sysfs"
        if self.totals:
            return "totals"
        if mechanisms.isdisjoint(FUNCTION_MECHANISMS):
            return "tracepoint"
        streamed = (Exactness.EXACT, Exactness.DERIVED)
        needed = self.chosen.keys() - {EventKind.SKIPPED, EventKind.SAMPLE, EventKind.PROCESS}
        probes = (self.chosen[kind].probe for kind in needed)
        full = all(probe.exactness in streamed or probe.by_windows for probe in probes)
        return "full" if full else "partial"


def make_plan(kernel: Capabilities, choice: str = "auto", table: ProbeTable = PROBES) -> Plan:
    """The best probe for each kind of event by the mechanisms that `choice` admits.

    Raises:
        KsmtraceError: `choice` is none of `CHOICES`.
        HostError: nothing of what was asked for works here.
    """
    plan = survey_probes(kernel, choice, table)
    _refuse_if_empty(plan, kernel, choice)
    return plan


def survey_probes(kernel: Capabilities, choice: str = "auto", table: ProbeTable = PROBES) -> Plan:
    """The same plan, also where it shows the kernel's totals alone.

    Raises:
        KsmtraceError: `choice` is none of `CHOICES`.
    """
    check_choice(choice)
    plan = Plan()
    for kind, candidates in table.items():
        plan.chosen[kind] = _choose(candidates, kernel, plan, choice)
    # Tracepoints last: they open candidates, and everything that closes one should be there. What
    # gathers candidates begins when what is to be seen of them is there.
    by_place = sorted(plan.placements.items(), key=lambda pair: _lateness(pair[0]))
    plan.placements = dict(by_place)
    return plan


_LATE = {Place.SITE: 2, Place.TRACEPOINT: 2, Place.SWITCH: 1}


def _lateness(hook: Hook) -> int:
    return 3 if hook in GATHER.hooks[:2] else _LATE.get(hook.place, 0)


def make_totals_plan(kernel: Capabilities, choice: str = "auto") -> Plan:
    """The plan of `--totals`: rare events are counted where they happen, and none is sent.

    They are seen by the first of their probes that works; where none does, nothing of them is
    known. Of all other kinds there is the kernel's total, where it has one.

    Raises:
        KsmtraceError: `choice` is none of `CHOICES`.
    """
    plan = survey_probes(kernel, choice, _TOTALS)
    plan.totals = True
    plan.defines["TOTALS_ONLY"] = 1
    for kind, chosen in plan.chosen.items():
        if kind in RARE and chosen.spec is not None:
            plan.chosen[kind] = replace(chosen, probe=_counted(chosen.probe))
        elif chosen.spec is None and not chosen.rejected:
            absent = Probe("", Exactness.ABSENT, "not seen when only totals are counted")
            plan.chosen[kind] = replace(chosen, probe=absent)
    return plan


def _counted(probe: Probe) -> Probe:
    note = f"counted in the kernel, not sent{'; ' if probe.note else ''}{probe.note}"
    return replace(probe, counted=True, note=note)


_TOTALS = {
    kind: tuple(spec for spec in specs if kind in RARE or spec.exactness is Exactness.SAMPLED)
    for kind, specs in PROBES.items()
}


def counters_only(root: Path = ROOT) -> Plan:
    """The plan of `--probes sysfs`: nothing attached, the kernel's totals alone.

    It needs neither root nor BTF.
    """
    plan = Plan()
    for kind, candidates in PROBES.items():
        read = [spec for spec in candidates if spec.exactness is Exactness.SAMPLED]
        totals = [spec for spec in read if not spec.counter or has_counter(spec.counter, root)]
        probe = Probe("", Exactness.ABSENT, "no probes were asked for")
        if totals:
            probe = probe_of(totals[0], {})
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
    candidates: tuple[ProbeSpec, ...], kernel: Capabilities, plan: Plan, choice: str
) -> Chosen:
    """The first probe that works; its hooks join the plan."""
    rejected: list[Rejected] = []
    allowed = CHOICES[choice]
    named = choice != "auto" and any(choice in spec.choices for spec in candidates)
    for spec in candidates:
        if choice not in spec.choices and (named or spec.choices):
            rejected.append(Rejected(spec.name, spec.exactness, (_NOT_ASKED_FOR,)))
            continue
        placements, reasons = _join(spec, kernel, plan, allowed)
        if not reasons:
            if spec.with_too is not None:
                _join(spec.with_too, kernel, plan, allowed)
            return Chosen(spec, probe_of(spec, placements), tuple(rejected))
        rejected.append(Rejected(spec.name, spec.exactness, reasons))
    why = "; ".join(
        f"{one.way}: {', '.join(dict.fromkeys(r.text for r in one.reasons))}" for one in rejected
    )
    return Chosen(None, Probe("", Exactness.ABSENT, why), tuple(rejected))


def _join(
    spec: ProbeSpec, kernel: Capabilities, plan: Plan, allowed: Collection[str]
) -> tuple[dict[Hook, Placement], tuple[Reason, ...]]:
    """Where the probe's hooks go, having joined the plan, or the reasons why it is out."""
    reasons = [*kernel.excludes(spec), *_disagreements(spec, plan)]
    placements: dict[Hook, Placement] = {}
    for hook in spec.hooks:
        placed = kernel.place(hook, allowed)
        if isinstance(placed, Reason):
            reasons.append(placed)
        elif not (hook.for_return and placed.mechanism == "fentry"):
            placements[hook] = placed
    for hook in spec.beside:
        placed = kernel.place(hook, allowed)
        if isinstance(placed, Reason):
            reasons.append(placed)
    numbers, missing = kernel.numbers(spec)
    reasons += missing
    if not reasons:
        plan.placements |= placements
        plan.defines |= numbers
        plan.files |= files_of(spec)
    return placements, tuple(dict.fromkeys(reasons))


def _disagreements(spec: ProbeSpec, plan: Plan) -> list[Reason]:
    """Reasons that lie in the probes of other kinds of events."""
    sentences = []
    for kind, names in spec.requires.items():
        chosen = plan.chosen[kind].spec
        if chosen is None or chosen.name not in names:
            sentences.append(f"requires {kind.name.lower()} seen by {' or '.join(names)}")
    for kind, names in spec.conflicts.items():
        chosen = plan.chosen[kind].spec
        if chosen is not None and chosen.name in names:
            sentences.append(f"conflicts with {kind.name.lower()} seen by {chosen.name}")
    return [Reason((sentence,), Cause.OTHER_KIND) for sentence in sentences]


def probe_of(spec: ProbeSpec, placements: Mapping[Hook, Placement]) -> Probe:
    """The probe as a session has it."""
    if spec.counter:
        where = "/proc/vmstat" if spec.counter == "cow_ksm" else "/sys/kernel/mm/ksm"
        return Probe(f"{where} {spec.counter}", spec.exactness, spec.note, counter=spec.counter)
    if not spec.hooks and not spec.reads:
        via = "/sys/kernel/mm/ksm, /proc/vmstat, /proc/<ksmd>/schedstat"
        return Probe(via, spec.exactness, spec.note)
    seen: dict[str, list[str]] = {}
    for hook, placement in placements.items():
        if hook.place is not Place.SWITCH or len(placements) == 1:
            verb = _VERBS.get((placement.mechanism, hook.place), placement.mechanism)
            for symbol in placement.symbols:
                named = f"{symbol}+{hook.offset:#x}" if hook.place is Place.SITE else symbol
                seen.setdefault(named, []).append(verb)
    parts = [f"{' and '.join(verbs)} {symbol}" for symbol, verbs in seen.items()]
    via = " + ".join([*parts, spec.reads] if spec.reads else parts)
    exactness, note = spec.exactness, spec.note
    if any(placement.cloned for placement in placements.values()):
        exactness = Exactness.DERIVED
        note = f"{note}; " * bool(note) + "GCC gave it other parameters: trust the self-check"
    return Probe(via, exactness, note, lacks=spec.lacks)


_VERBS = {
    ("fentry", Place.RETURN): "fexit",
    ("kprobe", Place.RETURN): "kretprobe",
    ("perf", Place.SWITCH): "context switches of",
}


def _refuse_if_empty(plan: Plan, kernel: Capabilities, choice: str) -> None:
    mechanisms = plan.mechanisms
    by_function = not mechanisms.isdisjoint(FUNCTION_MECHANISMS)
    examined = plan.chosen[EventKind.CMP_AND_MERGE_PAGE]
    if choice == "gather" and (examined.spec is None or choice not in examined.spec.choices):
        why = examined.probe.note
        raise HostError(f"no probes for --probes {choice} here ({why}); see `ksmtrace doctor`")
    if by_function or (mechanisms and choice in ("auto", "tracepoint")):
        return
    asked = [kernel.mechanisms[name] for name in CHOICES[choice] if name in FUNCTION_MECHANISMS]
    out = asked or list(kernel.mechanisms.values())
    why = "; ".join(dict.fromkeys(outage.sentence for outage in out if outage is not None))
    why = why or "this kernel lacks the functions and tracepoints"
    raise HostError(
        f"no probes for --probes {choice} here ({why}); see `ksmtrace doctor`; "
        "--probes sysfs shows the kernel's counters alone"
    )
