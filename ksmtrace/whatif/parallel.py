"""Runs scenarios on an executor, all at once, and hands back the outcomes in order."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from ksmtrace.errors import HostError
from ksmtrace.whatif.experiment import run_scenario
from ksmtrace.whatif.scenario import Outcome, Scenario, Story


def run_scenarios(
    story: Story,
    scenarios: Sequence[Scenario],
    executor: Executor,
    done: Callable[[int], None] = lambda _: None,
) -> list[Outcome]:
    """The outcome of each scenario, in the order of `scenarios`.

    Args:
        story: what is run; goes to the workers with each scenario.
        scenarios: under what.
        executor: any executor of the standard interface whose workers have ksmtrace installed.
        done: told how many scenarios are done, whenever one is.

    Raises:
        HostError: a worker died.
    """
    with _interrupt_delayed():
        futures = [executor.submit(run_scenario, story, scenario) for scenario in scenarios]
    try:
        for count, _ in enumerate(as_completed(futures), start=1):
            done(count)
        return [future.result() for future in futures]
    except BrokenProcessPool as error:
        raise HostError(
            "a worker died, perhaps for want of memory: run fewer scenarios at a time"
        ) from error
    finally:
        for future in futures:
            future.cancel()


@contextmanager
def _interrupt_delayed() -> Iterator[None]:
    """Keeps Ctrl-C waiting; processes that start meanwhile never see it, not even before their first line."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def local_executor(scenarios: int) -> Iterator[Executor]:
    """Processes on this machine, one for each CPU that we may use; they end with the context, however it ends."""
    before = set(multiprocessing.active_children())
    workers = max(1, min(scenarios, len(os.sched_getaffinity(0))))
    # A fork would copy the thread that draws the progress bar in whatever state it is.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    try:
        yield pool
    except BaseException:
        # The pool's own thread then finds them dead and ends; without them it would wait for the scenarios under way.
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    # A parent that was killed takes us along; Ctrl-C is its business alone (`_interrupt_delayed`).
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.join,), daemon=True).start()


def _end_with(wait: Callable[[], None]) -> None:
    wait()
    os._exit(1)
