"""Counts modules, imports, imports that run upward, and circles of imports.

    python -m tools.structure           this checkout
    python tools/structure.py FOLDER    another one, of any revision

The contract tests hold the tree against `FLOORS` by these functions.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
FOLDERS = {
    "ksmtrace": "ksmtrace",
    "plugins": "ksmtrace.plugins",
    "dashboards": "ksmtrace.dashboards",
}
"""The package's folders, and what they import as."""

FLOORS = (
    ("errors", "events", "hooks", "lines", "panel", "resources", "section", "temporary", "units"),
    ("", "session", "drawing", "dashboards", "probemap"),
    ("capture", "figures", "kernel", "model"),
    ("engine.machine",),
    ("engine.ksm",),
    ("engine.bulk", "engine.relatives"),
    ("engine.uksm",),
    ("engine.trace",),
    ("engine",),
    ("policies",),
    ("workload", "sources.live.gathered"),
    ("sources", "sources.live"),
    ("conformance", "whatif", "estimate"),
    ("audit",),
    ("pipeline", "report", "doctor", "listing", "serving", "why"),
    ("hookspecs",),
    ("plugins",),
    ("pipeline.manager", "documents"),
    ("cli",),
    ("__main__",),
)
"""Parts of ksmtrace, lowest first: a part imports itself and what lies on lower floors."""


@dataclass(frozen=True, slots=True)
class Module:
    """A Python file of the package, and the modules of the package that it imports."""

    name: str
    path: Path
    lines: int
    imports: frozenset[str]


def modules(repository: Path = REPOSITORY) -> dict[str, Module]:
    """Every module of the package by its name, `ksmtrace.plugins.cow` for example."""
    paths = dict(_named(repository))
    return {
        name: Module(
            name,
            path,
            len(path.read_text(encoding="utf-8").splitlines()),
            frozenset(_resolved(imported(path, name), paths)) - {name},
        )
        for name, path in paths.items()
    }


def imported(path: Path, name: str = "") -> set[str]:
    """What a file imports, anywhere in it: `a.b` for `import a.b` and for `from a import b`.

    Args:
        path: the file.
        name: the module that it is, on which relative imports depend.
    """
    package = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            around = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join((*around, *filter(None, [node.module])))
            names |= {f"{origin}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def part(name: str) -> str:
    """The part of `FLOORS` that a module belongs to, else its package, as `engine.ksm`."""
    inner = name.split(".")[1:]
    declared = {part for floor in FLOORS for part in floor}
    for length in range(len(inner), 0, -1):
        if (found := ".".join(inner[:length])) in declared:
            return found
    return inner[0] if inner else ""


def upward(found: Mapping[str, Module]) -> list[tuple[str, str]]:
    """Imports (module, what it imports) of another part that does not lie on a lower floor."""
    floor = {part: number for number, parts in enumerate(FLOORS) for part in parts}
    return [
        (module.name, target)
        for module in found.values()
        for target in sorted(module.imports)
        if (here := part(module.name)) != (there := part(target))
        and floor.get(there, len(FLOORS)) >= floor.get(here, len(FLOORS))
    ]


def _named(repository: Path) -> Iterator[tuple[str, Path]]:
    for folder, prefix in FOLDERS.items():
        for path in sorted((repository / folder).rglob("*.py")):
            inner = path.relative_to(repository / folder).with_suffix("").parts
            yield ".".join((prefix, *(part for part in inner if part != "__init__"))), path


def _resolved(names: Iterable[str], known: Mapping[str, Path]) -> Iterator[str]:
    """The modules that imported names are, or are defined in."""
    for name in names:
        if name in known:
            yield name
        elif (owner := name.rpartition(".")[0]) in known:
            yield owner


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Strongly connected components of more than one node (Tarjan), largest first."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(set(graph[node]) & graph.keys()):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            first = stack.index(node)
            if len(stack) - first > 1:
                found.append(sorted(stack[first:]))
            del stack[first:]

    for node in graph:
        if node not in index:
            visit(node)
    return sorted(found, key=lambda circle: (-len(circle), circle))


def module_circles(found: Mapping[str, Module]) -> list[list[str]]:
    """Circles among these modules."""
    return circles({name: module.imports for name, module in found.items()})


def table(found: Mapping[str, Module]) -> str:
    """The counts as text: a row for each part, the engine's sum, and everything."""
    parts = sorted({part(name) for name in found})
    groups = {one or "ksmtrace": {name for name in found if part(name) == one} for one in parts}
    groups["the engine"] = {name for name in found if name.startswith("ksmtrace.engine.")}
    groups["everything"] = set(found)
    head = f"{'':20}{'modules':>8}{'lines':>8}{'imports':>8}{'inside':>8}{'upward':>8}  circles"
    return "\n".join([head, *(_row(title, own, found) for title, own in groups.items())])


def _row(title: str, own: set[str], found: Mapping[str, Module]) -> str:
    inner = {name: found[name] for name in found if name in own}
    arrows = [target for module in inner.values() for target in module.imports]
    counts = (
        len(inner),
        sum(module.lines for module in inner.values()),
        len(arrows),
        sum(target in own for target in arrows),
        sum(source in own for source, _ in upward(found)),
    )
    sizes = ", ".join(str(len(circle)) for circle in module_circles(inner))
    return f"{title:20}{''.join(f'{count:8}' for count in counts)}  {sizes}"


def main(folder: str | None = None) -> None:
    """Print the table, then every import that runs upward and every circle."""
    found = modules(Path(folder) if folder else REPOSITORY)
    print(table(found))
    for source, target in upward(found):
        print(f"upward: {source} -> {target}")
    for circle in module_circles(found):
        print(f"circle of {len(circle)}: {', '.join(circle)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
