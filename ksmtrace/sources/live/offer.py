"""What one kernel offers to probes: where hooks can go, and by which mechanism; which numbers the BPF text can have."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ksmtrace.errors import HostError
from ksmtrace.kernel.bpf import try_mechanisms
from ksmtrace.kernel.btf import Btf
from ksmtrace.kernel.symbols import clones_of, read_symbols
from ksmtrace.kernel.sysfs import ROOT, has_counter
from ksmtrace.resources import bpf_source
from ksmtrace.sources.live.offsets import OFFSETS, resolve_offset
from ksmtrace.sources.live.way import Hook, Place, Way

FUNCTION_MECHANISMS = ("kprobe", "fentry")
"""How the entry and the return of a function can be seen, better first.

fentry costs ksmd a little less (tests/bench/probes.py), but is not let go of before ksmd has slept, which it never does with
sleep_millisecs 0.
"""

_TRIED_ON = "break_cow"
_NOT_ASKED_FOR = "not asked for"


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


class Offer:
    """One kernel, looked at once.

    Attributes:
        mechanisms: why each is out, "" where it works.
    """

    def __init__(
        self,
        btf: Btf,
        ways: Iterable[Way],
        root: Path = ROOT,
        hidden: Collection[str] = (),
        mechanisms: Mapping[str, str] | None = None,
    ) -> None:
        """Look at this kernel as if it did not have the functions, tracepoints and symbols in `hidden`.

        `mechanisms` None means: try them.
        """
        self._btf = btf
        self._root = root
        self._hidden = frozenset(hidden)
        every = [part for way in ways for part in (way, way.also) if part is not None]
        wanted = {hook.target for way in every for hook in way.hooks}
        wanted |= {symbol for way in every for symbol in needs(way).symbols.values()}
        self._symbols = read_symbols(wanted - self._hidden, root)
        self.mechanisms = try_mechanisms(btf, _TRIED_ON, root) if mechanisms is None else mechanisms

    def place(self, hook: Hook, allowed: Collection[str]) -> Placement | str:
        """Where the hook goes by one of the `allowed` mechanisms, or why it cannot."""
        if hook.place is Place.TRACEPOINT:
            return self._tracepoint(hook.target, allowed)
        if hook.place is Place.SWITCH:
            return self._by("perf", (hook.target,), allowed)
        if hook.place is Place.SITE:
            return self._by("kprobe", (hook.target,), allowed)
        symbols = tuple(clones_of(hook.target, self._symbols))
        if not symbols:
            return f"{hook.target} is not in /proc/kallsyms (inlined, or named otherwise)"
        reasons = []
        for mechanism in FUNCTION_MECHANISMS:
            if mechanism in allowed:
                placed = self._by(mechanism, symbols, allowed)
                if not isinstance(placed, str):
                    return placed
                reasons.append(placed)
        return "; ".join(dict.fromkeys(reasons)) or _NOT_ASKED_FOR

    def numbers(self, way: Way) -> tuple[dict[str, int | str], list[str]]:
        """-D numbers for the way's text, and what is missing for it."""
        found: dict[str, int | str] = {"STRUCT_PAGE_SIZE": self._btf.size("page"), **way.defines}
        missing = []
        wanted = needs(way)
        for macro in sorted(wanted.offsets):
            try:
                found[macro] = resolve_offset(macro, self._btf)
            except HostError as error:
                if macro not in wanted.optional:
                    missing.append(str(error))
        absent = []
        for macro, symbol in sorted(wanted.symbols.items()):
            if self._symbols.get(symbol):
                found[macro] = self._symbols[symbol]
            elif macro not in wanted.optional:
                absent.append(symbol)
        if absent and any(symbol in self._symbols for symbol in absent):
            missing.append("addresses in /proc/kallsyms are hidden (kptr_restrict, or not root)")
        elif absent:
            missing.append(
                f"not in /proc/kallsyms: {', '.join(absent)} (needs CONFIG_KALLSYMS_ALL)"
            )
        return found, missing

    def lacks(self, way: Way) -> list[str]:
        """Reasons that concern the way as a whole."""
        reasons = [
            f"would be wrong on a kernel with {name}"
            for name in way.wrong_with
            if self._btf.has_member(*name.split(".", 1))
        ]
        if way.file and not has_counter(way.file, self._root):
            reasons.append(f"this kernel has no {way.file}")
        return reasons

    def _tracepoint(self, name: str, allowed: Collection[str]) -> Placement | str:
        if name in self._hidden or not self._btf.has_typedef(f"btf_trace_{name}"):
            return f"no tracepoint {name}"
        return self._by("raw_tracepoint", (name,), allowed)

    def _by(
        self, mechanism: str, symbols: tuple[str, ...], allowed: Collection[str]
    ) -> Placement | str:
        if mechanism not in allowed:
            return _NOT_ASKED_FOR
        if self.mechanisms[mechanism]:
            return self.mechanisms[mechanism]
        if mechanism != "fentry":
            return Placement(mechanism, symbols)
        found = self._btf.function(symbols[0]) if len(symbols) == 1 else None
        if found is None:
            return f"BTF has no function {symbols[0]}"
        return Placement(mechanism, symbols, *found)


@dataclass(frozen=True, slots=True)
class Needs:
    """Macros that a way's text names.

    Attributes:
        symbols: SYM_ macro to the kernel's symbol.
        optional: macros that the text can do without.
    """

    offsets: frozenset[str]
    symbols: Mapping[str, str]
    optional: frozenset[str]


@cache
def _needs_of(sources: tuple[str, ...]) -> Needs:
    text = "\n".join(bpf_source(name) for name in sources)
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    words = set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", text))
    symbols = {w: w.removeprefix("SYM_").lower() for w in words if w.startswith("SYM_")}
    optional = frozenset(re.findall(r"^#ifdef (\w+)$", text, re.MULTILINE))
    return Needs(frozenset(words & OFFSETS.keys()), symbols, optional)


def needs(way: Way) -> Needs:
    """What the text of the way's sources names, the common header included."""
    return _needs_of(("common.h", *way.sources)) if way.sources else _needs_of(())
