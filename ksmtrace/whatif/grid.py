"""Builds the scenarios: the baseline, then each variant with each combination of tunables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import product

from ksmtrace.engine.variants import VARIANTS
from ksmtrace.errors import KsmtraceError
from ksmtrace.whatif.scenario import Scenario
from ksmtrace.workload.file import Workload, check_variant
from ksmtrace.workload.tunables import (
    Tunables,
    check_tunables,
    default_of,
    defaults_of,
    is_default_without,
)

MOST_SCENARIOS = 1000
"""How many scenarios one run may have, the baseline included."""


def baseline_of(workload: Workload) -> Scenario:
    """The scenario that is the file itself."""
    return _scenario(workload.variant, workload.tunables, {})


def build_grid(
    workload: Workload,
    variants: Sequence[str],
    settings: Sequence[str],
    sweeps: Sequence[str],
) -> list[Scenario]:
    """The baseline, then each variant with `settings` and each combination of `sweeps`, none twice.

    Args:
        workload: gives the baseline's variant and tunables, which hold where no others are given.
        variants: names; without any the baseline's, or every one if nothing else is given either.
        settings: each "TUNABLE=VALUE".
        sweeps: each "TUNABLE=VALUE,VALUE,...".

    Raises:
        KsmtraceError: a name is unknown, a value would be refused (with the errno), a sweep is
            empty, a tunable is given twice, no variant has it, or there are more scenarios than
            `MOST_SCENARIOS`.
    """
    fixed = dict(_pair("--set", text) for text in settings)
    swept = dict(_pair("--sweep", text) for text in sweeps)
    _check_once(settings, sweeps, [*fixed, *swept])
    choices = {name: _values("--set", name, [text]) for name, text in fixed.items()}
    choices |= {name: _values("--sweep", name, text.split(",")) for name, text in swept.items()}
    names = _variants(variants, workload.variant, everything=not choices)
    _check_present(choices, names)
    _check_count(choices, names)
    written = {
        name for step in workload.steps if step.op == "set" for name in step.arguments["tunables"]
    }
    found: dict[object, Scenario] = {}
    for scenario in (baseline_of(workload), *_combinations(workload, names, choices)):
        found.setdefault(_effect(scenario, written), scenario)
    return list(found.values())


def _combinations(
    workload: Workload, names: Sequence[str], choices: Mapping[str, list[int | str]]
) -> Iterator[Scenario]:
    for name in names:
        for values in product(*choices.values()):
            asked = dict(zip(choices, values, strict=True))
            yield _scenario(name, workload.tunables, asked)


def _scenario(variant: str, own: Tunables, asked: Tunables) -> Scenario:
    present = defaults_of(variant)
    wanted = {**own, **asked}
    left_out = tuple(
        name
        for name, value in sorted(wanted.items())
        if name not in present
        and not is_default_without(name, value)
        and (name in asked or value != default_of(name))
    )
    kept = tuple((name, value) for name, value in sorted(wanted.items()) if name in present)
    return Scenario(variant, kept, left_out, tuple(sorted(asked.keys() & present.keys())))


def _effect(scenario: Scenario, written: Set[str]) -> tuple[object, ...]:
    # a default that is written down changes nothing, nor does holding what nobody writes
    held = tuple(name for name in scenario.held if name in written)
    tunables = {**defaults_of(scenario.variant), **dict(scenario.tunables)}
    return scenario.variant, held, *sorted(tunables.items())


def _pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise KsmtraceError(f"{option} {text!r} is not TUNABLE=VALUE")
    if not value.replace(",", "").strip():
        raise KsmtraceError(f"{option} {text!r}: no value is given")
    return name, value


def _check_once(settings: Sequence[str], sweeps: Sequence[str], names: list[str]) -> None:
    given = [text.partition("=")[0] for text in (*settings, *sweeps)]
    for name in names:
        if given.count(name) > 1:
            raise KsmtraceError(f"{name} is given twice by --set and --sweep")


def _values(option: str, name: str, texts: Sequence[str]) -> list[int | str]:
    values = []
    for text in texts:
        value = _value(text)
        try:
            check_tunables({name: value})
        except ValueError as error:
            raise KsmtraceError(f"{option}: {error}") from error
        if (name, value) == ("pages_to_scan", 0):
            raise KsmtraceError(f"{option}: with pages_to_scan = 0 no pass ever ends")
        values.append(value)
    return values


def _value(text: str) -> int | str:
    text = text.strip()
    if text.removeprefix("-").isdecimal() and text.isascii() and len(text) <= 30:
        return int(text)
    return text


def _variants(asked: Sequence[str], own: str, *, everything: bool) -> list[str]:
    try:
        names = [check_variant(name) for name in asked]
    except ValueError as error:
        raise KsmtraceError(f"--variant: {error}") from error
    if names:
        return names
    return list(VARIANTS) if everything else [own]


def _check_present(choices: Mapping[str, object], names: Sequence[str]) -> None:
    for name in choices:
        if all(name not in defaults_of(variant) for variant in names):
            raise KsmtraceError(
                f"{', '.join(dict.fromkeys(names))}: no {name} there (ENOENT): "
                "name a variant that has it with --variant"
            )


def _check_count(choices: Mapping[str, list[int | str]], names: Sequence[str]) -> None:
    count = 1 + len(names)
    for values in choices.values():
        count = (count - 1) * len(values) + 1
    if count > MOST_SCENARIOS:
        raise KsmtraceError(
            f"{count} scenarios: at most {MOST_SCENARIOS} are run at a time, so sweep fewer values"
        )
