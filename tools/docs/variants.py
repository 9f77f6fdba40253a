"""The table of docs/ENGINE.md: one workload under every variant of the engine. `make docs`."""

from typing import Any

from ksmtrace.engine.variants import VARIANTS
from ksmtrace.workload.file import load_workload
from ksmtrace.workload.on_engine import Simulation
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
    simulation = Simulation(load_workload(WORKLOAD), variant=variant)
    for _ in simulation.run():
        pass
    snapshots = [snapshot["counters"] for snapshot in simulation.document()["snapshots"]]
    saved = [_saved(variant, counters) for counters in snapshots]
    end = snapshots[-1]
    compared = simulation.engine.scanner.comparisons
    return (
        f"| {variant} | {saved[0]}, {saved[1]}, {saved[4]} | {saved[-1]} | "
        f"{_known(end['pages_shared'])} "
        f"| {_known(end['pages_skipped'])} | {compared} |"
    )


def _saved(variant: str, counters: dict[str, Any]) -> int:
    """Pages that need no memory of their own. PKSM's pages_sharing has the zero pages in it."""
    zero = 0 if variant == "pksm" else counters["ksm_zero_pages"] or 0
    return (counters["pages_sharing"] or 0) + zero


def _known(value: int | None) -> str:
    return "-" if value is None else str(value)


def with_table(text: str) -> str:
    """The document with the table as it should be."""
    return with_part(text, "variants", variants_table())


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text()))
