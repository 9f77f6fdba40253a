"""The tables of docs/PROBES.md, made from the code: `make docs`."""

import sys

from kernels import kernels
from ksmtrace.events import EventKind
from ksmtrace.sources.live.probe_spec import Hook, Place, ProbeSpec
from ksmtrace.sources.live.probe_table import PROBES
from tools.costs import markdown_table, read_results
from tools.docs.marked import DOCS, with_part

DOCUMENT = DOCS / "PROBES.md"


def probes_table() -> str:
    """One row for each probe, best first for each kind of event."""
    lines = [
        "| event | way | exactness | hooks | what it cannot know, what it needs |",
        "|---|---|---|---|---|",
    ]
    for kind, specs in PROBES.items():
        lines += [_row(kind, spec) for spec in specs]
    return "\n".join(lines)


def _row(kind: EventKind, spec: ProbeSpec) -> str:
    hooks = ", ".join(_hook(hook) for hook in spec.hooks)
    if spec.reads:
        hooks = f"{hooks} + {spec.reads}" if hooks else spec.reads
    notes = [spec.note] if spec.note else []
    for other, names in spec.requires.items():
        notes.append(f"requires {other.name} seen by {' or '.join(names)}")
    for other, names in spec.conflicts.items():
        notes.append(f"conflicts with {other.name} seen by {' or '.join(names)}")
    notes += [f"not on a kernel with {member}" for member in spec.excluded_by]
    hooks = hooks or spec.counter or "files"
    return f"| {kind.name} | {spec.name} | {spec.exactness.value} | {hooks} | {'; '.join(notes)} |"


def _hook(hook: Hook) -> str:
    match hook.place:
        case Place.TRACEPOINT:
            return f"tracepoint {hook.target}"
        case Place.SWITCH:
            return "context switches of ksmd"
    return f"{hook.place.value} of {hook.target}"


def with_table(text: str) -> str:
    """The document with the tables as they should be."""
    text = with_part(text, "probes", probes_table())
    return with_part(text, "costs", markdown_table(read_results()))


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
