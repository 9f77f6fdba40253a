"""The table of docs/ENGINE.md that sets UKSM beside KSM, by pages examined. `make docs`."""

from statistics import fmean

from ksmtrace.engine.engine import Engine
from ksmtrace.engine.uksm.scanner import UksmScanner
from ksmtrace.workload.file import load_workload
from tools.docs.marked import DOCS, with_part

DOCUMENT = DOCS / "ENGINE.md"
WORKLOAD = DOCS.parent / "tests/data/workloads/rich-and-poor.toml"
VARIANTS: dict[str, dict[str, int | str]] = {
    "ksm-6.18": {"pages_to_scan": 1000, "smart_scan": 0},
    "uksm": {"page_time_ns": 2000},
}
"""By name, the tunables with which they run."""

_SLICE = 1000
_SHOWN = (1, 2, 5, 10, 20, 30, 40)


def saved_by_slices(variant: str) -> tuple[list[list[int]], int]:
    """Pages saved after each thousand pages examined, by `scan` step, and contents compared."""
    engine = Engine(variant, VARIANTS[variant])
    stages: list[list[int]] = []
    examined = 0
    for step in load_workload(WORKLOAD).steps:
        if step.op != "scan":
            getattr(engine, step.op)(**step.arguments)
            continue
        stages.append([])
        for _ in range(step.arguments["batches"]):
            examined += _SLICE
            while engine.scanner.pages_scanned < examined:
                engine.scan_batches(1)
            stages[-1].append(_saved(engine))
    compared = engine.scanner.comparisons
    assert compared is not None, "comparisons are counted unless one asks for speed"
    return stages, compared


def _saved(engine: Engine) -> int:
    scanner = engine.scanner
    if isinstance(scanner, UksmScanner):
        return scanner.saved_pages
    return engine.counters()["pages_sharing"] or 0


def costs_table() -> str:
    """One row for each variant."""
    shown = ", ".join(map(str, _SHOWN))
    lines = [
        f"| variant | saved after {shown} thousand pages examined | mean of these 40 | "
        "mean while rewritten | contents compared |",
        "|---|---|---|---|---|",
    ]
    for variant in VARIANTS:
        (first, *others), compared = saved_by_slices(variant)
        saved = ", ".join(str(first[number - 1]) for number in _SHOWN)
        rewritten = fmean(value for stage in others for value in stage)
        lines.append(f"| {variant} | {saved} | {fmean(first):.0f} | {rewritten:.0f} | {compared} |")
    return "\n".join(lines)


def with_table(text: str) -> str:
    """The document with the table as it should be."""
    return with_part(text, "uksm", costs_table())


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text()))
