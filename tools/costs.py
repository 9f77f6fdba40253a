"""What the bench of probes has measured: its committed results, their arithmetic, and its tables.

Instructions are comparable within one boot alone: all figures of a kernel are of one boot, and what
tracing adds is held against the untraced figures of that boot.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

RESULTS = Path(__file__).parent.parent / "tests/bench/data/probes.json"

DEFAULT = "default"
AGAIN = "untraced again"
"""Measured last in the same boot: how far the kernel repeats itself."""
KSMD_LIMIT_PERCENT, FAULT_LIMIT_PERCENT = 3.0, 0.5
"""What tracing by default may add to ksmd's work on a page, and to a fault of any process."""

_PLAIN = "the walk: without typed loads, to read an rmap_item takes 2.6% already"
_SKIPPED = "the walk: of so cheap a page, looking at its age and skips is a larger share"

KNOWN_OVER: Mapping[str, str] = {
    "5.10, volatile": _PLAIN,
    "6.1, volatile": _PLAIN,
    "7.2, smart scan": _SKIPPED,
}
"""Where the committed results are above a limit ("KERNEL, WHAT"), and by which part."""

WORKLOADS = ("settled", "merging", "smart scan", "volatile")
"""Of ksmd, in the order of the tables; not every kernel has smart scan."""

FAULTS = ("anonymous fault", "write after fork", "write to KSM page")
OTHERS = (*FAULTS, "pipe round trip", "fork and exec")
"""What everybody does."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one variant costs on one kernel.

    Attributes:
        instructions: of ksmd per page that it examines or passes over, by workload; of one fault,
            and of one of what else everybody does.
        events: that came per page, by workload.
    """

    instructions: Mapping[str, float]
    events: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KernelCosts:
    """All variants on one kernel, in one boot.

    Attributes:
        release: of the kernel.
        merges: attempts that succeeded per page, in the workload `merging`.
        skipped: share of pages that smart scan passed over, in its workload; 0 without it.
        untraced: without any tracing.
        variants: by name.
        failed: variants that could not be measured, and why.
    """

    release: str
    merges: float
    skipped: float
    untraced: Cost
    variants: Mapping[str, Cost]
    failed: Mapping[str, str] = field(default_factory=dict)

    def added(self, variant: str, what: str) -> float | None:
        """By how many percent the variant makes `what` dearer; None where it was not measured."""
        traced = self.variants.get(variant)
        plain = self.untraced.instructions.get(what)
        if traced is None or what not in traced.instructions or not plain:
            return None
        return 100 * (traced.instructions[what] / plain - 1)


Results = Mapping[str, KernelCosts]
"""By the kernel's name in tests/vm/kernels.toml."""


def read_results(path: Path = RESULTS) -> dict[str, KernelCosts]:
    """The committed results; none where nothing is committed yet."""
    if not path.exists():
        return {}
    found = {}
    for name, row in json.loads(path.read_text()).items():
        untraced = Cost(**row.pop("untraced"))
        variants = {variant: Cost(**cost) for variant, cost in row.pop("variants").items()}
        found[name] = KernelCosts(untraced=untraced, variants=variants, **row)
    return found


def write_results(results: Results, path: Path = RESULTS) -> None:
    """Replace the results of these kernels; those of others stay."""
    path.parent.mkdir(exist_ok=True)
    merged = read_results(path) | dict(results)
    ordered = sorted(merged, key=lambda name: [int(part) for part in name.split(".")])
    rows = {name: asdict(merged[name]) for name in ordered}
    path.write_text(json.dumps(rows, indent=1) + "\n")


def missed_goals(results: Results) -> list[str]:
    """Where tracing by default costs more than it may, as "KERNEL, WHAT".

    What an untraced kernel itself does not repeat in the same boot, no variant adds.
    """
    return [
        f"{name}, {what}"
        for name, costs in results.items()
        for what, limit in _limits()
        if (added := costs.added(DEFAULT, what)) is not None
        and round(added - max(0.0, costs.added(AGAIN, what) or 0.0), 1) > limit
    ]


def text_table(costs: KernelCosts, before: KernelCosts | None) -> str:
    """For a terminal: instructions, what each variant adds, and what it added in `before`."""
    merges, skipped = (f"{100 * share:.1f}%" for share in (costs.merges, costs.skipped))
    lines = [f"{costs.release}: merging, {merges} of pages; smart scan, {skipped} passed over"]
    for title, columns in (("ksmd, a page", WORKLOADS), ("everybody, each", OTHERS)):
        plain = costs.untraced.instructions
        lines.append(_line(title, columns))
        lines.append(_line("untraced", [_number(plain.get(what)) for what in columns]))
        for variant, cost in costs.variants.items():
            cells = []
            for what in columns:
                earlier = before.added(variant, what) if before else None
                shown = (
                    f"{_number(cost.instructions.get(what))} {_signed(costs.added(variant, what))}"
                )
                cells.append(f"{shown} ({_signed(earlier)})" if earlier is not None else shown)
            lines.append(_line(variant, cells))
    return "\n".join([*lines, *(f"{name}: {why}" for name, why in costs.failed.items())])


def markdown_table(results: Results) -> str:
    """For a document: of each kernel the instructions untraced, and what each variant adds."""
    columns = (*WORKLOADS, *OTHERS)
    lines = [f"| kernel | traced by | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
    for name, costs in results.items():
        plain = [_number(costs.untraced.instructions.get(what)) for what in columns]
        lines.append(f"| {name} | nothing | {' | '.join(plain)} |")
        for variant in costs.variants:
            cells = [_signed(costs.added(variant, what)) for what in columns]
            lines.append(f"| | {variant} | {' | '.join(cells)} |")
    return "\n".join(lines)


def default_table(results: Results) -> str:
    """For a document: what tracing by default adds to ksmd's work on a page, in percent."""
    lines = [f"| kernel | {' | '.join(WORKLOADS)} |", "|---" * (len(WORKLOADS) + 1) + "|"]
    for name, costs in results.items():
        cells = [_signed(costs.added(DEFAULT, what)) for what in WORKLOADS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _limits() -> Iterator[tuple[str, float]]:
    yield from ((what, KSMD_LIMIT_PERCENT) for what in WORKLOADS)
    yield from ((what, FAULT_LIMIT_PERCENT) for what in FAULTS)


def _line(title: str, cells: list[str] | tuple[str, ...]) -> str:
    return (f"{title:28}" + "".join(f"{cell:>27}" for cell in cells)).rstrip()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _signed(percent: float | None) -> str:
    if percent is None:
        return ""
    return f"{percent:+.1f}%" if round(percent, 1) else "0.0%"
