"""The vocabulary of the table of ways: where a probe goes, and what one way to see an event needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ksmtrace.events.kinds import EventKind
from ksmtrace.session import Exactness, Knowledge


class Place(StrEnum):
    """Where a probe goes: a function's entry, its return, a place inside a function, a tracepoint, ksmd's own switches."""

    ENTRY = "entry"
    RETURN = "return"
    SITE = "site"
    TRACEPOINT = "tracepoint"
    SWITCH = "switch"


@dataclass(frozen=True, slots=True)
class Hook:
    """One body of bpf/*.c and the place to which it goes.

    Attributes:
        target: function or tracepoint.
        body: function in bpf/*.c; its parameters are the target's first arguments, or the return value.
        arguments: C expressions over `ctx` to hand it instead.
        offset: bytes from the function's start; other than 0 only for a SITE.
    """

    place: Place
    target: str
    body: str
    arguments: tuple[str, ...] | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Way:
    """One way to see one kind of event.

    What it reads from the kernel (offsets of members, addresses of symbols) is what the text of its sources names.

    Attributes:
        name: short and unique for its kind of event; other ways refer to it.
        hooks: all of them must find their place.
        sources: files of bpf/ that hold the hooks' bodies and what these call.
        reads: what is read beside the arguments, for people.
        note: what this way cannot know, for people.
        lacks: the same, as far as figures depend on it.
        file: of /sys/kernel/mm/ksm or /proc/vmstat: where only a total is seen.
        defines: -D numbers for the text.
        beside: ways of other kinds, already chosen, on one of which it leans.
        not_beside: ways of other kinds beside which it would be wrong.
        wrong_with: "struct.member"s on whose kernels it would be wrong.
        also: a way whose hooks are added where they find their place.
    """

    name: str
    exactness: Exactness
    hooks: tuple[Hook, ...] = ()
    sources: tuple[str, ...] = ()
    reads: str = ""
    note: str = ""
    lacks: frozenset[Knowledge] = frozenset()
    file: str = ""
    defines: Mapping[str, int | str] = field(default_factory=dict)
    beside: Mapping[EventKind, tuple[str, ...]] = field(default_factory=dict)
    not_beside: Mapping[EventKind, tuple[str, ...]] = field(default_factory=dict)
    wrong_with: tuple[str, ...] = ()
    also: Way | None = None


def entry(function: str, body: str, *arguments: str) -> Hook:
    """The entry of a function."""
    return Hook(Place.ENTRY, function, body, arguments or None)


def both(function: str, body: str) -> tuple[Hook, Hook]:
    """Entry and return of a function; the return's body is named `<body>_return`."""
    return entry(function, body), Hook(Place.RETURN, function, f"{body}_return")


def tracepoint(name: str, body: str) -> Hook:
    """A raw tracepoint."""
    return Hook(Place.TRACEPOINT, name, body)
