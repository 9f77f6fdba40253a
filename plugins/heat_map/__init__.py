"""Analyzer of memory over time: a map of each large process, by address and pass of ksmd."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ksmtrace import hookimpl
from ksmtrace.events import EventBatch
from ksmtrace.events import numbers as kinds
from ksmtrace.events.record import true_rows
from ksmtrace.figures import families, known
from ksmtrace.model.items import Ids, grown
from ksmtrace.model.nodes import FIRST_NODE
from ksmtrace.model.processes import Process
from ksmtrace.model.reconstruction import UNSTABLE, Reconstruction
from ksmtrace.model.runs import run_lengths, run_starts
from ksmtrace.model.scan import Scan
from ksmtrace.plugins.heat_map.figures import FIGURES, PAGES, TREES
from ksmtrace.plugins.heat_map.grid import Grid, State
from ksmtrace.plugins.heat_map.view import LETTERS, panel, section
from ksmtrace.section import Section
from ksmtrace.session import Session

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from rich.panel import Panel

MOST_PROCESSES = 8


@dataclass(slots=True)
class Map:
    """One process's map.

    Attributes:
        first_pass: the pass of its first column, counted from 0.
        rmap_items: as the last pass ended.
    """

    process: Process
    first_pass: int
    rmap_items: int = 0
    grid: Grid = field(default_factory=Grid)


class Plugin:
    """Maps of the processes with most rmap_items: rows are runs of addresses, columns passes.

    A cell has the state of most of its pages as the pass ended. A process keeps its map until its
    place is needed for one with more rmap_items.

    JSON: `FIGURES`.
    """

    def __init__(self) -> None:
        self._skipped = np.zeros(0, dtype=bool)
        self._any_skipped = False
        self._maps: dict[int, Map] = {}
        self._passes = 0
        self._pages = np.zeros(len(State), dtype=np.int64)

    @hookimpl
    def ksmtrace_batch(self, batch: EventBatch, reconstruction: Reconstruction) -> None:
        """Note which pages smart scan passed over last."""
        items = reconstruction.items
        self._skipped = grown(self._skipped, items.capacity + 1)  # the number -1 is the last
        self._skipped[items.born] = False
        self._any_skipped |= batch.count(kinds.SKIPPED) > 0
        if self._any_skipped:
            rows = batch.rows(kinds.SKIPPED, kinds.CMP_AND_MERGE_PAGE)
            skipped = batch.where(kinds.SKIPPED)[rows]
            self._skipped[reconstruction.ids[rows]] = skipped

    @hookimpl
    def ksmtrace_scan_end(self, scan: Scan, reconstruction: Reconstruction) -> None:
        """A column more."""
        items = reconstruction.items
        alive = items.numbers()
        states = self._states(reconstruction, alive)
        if scan.whole:
            self._pages = np.bincount(states, minlength=len(State))
        owner = reconstruction.owner[alive]
        self._choose(owner, alive, reconstruction)
        addresses = items.address[alive]
        for number, one in self._maps.items():
            own = true_rows(owner == number)
            one.rmap_items = len(own)
            one.grid.add(addresses[own], states[own], whole=scan.whole)
        self._passes += 1

    def _states(self, reconstruction: Reconstruction, alive: Ids) -> npt.NDArray[np.uint8]:
        states = np.full(len(alive), State.VOLATILE, dtype=np.uint8)
        states[self._skipped[alive]] = State.SKIPPED
        trees = reconstruction.state[alive]
        states[trees == UNSTABLE] = State.CANDIDATE
        states[trees >= FIRST_NODE] = State.MERGED
        return states

    def _choose(self, owner: Ids, alive: Ids, reconstruction: Reconstruction) -> None:
        """Maps for the processes with most rmap_items; who has one keeps it while there is room."""
        sizes, processes = _sizes(owner, alive, reconstruction)
        for number, one in self._maps.items():
            sizes.setdefault(number, 0)
            processes.setdefault(number, one.process)
        ranked = sorted(sizes, key=lambda n: (-sizes[n], n not in self._maps, processes[n].mm))
        kept = ranked[:MOST_PROCESSES]
        self._maps = {
            number: self._maps.get(number) or Map(processes[number], self._passes)
            for number in kept
        }

    @hookimpl
    def ksmtrace_analysis(self, session: Session) -> dict[str, Any]:
        """The figures of `FIGURES`."""
        figures = {
            "passes": self._passes,
            "pages": self._by_state(),
            "processes": [_json(one) for one in self._ranked()],
        }
        return known(FIGURES, session, figures)

    def _by_state(self) -> dict[str, int]:
        return {spec.name: int(self._pages[State[spec.name.upper()]]) for spec in PAGES}

    def _ranked(self) -> list[Map]:
        return sorted(
            self._maps.values(), key=lambda one: (-one.rmap_items, one.process.mm, one.first_pass)
        )

    @hookimpl
    def ksmtrace_metrics(self, session: Session) -> Iterable[Metric]:
        """Pages by state."""
        if all(map(session.knows, TREES)):
            yield from families(PAGES, self._by_state())

    @hookimpl
    def ksmtrace_panels(self) -> Iterable[Panel]:
        """The largest process's map, usable 26 columns wide."""
        for one in self._ranked()[:1]:
            yield panel(one.process.label, one.grid)

    @hookimpl
    def ksmtrace_sections(self, session: Session) -> Iterable[Section]:
        """All maps."""
        seen = all(map(session.knows, TREES))
        maps = [
            (one.process.label, one.first_pass, one.rmap_items, one.grid) for one in self._ranked()
        ]
        yield section(maps if seen else [], self._by_state())


def _sizes(
    owner: Ids, alive: Ids, reconstruction: Reconstruction
) -> tuple[dict[int, int], dict[int, Process]]:
    """rmap_items by number of the process, and the processes."""
    if not len(owner):
        return {}, {}
    starts = run_starts(owner)
    lengths = run_lengths(starts, len(owner))
    numbers, first, of_run = np.unique(owner[starts], return_index=True, return_inverse=True)
    sizes = np.bincount(of_run, weights=lengths).astype(np.int64)
    processes = {process.number: process for process in reconstruction.processes.known()}
    mms = reconstruction.items.mm[alive[starts[first]]].tolist()
    found = {
        number: processes.get(number) or reconstruction.processes.of(mm)
        for number, mm in zip(numbers.tolist(), mms, strict=True)
    }
    return dict(zip(numbers.tolist(), sizes.tolist(), strict=True)), found


def _json(one: Map) -> dict[str, Any]:
    grid, process = one.grid, one.process
    return {
        **process.to_json(),
        "rmap_items": one.rmap_items,
        "first_pass": one.first_pass,
        "passes_per_column": grid.passes_per_column,
        "row_bytes": 1 << grid.row_shift,
        "rows": [
            {"start": f"{start:#x}", "cells": "".join(LETTERS[State(cell)] for cell in cells)}
            for start, cells in zip(grid.rows(), grid.cells().tolist(), strict=True)
        ],
    }
