"""The tunables of workload files: the kernel's defaults, and the values that it refuses."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass

from ksmtrace.engine.ksm.tunables import DEFAULTS as KERNEL_DEFAULTS
from ksmtrace.engine.ksm.variant import Variant
from ksmtrace.engine.variants import BUILT_IN, VARIANTS
from ksmtrace.errors import ExitStatus, KsmtraceError

Tunables = Mapping[str, int | str]

_SHOWN_LENGTH = 60


@dataclass(frozen=True, slots=True)
class _Numbers:
    """Numbers that the kernel takes; others it refuses with `below` or `above`."""

    least: int
    most: int
    below: int = errno.EINVAL
    above: int = errno.EINVAL


_UINT, _INT, _ULONG = 2**32 - 1, 2**31 - 1, 2**64 - 1

_NUMBERS = {
    "pages_to_scan": _Numbers(0, _UINT),
    "sleep_millisecs": _Numbers(0, _UINT),
    "merge_across_nodes": _Numbers(0, 1),
    "use_zero_pages": _Numbers(0, 1),
    "max_page_sharing": _Numbers(2, _INT, above=errno.ERANGE),
    "stable_node_chains_prune_millisecs": _Numbers(0, _UINT),
    "smart_scan": _Numbers(0, 1),
    "advisor_max_cpu": _Numbers(0, _ULONG),
    "advisor_min_pages_to_scan": _Numbers(0, _ULONG),
    "advisor_max_pages_to_scan": _Numbers(0, _ULONG),
    "advisor_target_scan_time": _Numbers(1, _ULONG),
}

DEFAULTS: Tunables = {
    "advisor_mode": "none",
    **{name: KERNEL_DEFAULTS[name] for name in _NUMBERS},
}
"""The kernel's defaults; `advisor_mode` first: while it is on, some others cannot be written."""

_WITHOUT: Tunables = {
    "advisor_mode": "none",
    "merge_across_nodes": 1,
    "use_zero_pages": 0,
    "smart_scan": 0,
}


class RefusedError(KsmtraceError):
    """The kernel refuses a tunable while a workload runs; the engine raises it just so.

    Attributes:
        step: the step's number, or None for the workload's initial tunables.
        name: the tunable, or "run".
        number: the errno.
    """

    def __init__(self, step: int | None, name: str, value: int | str, number: int) -> None:
        where = "tunables" if step is None else f"step {step}"
        super().__init__(
            f"{where}: the kernel refuses {name} = {value}: {errno_text(number)}",
            ExitStatus.FLAGGED,
        )
        self.step = step
        self.name = name
        self.number = number


def errno_text(number: int) -> str:
    """An errno as "EBUSY (Device or resource busy)"."""
    return f"{errno.errorcode.get(number, number)} ({os.strerror(number)})"


def check_tunables(tunables: Mapping[str, object]) -> Tunables:
    """The tunables, all known and all with values that a kernel takes.

    Raises:
        ValueError: one is not; where the kernel would refuse it, with the errno.
    """
    return {name: _checked(name, value) for name, value in tunables.items()}


def defaults_of(variant: str) -> Tunables:
    """The tunables that a variant of the engine has, with their defaults there."""
    one = VARIANTS[variant]
    kernels = {name: value for name, value in DEFAULTS.items() if name not in one.absent_tunables}
    return {**kernels, **one.own_tunables}


def own_defaults() -> Tunables:
    """Tunables that no version of KSM has, and their defaults in the first variant that has them.

    Packages' variants are loaded for that.
    """
    return {
        name: value
        for variant in reversed(list(VARIANTS.values()))
        for name, value in variant.own_tunables.items()
        if name not in DEFAULTS
    }


def default_of(name: str) -> int | str:
    """The default of a tunable: KSM's, else that of the first variant that has it."""
    return DEFAULTS[name] if name in DEFAULTS else _owner(name).own_tunables[name]


def is_default_without(name: str, value: int | str) -> bool:
    """Whether a kernel that does not have the tunable behaves as if it had this value."""
    return _WITHOUT.get(name) == value


def _checked(name: str, value: object) -> int | str:
    if name == "run":
        raise ValueError("run is no tunable: there is an op of this name")
    if name == "advisor_mode":
        if value == "none":
            return "none"
        if value == "scan-time":
            raise ValueError("advisor_mode = 'scan-time': what the advisor does depends on time")
        raise ValueError(f"advisor_mode = {shown(value)}: refused with {errno_text(errno.EINVAL)}")
    numbers = _NUMBERS.get(name)
    if numbers is None:
        return _checked_by(_owner(name), name, value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} = {shown(value)} is not an integer")
    if not numbers.least <= value <= numbers.most:
        number = numbers.below if value < numbers.least else numbers.above
        raise ValueError(
            f"{name} = {shown(value)}: refused with {errno_text(number)}, "
            f"must be {numbers.least} to {numbers.most}"
        )
    return value


def _owner(name: str) -> Variant:
    # only a name that nothing built in knows has packages looked at
    for variants in (BUILT_IN, VARIANTS):
        for variant in variants.values():
            if name in variant.own_tunables:
                return variant
    known = ", ".join({**DEFAULTS, **own_defaults()})
    raise ValueError(f"unknown tunable {name[:60]!r} (known: {known})")


def _checked_by(owner: Variant, name: str, value: object) -> int | str:
    kind = type(owner.own_tunables[name])
    if not isinstance(value, kind) or isinstance(value, bool):
        wanted = "an integer" if kind is int else "a string"
        raise ValueError(f"{name} = {shown(value)} is not {wanted}")
    try:
        owner.check_own_tunable(name, value)
    except OSError as error:
        number = error.errno or errno.EINVAL
        text = f"{name} = {shown(value)}: refused with {errno_text(number)}"
        raise ValueError(text) from None
    return value


def shown(value: object) -> str:
    """A value from a file, short and on one line, also a number of thousands of digits."""
    try:
        text = repr(value)
    except ValueError:
        text = "a number" if isinstance(value, int) else f"a {type(value).__name__}"
        return f"{text} of thousands of digits"
    return text if len(text) <= _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 3] + "..."
