"""Runs scenarios in parallel on an executor, and returns their outcomes in order."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from ksmtrace.errors import HostError
from ksmtrace.whatif.case import Case
from ksmtrace.whatif.experiment import run_scenario
from ksmtrace.whatif.scenario import Outcome, Scenario

Shares = ctypes.Array[ctypes.c_double]


_LOOK_SECONDS = 0.2

_own: tuple[Case, Shares] | None = None
"""In a worker of a `LocalExecutor`: its case, and the array for shares that are done."""


class LocalExecutor(ProcessPoolExecutor):
    """Processes on this machine that are given the case once, and report how far they are.

    Sent with each scenario, it would fill the pipe to the workers; a pool of which one dies then
    waits for ever (CPython 94777).

    Attributes:
        shares: of each scenario, how much is done, 0 to 1.
    """

    def __init__(self, case: Case, scenarios: int) -> None:
        # A fork would copy the thread that draws the progress bar in whatever state it is.
        context = multiprocessing.get_context("spawn")
        self.shares: Shares = context.Array("d", scenarios, lock=False)
        workers = max(1, min(scenarios, len(os.sched_getaffinity(0))))
        own = (case, self.shares)
        super().__init__(workers, mp_context=context, initializer=_start_worker, initargs=own)


def run_scenarios(
    case: Case,
    scenarios: Sequence[Scenario],
    executor: Executor,
    done: Callable[[float], None] = lambda _: None,
) -> list[Outcome]:
    """The outcome of each scenario, in the order of `scenarios`.

    Args:
        case: what is run; goes to the workers with each scenario, unless they have it.
        scenarios: under what.
        executor: any executor of the standard interface whose workers have ksmtrace installed.
        done: called now and then with how many scenarios are done; those under way count by their
            share if the executor is a `LocalExecutor`.

    Raises:
        HostError: a worker died.
    """
    local = isinstance(executor, LocalExecutor)
    with _interrupt_delayed():
        futures = [
            executor.submit(_run_own, scenario, number)
            if local
            else executor.submit(run_scenario, case, scenario)
            for number, scenario in enumerate(scenarios)
        ]
    shares = executor.shares if isinstance(executor, LocalExecutor) else ()
    try:
        left = set(futures)
        while left:
            left = wait(left, _LOOK_SECONDS, FIRST_COMPLETED).not_done
            under_way = (share for share, one in zip(shares, futures, strict=False) if one in left)
            done(len(futures) - len(left) + sum(under_way))
        return [future.result() for future in futures]
    except BrokenProcessPool as error:
        raise HostError(
            "a worker died, perhaps for want of memory: run fewer scenarios at a time"
        ) from error
    finally:
        for future in futures:
            future.cancel()


def _run_own(scenario: Scenario, number: int) -> Outcome:
    assert _own is not None, "only workers of a `LocalExecutor` are given this"
    case, shares = _own

    def say(share: float) -> None:
        shares[number] = share

    return run_scenario(case, scenario, say)


@contextmanager
def _interrupt_delayed() -> Iterator[None]:
    """Blocks SIGINT; processes that start meanwhile never see it, not even at first."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def local_executor(case: Case, scenarios: int) -> Iterator[LocalExecutor]:
    """Processes on this machine, one for each usable CPU; they end with the context."""
    before = set(multiprocessing.active_children())
    pool = LocalExecutor(case, scenarios)
    try:
        yield pool
    except BaseException:
        # The pool's own thread then finds them dead and ends; else it would wait for scenarios.
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker(case: Case, shares: Shares) -> None:
    global _own  # noqa: PLW0603 - it is a worker's for life
    _own = case, shares
    # A parent that was killed takes us along; Ctrl-C is its business alone (`_interrupt_delayed`).
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.join,), daemon=True).start()


def _end_with(wait_for: Callable[[], None]) -> None:
    wait_for()
    os._exit(1)
