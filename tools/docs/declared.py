"""What the analyzers that come with ksmtrace declare: their figures and their metric families."""

from collections.abc import Iterator
from importlib import import_module

from ksmtrace.figures import Family, FigureSpec, Specs
from ksmtrace.plugins import BUILTINS, Role

ANALYZERS = tuple(builtin.name for builtin in BUILTINS if builtin.role is Role.ANALYZER)


def figures(analyzer: str) -> Specs:
    """Its figures, as declared."""
    specs: Specs = import_module(f"ksmtrace.plugins.{analyzer}.figures").FIGURES
    return specs


def computed(analyzer: str) -> tuple[Family, ...]:
    """Its metric families that no single figure is the value of."""
    found: tuple[Family, ...] = getattr(
        import_module(f"ksmtrace.plugins.{analyzer}.figures"), "FAMILIES", ()
    )
    return found


def families(analyzer: str) -> list[Family]:
    """All its metric families, each once."""
    published = (spec.metric for _, spec in paths(figures(analyzer)) if spec.metric)
    return list(dict.fromkeys([*published, *computed(analyzer)]))


def paths(specs: Specs, under: str = "") -> Iterator[tuple[str, FigureSpec]]:
    """Path in the JSON document and declaration of each figure, those of objects and lists too."""
    for spec in specs:
        yield under + spec.key, spec
        yield from paths(spec.of, f"{under}{spec.key}.")
