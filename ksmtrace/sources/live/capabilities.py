"""What one kernel offers to probes: places for hooks, and the numbers of the C text."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ksmtrace.errors import HostError
from ksmtrace.kernel.bpf import Outage, try_mechanisms
from ksmtrace.kernel.bpf_features import Feature, try_features
from ksmtrace.kernel.btf import Btf
from ksmtrace.kernel.silence import without_silent
from ksmtrace.kernel.symbols import clones_of, read_ranges
from ksmtrace.kernel.sysfs import ROOT, has_counter, read_tunables
from ksmtrace.sources.live.bpf_parts import Needs, needs_of
from ksmtrace.sources.live.hook_threads import runs_in_ksmd
from ksmtrace.sources.live.probe_spec import Hook, Place, ProbeSpec
from ksmtrace.sources.live.reason import Cause, Reason
from ksmtrace.sources.live.struct_offsets import resolve_offset

FUNCTION_MECHANISMS = ("kprobe", "fentry")
"""How the entry and the return of a function can be seen."""

_ATTACHES_TRAMPOLINES = "register_ftrace_direct"
"""Without it (CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS) fentry can be loaded, and not attached."""

_TRIED_ON = "break_cow"
_NOT_ASKED_FOR = Outage("not asked for")


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and how a hook goes.

    Attributes:
        mechanism: "fentry", "kprobe", "raw_tracepoint" or "perf".
        symbols: of the function: one, or its clones.
        btf_id: of the function, for fentry.
        parameters: how many the function has, for fentry.
    """

    mechanism: str
    symbols: tuple[str, ...]
    btf_id: int = 0
    parameters: int = 0

    @property
    def cloned(self) -> bool:
        """Whether GCC gave the function other parameters."""
        return any("." in symbol for symbol in self.symbols)


