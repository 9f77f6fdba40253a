"""A policy: which domains there are, who is in which, and which of them may share pages."""

from __future__ import annotations

import fnmatch
import pwd
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ksmtrace.audit.sharing import Sharer
from ksmtrace.errors import KsmtraceError
from ksmtrace.events.cgroup import unit_of

MOST_BYTES = 1 << 20
"""A larger file is refused unread."""

NOBODY = "(no domain)"
"""The domain of processes that are in none of the policy's."""

_KINDS = ("users", "cgroups", "units", "vms")
_EACH = ("vm", "unit", "cgroup", "user")


@dataclass(frozen=True, slots=True)
class Rule:
    """A domain, or with `each` one for each guest, unit, cgroup or user that it takes in.

    Attributes:
        patterns: by kind, those of users, cgroups, units or guests that are in it: shell patterns,
            of which one has to match.
        each: "" or what makes a domain of its own.
    """

    name: str
    patterns: Mapping[str, tuple[str, ...]]
    each: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """Domains in the order in which they are tried, and pairs of them that may share pages.

    Whoever is in one domain may share within it; domains that no pair names may not share.
    """

    rules: tuple[Rule, ...]
    allowed: frozenset[frozenset[str]]
    matched: set[tuple[str, str]] = field(default_factory=set)

    def domain_of(self, sharer: Sharer) -> tuple[str, str]:
        """The name of a process's rule and of its domain: the first that takes it in."""
        values = values_of(sharer)
        for rule in self.rules:
            if any(self._matches(rule, kind, values[kind]) for kind in _KINDS):
                own = values[f"{rule.each}s"] if rule.each else ""
                return rule.name, f"{rule.name}: {own}" if own else rule.name
        return NOBODY, NOBODY

    def may_share(self, one: tuple[str, str], other: tuple[str, str]) -> bool:
        """Whether two domains, as `domain_of` gives them, may share pages."""
        return one == other or frozenset({one[0], other[0]}) in self.allowed

    def unmatched(self) -> list[str]:
        """Patterns that took nobody in, as text."""
        return [
            f"{kind} {pattern!r} of domain {rule.name!r}"
            for rule in self.rules
            for kind, patterns in rule.patterns.items()
            for pattern in patterns
            if (rule.name, f"{kind} {pattern}") not in self.matched
        ]

    def _matches(self, rule: Rule, kind: str, value: str) -> bool:
        found = [
            pattern
            for pattern in rule.patterns.get(kind, ())
            if value and fnmatch.fnmatchcase(value, pattern)
        ]
        self.matched.update((rule.name, f"{kind} {pattern}") for pattern in found)
        return bool(found)


def values_of(sharer: Sharer) -> dict[str, str]:
    """What a process is told by: the name of its user, its cgroup, systemd unit and guest."""
    user = str(sharer.uid)
    with suppress(KeyError, OverflowError):
        user = pwd.getpwuid(sharer.uid).pw_name
    cgroup = sharer.target.cgroup
    return {"users": user, "cgroups": cgroup, "units": unit_of(cgroup), "vms": sharer.target.vm}


def load_policy(path: str) -> Policy:
    """The policy in a TOML file.

    Raises:
        KsmtraceError: it cannot be read, or what it says makes no sense.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise KsmtraceError(f"{path}: {error.strerror}: give a policy (docs/AUDIT.md)") from error
    if len(content) > MOST_BYTES:
        raise KsmtraceError(f"{path}: more than {MOST_BYTES >> 20} MiB: no policy is as large")
    try:
        found = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # of a number with too many digits as well
        raise KsmtraceError(f"{path}: is no TOML: {error}") from error
    try:
        return _policy(found)
    except ValueError as error:
        raise KsmtraceError(f"{path}: {error}") from error


def _policy(found: Mapping[str, Any]) -> Policy:
    _keys(found, ("domain", "allow"), "the policy")
    rules = tuple(_rule(one) for one in _tables(found, "domain"))
    if not rules:
        raise ValueError("there is no [[domain]]")
    names = [rule.name for rule in rules]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"domain {twice[0]!r} is there twice")
    return Policy(rules, frozenset(_pairs(found, {*names, NOBODY})))


def _rule(table: Mapping[str, Any]) -> Rule:
    _keys(table, ("name", "each", *_KINDS), "a domain")
    name = table.get("name")
    if not isinstance(name, str) or not name.strip() or name == NOBODY:
        raise ValueError(f"a domain needs a name, not {name!r}")
    patterns = {
        kind: _texts(table[kind], f"{kind} of {name!r}") for kind in _KINDS if kind in table
    }
    each = table.get("each", "")
    if each not in ("", *_EACH):
        raise ValueError(f"each = {each!r} of {name!r} is none of {', '.join(_EACH)}")
    if not any(patterns.values()):
        raise ValueError(f"domain {name!r} has none of {', '.join(_KINDS)}: nobody is in it")
    return Rule(name, patterns, each)


def _pairs(found: Mapping[str, Any], names: set[str]) -> Iterator[frozenset[str]]:
    for table in _tables(found, "allow"):
        _keys(table, ("domains",), "[[allow]]")
        given = _texts(table.get("domains", []), "domains of [[allow]]")
        if unknown := [name for name in given if name not in names]:
            raise ValueError(f"[[allow]] names {unknown[0]!r}, which is no domain")
        if len(given) != 2:
            raise ValueError("domains of [[allow]] are two names; the same twice for each of them")
        yield frozenset(given)


def _tables(found: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    tables = found.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        raise ValueError(f"{name} is to be written [[{name}]]")
    return tables


def _texts(value: object, what: str) -> tuple[str, ...]:
    if isinstance(value, list) and all(type(one) in (str, int) for one in value):
        return tuple(str(one) for one in value)
    raise ValueError(f"{what}: {value!r} is no list of texts")


def _keys(found: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    if unknown := [name for name in found if name not in known]:
        raise ValueError(f"{what} has no key {unknown[0]!r}, only {', '.join(known)}")
