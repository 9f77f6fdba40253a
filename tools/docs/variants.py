"""The table of docs/ENGINE.md: one workload under every variant of the engine. `make docs`."""

from dataclasses import replace

from ksmtrace.engine.engine import Engine
from ksmtrace.engine.ksm.ksmd import KsmScanner
from ksmtrace.engine.variants import VARIANTS
from ksmtrace.workload.file import load_workload
from ksmtrace.workload.on_engine import Simulation
from ksmtrace.workload.tunables import defaults_of
from tools.docs.marked import DOCS, with_part

DOCUMENT = DOCS / "ENGINE.md"
WORKLOAD = DOCS.parent / "tests/data/workloads/every-variant.toml"


def variants_table() -> str:
    """One row for each variant."""
    lines = [
        "| variant | saved after pass 1, 2, 5 | saved at the end | KSM pages | skipped | "
        "comparisons |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(_row(name) for name in VARIANTS)])


def _row(variant: str) -> str:
    workload = load_workload(WORKLOAD)
    known = defaults_of(variant)
    tunables = {name: value for name, value in workload.tunables.items() if name in known}
    simulation = Simulation(replace(workload, tunables=tunables), variant=variant)
    saved: list[int] = []
    for _ in simulation.run():
        if len(simulation.document()["snapshots"]) > len(saved):
            saved.append(_saved(simulation.engine))
    end = simulation.document()["snapshots"][-1]["counters"]
    compared = simulation.engine.scanner.comparisons
    return (
        f"| {variant} | {saved[0]}, {saved[1]}, {saved[4]} | {saved[-1]} | "
        f"{_known(end['pages_shared'])} "
        f"| {_known(end['pages_skipped'])} | {compared} |"
    )


def _saved(engine: Engine) -> int:
    """Pages that need no memory of their own: of a relative by what is mapped."""
    scanner = engine.scanner
    if not isinstance(scanner, KsmScanner):
        return scanner.saved_pages
    counters = engine.counters()
    return (counters["pages_sharing"] or 0) + (counters["ksm_zero_pages"] or 0)


def _known(value: int | None) -> str:
    return "-" if value is None else str(value)


def with_table(text: str) -> str:
    """The document with the table as it should be."""
    return with_part(text, "variants", variants_table())


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text()))