class Capabilities:
    """What one kernel offers, looked at once.

    Attributes:
        mechanisms: why each is out, None where it works.
        features: of BPF, as `try_features` finds them.
    """

    def __init__(
        self,
        btf: Btf,
        specs: Iterable[ProbeSpec],
        root: Path = ROOT,
        hidden: Collection[str] = (),
        mechanisms: Mapping[str, Outage | None] | None = None,
        features: Mapping[str, Feature] | None = None,
    ) -> None:
        """Look at this kernel, as far as the probes `specs` have to know it.

        Args:
            btf: the kernel's types.
            specs: all that may be chosen from.
            root: where /proc and /sys are.
            hidden: functions, tracepoints and symbols that it is taken not to have.
            mechanisms: as the attribute; None means to try them.
            features: as the attribute; None means to try those of a probe that uses one.
        """
        self._btf = btf
        self._root = root
        self._hidden = frozenset(hidden)
        every = [one for spec in specs for one in (spec, spec.with_too) if one is not None]
        asked_of_bpf = set[str]()
        wanted = {hook.target for spec in every for hook in (*spec.hooks, *spec.beside)}
        wanted.add(_ATTACHES_TRAMPOLINES)
        for needs in map(needs_of, every):
            wanted |= needs.symbols | needs.functions
            wanted |= {symbol for extra in needs.extras for symbol in extra.symbols}
            asked_of_bpf |= {name for extra in needs.extras for name in extra.features}
        ranges = read_ranges(wanted - self._hidden, root)
        self._symbols = {name: begin for name, (begin, _) in ranges.items()}
        self._ends = {name: end for name, (_, end) in ranges.items()}
        sleeps = read_tunables(root).get("sleep_millisecs") != "0"
        self._fentry_first = sleeps and _ATTACHES_TRAMPOLINES in ranges
        if mechanisms is None:
            mechanisms = without_silent(try_mechanisms(btf, _TRIED_ON, root), root)
        self.mechanisms = mechanisms
        if features is None:
            features = try_features(btf, root) if asked_of_bpf else {}
        hides = Outage("hidden")
        self.features = {name: hides if name in hidden else one for name, one in features.items()}

    def place(self, hook: Hook, allowed: Collection[str]) -> Placement | Reason:
        """Where the hook goes by one of the `allowed` mechanisms, or why it cannot."""
        match hook.place:
            case Place.TRACEPOINT:
                placed = self._tracepoint(hook.target, allowed)
            case Place.SWITCH:
                placed = self._by("perf", (hook.target,), allowed)
            case Place.SITE:
                placed = self._by("kprobe", (hook.target,), allowed)
            case _:
                return self._function(hook, allowed)
        return _reason([placed]) if isinstance(placed, Outage) else placed

    def numbers(self, spec: ProbeSpec) -> tuple[dict[str, int | str], list[Reason]]:
        """-D numbers for the C text of a probe's parts, and what is missing for it."""
        needs = needs_of(spec)
        if needs == Needs():
            return {}, []
        found: dict[str, int | str] = {
            "PAGE_BYTES": os.sysconf("SC_PAGE_SIZE"),
            "STRUCT_PAGE_SIZE": self._btf.size("page"),
            **spec.defines,
        }
        numbers, missing, absent = self._resolve(needs.offsets, needs.symbols | needs.functions)
        found |= numbers
        found |= {f"END_{name.upper()}": self._ends.get(name, 0) for name in needs.functions}
        for extra in needs.extras:
            numbers, *lacking = self._resolve(extra.offsets, extra.symbols)
            features = [self.features[name] for name in extra.features]
            offered = [one for one in features if not isinstance(one, Outage)]
            if not any(lacking) and len(offered) == len(features):
                found |= numbers | {extra.macro: 1}
                for one in offered:
                    found |= one
        reasons = [Reason((sentence,)) for sentence in missing]
        if absent and any(symbol in self._symbols for symbol in absent):
            hidden = "addresses in /proc/kallsyms are hidden (kptr_restrict, or not root)"
            reasons.append(Reason((hidden,), Cause.HIDDEN_ADDRESSES))
        elif absent:
            listed = ", ".join(absent)
            option = "CONFIG_KALLSYMS_ALL"
            sentence = f"not in /proc/kallsyms: {listed} (needs {option})"
            reasons.append(Reason((sentence,), options=(option,)))
        return found, reasons

    def excludes(self, spec: ProbeSpec) -> list[Reason]:
        """Reasons that lie in the kernel as such, and in none of the probe's hooks."""
        sentences = [
            f"would be wrong on a kernel with {name}"
            for name in spec.excluded_by
            if self._btf.has_member(*name.split(".", 1))
        ]
        if spec.counter and not has_counter(spec.counter, self._root):
            sentences.append(f"this kernel has no {spec.counter}")
        return [Reason((sentence,)) for sentence in sentences]

    def _resolve(
        self, offsets: Collection[str], symbols: Collection[str]
    ) -> tuple[dict[str, int], list[str], list[str]]:
        """Values by macro; sentences about members that are missing; symbols that are."""
        found, missing, absent = {}, [], []
        for macro in sorted(offsets):
            try:
                found[macro] = resolve_offset(macro, self._btf)
            except HostError as error:
                missing.append(str(error))
        for symbol in sorted(symbols):
            address = self._symbols.get(symbol)
            if address:
                found[f"SYM_{symbol.upper()}"] = address
            else:
                absent.append(symbol)
        return found, missing, absent

    def _function(self, hook: Hook, allowed: Collection[str]) -> Placement | Reason:
        """Of ksmd's own functions by fentry, which costs ksmd less than a kprobe.

        But the kernel does not let go of it before ksmd has slept.
        """
        symbols = tuple(clones_of(hook.target, self._symbols))
        if not symbols:
            sentence = f"{hook.target} is not in /proc/kallsyms (inlined, or named otherwise)"
            return Reason((sentence,))
        by_fentry = hook.arguments is None and runs_in_ksmd(hook)
        by_fentry |= isinstance(self.features.get(hook.fentry_with), Mapping)
        fentry_first = self._fentry_first and by_fentry
        if hook.reads_registers:
            allowed = [one for one in allowed if one == "kprobe"]
        outages = []
        order = FUNCTION_MECHANISMS[::-1] if fentry_first else FUNCTION_MECHANISMS
        for mechanism in order:
            if mechanism in allowed:
                placed = self._by(mechanism, symbols, allowed)
                if not isinstance(placed, Outage):
                    return placed
                outages.append(placed)
        return _reason(outages or [_NOT_ASKED_FOR])

    def _tracepoint(self, name: str, allowed: Collection[str]) -> Placement | Outage:
        if name in self._hidden or not self._btf.has_typedef(f"btf_trace_{name}"):
            return Outage(f"no tracepoint {name}")
        return self._by("raw_tracepoint", (name,), allowed)

    def _by(
        self, mechanism: str, symbols: tuple[str, ...], allowed: Collection[str]
    ) -> Placement | Outage:
        """The placement by one mechanism, or why there is none."""
        if mechanism not in allowed:
            return _NOT_ASKED_FOR
        outage = self.mechanisms[mechanism]
        if outage is not None:
            return outage
        if mechanism != "fentry":
            return Placement(mechanism, symbols)
        found = self._btf.function(symbols[0]) if len(symbols) == 1 else None
        if found is None:
            return Outage(f"BTF has no function {symbols[0]}")
        return Placement(mechanism, symbols, *found)


def _reason(outages: Iterable[Outage]) -> Reason:
    """What is left of several mechanisms' outages when each sentence is there once."""
    by_sentence = {outage.sentence: outage for outage in outages}
    options = dict.fromkeys(outage.option for outage in by_sentence.values() if outage.option)
    return Reason(tuple(by_sentence), options=tuple(options))
