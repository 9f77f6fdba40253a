"""The keys of analyzers in docs/REFERENCE.md, made from the declarations: `make docs`."""

from collections import Counter
from collections.abc import Iterator

from ksmtrace.events import EventKind
from ksmtrace.figures import FigureSpec, Specs
from ksmtrace.plugins import BUILTINS
from tools.docs import declared
from tools.docs.marked import DOCS, with_part

DOCUMENT = DOCS / "REFERENCE.md"

_UNITS = {"": "number", "count": "number", "flag": "true or false"}


def analyzers() -> str:
    """A table for each analyzer, with a row for each key."""
    return "\n\n".join(_table(name) for name in declared.ANALYZERS)


def _table(analyzer: str) -> str:
    (does,) = (builtin.does for builtin in BUILTINS if builtin.name == analyzer)
    computed: dict[str, list[str]] = {}
    for family in declared.computed(analyzer):
        for path in family.of:
            computed.setdefault(path, []).append(f"`{family.name}`")
    lines = [
        f"#### `{analyzer}`\n",
        f"{does[0].upper()}{does[1:]}.\n",
        "| key | unit | what it is | metric | needs |",
        "|---|---|---|---|---|",
    ]
    for path, spec, shared in key_rows(declared.figures(analyzer)):
        metrics = ", ".join([*_published(spec), *computed.get(path, ())])
        needs = ", ".join(
            need.name if isinstance(need, EventKind) else need.value for need in spec.needs
        )
        meaning = f"{spec.help} {shared}".strip()
        lines.append(f"| `{path}` | {unit_of(spec)} | {meaning} | {metrics} | {needs} |")
    return "\n".join(lines)


def key_rows(specs: Specs) -> Iterator[tuple[str, FigureSpec, str]]:
    """Path and declaration of each key, and what to add of keys that an earlier row has already."""
    return _rows(specs, "", {})


def _rows(
    specs: Specs, under: str, placed: dict[tuple[str, str], str]
) -> Iterator[tuple[str, FigureSpec, str]]:
    """Path, declaration, and what to add of keys that an earlier row of the table has already.

    `placed` has the earlier rows: (key, meaning) to the path of the object that it is in.
    """
    for spec in specs:
        path = under + spec.key
        again = {sub: placed[sub.key, sub.help] for sub in spec.of if (sub.key, sub.help) in placed}
        yield path, spec, _as_in(again, placed)
        new = tuple(sub for sub in spec.of if sub not in again)
        placed.update({(sub.key, sub.help): path for sub in new})
        yield from _rows(new, f"{path}.", placed)


def _as_in(again: dict[FigureSpec, str], placed: dict[tuple[str, str], str]) -> str:
    places: dict[str, list[str]] = {}
    for spec, path in again.items():
        places.setdefault(path, []).append(f"`{spec.key}`")
    every = Counter(placed.values())
    return " ".join(
        f"All keys of `{path}`."
        if len(keys) == every[path]
        else f"Of the keys of `{path}`: {', '.join(keys)}."
        for path, keys in places.items()
    )


def _published(spec: FigureSpec) -> list[str]:
    if spec.metric is None:
        return []
    own = spec.metric.labels[len(spec.metric.labels) - len(spec.series) :]
    labels = ",".join(f'{label}="{value}"' for label, value in zip(own, spec.series, strict=True))
    return [f"`{spec.metric.name}{{{labels}}}`" if labels else f"`{spec.metric.name}`"]


def unit_of(spec: FigureSpec) -> str:
    """A key's unit or type, for people."""
    if spec.of:
        return "objects" if spec.key != spec.name else "object"
    return _UNITS.get(spec.unit, spec.unit)


def with_keys(text: str) -> str:
    """The document with the tables as they should be."""
    return with_part(text, "keys of analyzers", analyzers())


if __name__ == "__main__":
    DOCUMENT.write_text(with_keys(DOCUMENT.read_text()))
