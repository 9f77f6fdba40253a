"""Runs a case under one scenario: what each worker process does."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import replace

from ksmtrace.errors import KsmtraceError
from ksmtrace.whatif.case import Case
from ksmtrace.whatif.outcome_meter import OutcomeMeter, since
from ksmtrace.whatif.scenario import Outcome, Point, Points, Scenario
from ksmtrace.workload.file import Step, Workload
from ksmtrace.workload.on_engine import Simulation
from ksmtrace.workload.tunables import RefusedError, Tunables, defaults_of


def run_scenario(
    case: Case, scenario: Scenario, say: Callable[[float], None] = lambda _: None
) -> Outcome:
    """The outcome of `case` under `scenario`.

    A run that cannot go on, because the kernel would refuse a tunable, ends there (`ended_early`).

    Args:
        case: what to run.
        scenario: under what.
        say: called after each step with the share of them that is done, 0 to 1.
    """
    try:
        return _Run(case, scenario, say).outcome()
    except KsmtraceError as error:
        nothing = Point(*(0,) * len(Point.__slots__))
        if not scenario.count_comparisons:
            nothing = replace(nothing, comparisons=None)
        return Outcome(Points(), nothing, str(error))


class _Run:
    """One run, and the account of it."""

    def __init__(self, case: Case, scenario: Scenario, say: Callable[[float], None]) -> None:
        self._say = say
        self._notes: list[str] = []
        self._meter = OutcomeMeter()
        self._warm_up_steps = case.warm_up_steps
        self._steps = _steps_for(case.workload, scenario)
        workload = replace(case.workload, tunables=dict(scenario.tunables), steps=self._steps)
        kind = Simulation if case.source == "workload" else _CaptureSimulation
        self._simulation = kind(
            workload,
            variant=scenario.variant,
            watcher=self._meter,
            say=self._notes.append,
            count_comparisons=scenario.count_comparisons,
        )
        self._passes = self._full_scans = self._batches = self._snapshots = 0
        self._start = self._read()
        self._points = Points()

    def outcome(self) -> Outcome:
        """Run to the end, or to the step that cannot be carried out."""
        ended_early = ""
        try:
            self._follow()
        except KsmtraceError as error:
            ended_early = str(error)
        at_end = since(self._read(), self._start)
        return Outcome(self._points, at_end, ended_early, tuple(self._notes))

    def _follow(self) -> None:
        scanner = self._simulation.engine.scanner
        last = 0
        for number in self._simulation.run():
            if number != last:
                self._say(number / len(self._steps))
                last = number
            self._batches += self._is_after_batch(number)
            if scanner.full_scans == self._full_scans + 1:
                self._passes += 1
                if number >= self._warm_up_steps:
                    self._points.append(since(self._read(), self._start))
            self._full_scans = scanner.full_scans
            if number < self._warm_up_steps:
                self._start = self._read()

    def _is_after_batch(self, number: int) -> bool:
        # a scan yields after each batch, and once more when its snapshot has been taken
        before, self._snapshots = self._snapshots, len(self._simulation.document()["snapshots"])
        return self._steps[number].op == "scan" and self._snapshots == before

    def _read(self) -> Point:
        return self._meter.read(self._simulation.engine, self._passes, self._batches)


class _CaptureSimulation(Simulation):
    """A run of a capture's case: a tunable that is refused here stays, as the kernel had taken it.

    The engine refuses some while pages are merged, and a scenario may have more of them.
    """

    def _write(self, number: int | None, tunables: Tunables) -> None:
        for name, value in tunables.items():
            try:
                super()._write(number, {name: value})
            except RefusedError as error:
                if number is None:
                    raise
                self._say(f"{error}, though not by the traced one: it stays as it is")


def _steps_for(workload: Workload, scenario: Scenario) -> tuple[Step, ...]:
    """The steps, without writes to tunables that the variant lacks or that the scenario holds."""
    kept = defaults_of(scenario.variant).keys() - scenario.held
    return tuple(
        Step("set", {"tunables": _only(step.arguments["tunables"], kept)})
        if step.op == "set"
        else step
        for step in workload.steps
    )


def _only(tunables: dict[str, int | str], kept: Set[str]) -> dict[str, int | str]:
    return {name: value for name, value in tunables.items() if name in kept}
