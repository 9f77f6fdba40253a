"""A row of the probe table: one way to see one kind of event, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ksmtrace.events.kinds import EventKind
from ksmtrace.session import Exactness, Knowledge

FIRST_ARGUMENT = "$0"
"""Among the arguments of a hook: the target's first."""


class Place(StrEnum):
    """Where a BPF program goes.

    A function's entry, its return, a place inside a function, a tracepoint, or ksmd's own context
    switches.
    """

    ENTRY = "entry"
    RETURN = "return"
    SITE = "site"
    TRACEPOINT = "tracepoint"
    SWITCH = "switch"


@dataclass(frozen=True, slots=True)
class Hook:
    """One function of bpf/*.c, and the place in the kernel at which it runs.

    Attributes:
        target: function or tracepoint of the kernel.
        body: function of bpf/*.c; its parameters are the target's first arguments, or the return
            value and then those arguments, which are 0 where the mechanism does not tell them.
        arguments: C expressions over `ctx` to hand it instead.
        offset: bytes from the function's start; other than 0 only for a SITE.
        for_return: only there for the return, and left out where that has the arguments itself.
        fentry_with: of a program of everybody's threads, the feature of BPF with which it goes by
            fentry all the same.
    """

    place: Place
    target: str
    body: str
    arguments: tuple[str, ...] | None = None
    offset: int = 0
    for_return: bool = False
    fentry_with: str = ""

    @property
    def reads_registers(self) -> bool:
        """Whether it takes more than arguments, which only a kprobe has."""
        return any("PT_REGS" in argument for argument in self.arguments or ())


Others = Mapping[EventKind, tuple[str, ...]]
"""Probes of other kinds of events, by their names."""


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """One way to see one kind of event; where it is taken, a session has a `Probe` of it.

    What it reads from the kernel (offsets of members, addresses of symbols) is declared by the
    parts of the BPF program that its hooks are in: `bpf_parts.needs_of`.

    Attributes:
        name: short, and unique for its kind of event; other probes refer to it.
        hooks: all of them must find their place.
        parts: files of bpf/ that it takes besides those of its hooks.
        reads: what is read besides the arguments, for people.
        note: what it cannot know, for people.
        lacks: the same, as far as figures depend on it.
        counter: of /sys/kernel/mm/ksm or /proc/vmstat, where only a total is seen.
        defines: -D numbers for the C text.
        requires: probes of other kinds; of each kind one must have been taken.
        conflicts: probes of other kinds with which it would be wrong.
        beside: hooks of other kinds' probes, without which this one would be wrong.
        choices: what of `--probes` it is for; none means all. Where one of a kind's probes is for
            what was asked for, no other of that kind is taken, unless that was "auto".
        excluded_by: "struct.member"s on whose kernels it would be wrong.
        with_too: a probe whose hooks are added where they find their place.
    """

    name: str
    exactness: Exactness
    hooks: tuple[Hook, ...] = ()
    parts: tuple[str, ...] = ()
    reads: str = ""
    note: str = ""
    lacks: frozenset[Knowledge] = frozenset()
    counter: str = ""
    defines: Mapping[str, int | str] = field(default_factory=dict)
    requires: Others = field(default_factory=dict)
    conflicts: Others = field(default_factory=dict)
    beside: tuple[Hook, ...] = ()
    choices: tuple[str, ...] = ()
    excluded_by: tuple[str, ...] = ()
    with_too: ProbeSpec | None = None


ProbeTable = Mapping[EventKind, tuple[ProbeSpec, ...]]
"""For each kind of event the probes that can show it, the best first.

A kind whose probes require one of another kind comes after that kind.
"""


def entry(function: str, body: str, *arguments: str) -> Hook:
    """The entry of a function."""
    return Hook(Place.ENTRY, function, body, arguments or None)


def both(function: str, body: str, *, for_return: bool = False) -> tuple[Hook, Hook]:
    """Entry and return of a function; the return's body is named `<body>_return`.

    `for_return`: of the entry.
    """
    first = Hook(Place.ENTRY, function, body, for_return=for_return)
    return first, Hook(Place.RETURN, function, f"{body}_return")


def tracepoint(name: str, body: str) -> Hook:
    """A raw tracepoint."""
    return Hook(Place.TRACEPOINT, name, body)
