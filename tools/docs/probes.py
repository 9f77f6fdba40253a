"""The tables of docs/PROBES.md, made from the code: `make docs`."""

import sys

from kernels import kernels
from ksmtrace.events import EventKind
from ksmtrace.sources.live.way import Hook, Place, Way
from ksmtrace.sources.live.ways import WAYS
from tools.docs.marked import DOCS, with_part

DOCUMENT = DOCS / "PROBES.md"


def ways_table() -> str:
    """One row for each way, best first for each kind of event."""
    lines = [
        "| event | way | exactness | hooks | what it cannot know, what it needs |",
        "|---|---|---|---|---|",
    ]
    for kind, ways in WAYS.items():
        lines += [_row(kind, way) for way in ways]
    return "\n".join(lines)


def _row(kind: EventKind, way: Way) -> str:
    hooks = ", ".join(_hook(hook) for hook in way.hooks)
    if way.reads:
        hooks = f"{hooks} + {way.reads}" if hooks else way.reads
    notes = [way.note] if way.note else []
    for other, names in way.beside.items():
        notes.append(f"beside {other.name} by {' or '.join(names)}")
    for other, names in way.not_beside.items():
        notes.append(f"not beside {other.name} by {' or '.join(names)}")
    notes += [f"not on a kernel with {member}" for member in way.wrong_with]
    return f"| {kind.name} | {way.name} | {way.exactness.value} | {hooks or way.file or 'files'} | {'; '.join(notes)} |"


def _hook(hook: Hook) -> str:
    match hook.place:
        case Place.TRACEPOINT:
            return f"tracepoint {hook.target}"
        case Place.SWITCH:
            return "context switches of ksmd"
    return f"{hook.place.value} of {hook.target}"


def with_table(text: str) -> str:
    """The document with the table as it should be."""
    return with_part(text, "ways", ways_table())


def kernels_listed(text: str) -> dict[str, bool]:
    """Kernels of the document's matrix, and whether it says that CI boots them."""
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| Debian ")]
    return {row[1].split()[1]: row[2].strip() == "yes" for row in rows}


def kernels_known() -> dict[str, bool]:
    """The same of tests/vm/kernels.toml."""
    return {name: kernel.ci for name, kernel in kernels().items()}


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text()))
    sys.exit(kernels_listed(DOCUMENT.read_text()) != kernels_known())
