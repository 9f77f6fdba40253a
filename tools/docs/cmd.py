"""The table of docs/ENGINE.md that sets CMD beside the KSM that it is made of. `make docs`."""

from dataclasses import dataclass, replace
from functools import cache

from ksmtrace.engine.engine import Engine
from ksmtrace.engine.ksm.watcher import Tracked, Watcher
from ksmtrace.engine.machine.memory import Frame
from ksmtrace.workload.file import Workload, load_workload
from ksmtrace.workload.on_engine import Simulation
from tools.docs.marked import DOCS, with_part

DOCUMENT = DOCS / "ENGINE.md"
FOLDER = DOCS.parent / "tests/data/workloads"
WORKLOADS = ("cmd-guests", "cmd-apart", "cmd-desktop", "cmd-settled")
"""Names of files."""

PAIRS = {"ksm-4.4": "cmd", "ksm-7.2": "cmd-7.2"}
"""Versions of KSM, and CMD made of each."""

WAYS: dict[str, dict[str, int | str]] = {
    "subpages": {},
    "subpages, each pass": {"count_passes": 1},
    "writes": {"classify": "writes"},
    "writes, each pass": {"classify": "writes", "count_passes": 1},
    "address": {"classify": "address"},
}
"""Tunables of CMD, by what the table calls them."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a run has cost and given.

    Attributes:
        comparisons: of contents.
        futile: of these, for pages that nothing equal was found for.
        sharing: `pages_sharing` at the end.
    """

    comparisons: int
    futile: int
    sharing: int


class Futile(Watcher):
    """Counts the comparisons for pages that were not merged."""

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.futile = self._before = 0
        self._merged = False

    def candidate(self, _item: Tracked, _page: Frame) -> None:
        """A page is examined."""
        self._before, self._merged = self._comparisons, False

    def candidate_done(self) -> None:
        """It has been."""
        if not self._merged:
            self.futile += self._comparisons - self._before

    def appended(self, *_: object) -> None:
        """It was merged."""
        self._merged = True

    @property
    def _comparisons(self) -> int:
        assert self.engine is not None, "it is given before anything is scanned"
        return self.engine.scanner.comparisons or 0


@cache
def run(name: str, variant: str, way: str = "", times: int = 1) -> Run:
    """A workload of `FOLDER` under a variant; `times` as many pages of each kind."""
    watcher = Futile()
    workload = enlarged(load_workload(FOLDER / f"{name}.toml"), times)
    tunables = {**workload.tunables, **WAYS.get(way, {})}
    workload = replace(workload, tunables=tunables)
    simulation = Simulation(workload, variant=variant, watcher=watcher, mode="reference")
    watcher.engine = simulation.engine
    for _ in simulation.run():
        pass
    compared = simulation.engine.scanner.comparisons or 0
    return Run(compared, watcher.futile, simulation.engine.counters()["pages_sharing"] or 0)


def enlarged(workload: Workload, times: int) -> Workload:
    """The workload with so many times the pages, in every step."""
    steps = [
        replace(
            step,
            arguments={
                key: value * times if key in ("first", "pages") else value
                for key, value in step.arguments.items()
            },
        )
        for step in workload.steps
    ]
    return replace(workload, steps=tuple(steps))


def table() -> str:
    """One row for each workload and version of KSM."""
    lines = [
        f"| workload | KSM: compared, futile, sharing | {' | '.join(WAYS)} |",
        "|---|---|" + "---|" * len(WAYS),
    ]
    for name in WORKLOADS:
        for kernel, relative in PAIRS.items():
            plain = run(name, kernel)
            cells = [_cell(run(name, relative, way), plain) for way in WAYS]
            own = f"{plain.comparisons}, {_percent(plain.futile, plain.comparisons)}"
            lines.append(f"| {name}, {kernel} | {own}, {plain.sharing} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(found: Run, plain: Run) -> str:
    fewer = _percent(plain.comparisons - found.comparisons, plain.comparisons)
    futile = _percent(found.futile, found.comparisons)
    return f"{fewer}, {futile}, {_percent(found.sharing, plain.sharing)}"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f}%"


def with_table(text: str) -> str:
    """The document with the table as it should be."""
    return with_part(text, "cmd", table())


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text()))
