"""What is expanded is what intercepting gives, event for event: the engine tells both."""

from contextlib import suppress

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.engine.strategies import workloads

from ksmtrace.engine.trace.emitter import Emitter
from ksmtrace.engine.variants import KERNELS
from ksmtrace.sources.live.gathered.expander import Expander
from ksmtrace.workload.on_engine import Simulation
from ksmtrace.workload.tunables import RefusedError
from support.gathered_engine import Both, Gatherer, comparable
from support.random_workloads import random_workloads

LATER = frozenset().union(*(kernel.absent_tunables for kernel in KERNELS.values()))
"""Tunables that some variants lack; 4.4 also lacks what every such workload sets."""


def told_twice(workload, *, variant=None, nodes=1, chunk_items=5, drains=None):
    """(intercepted, expanded) events of a run, and how often a baseline was asked for."""
    emitter, gatherer = Emitter(), Gatherer(chunk_items)
    asked = []
    expander = Expander(lambda: asked.append(1))
    simulation = Simulation(
        workload, variant=variant, nodes=nodes, watcher=Both(emitter, gatherer), mode="reference"
    )
    gatherer.watch(simulation.engine)
    expanded = []
    with suppress(RefusedError):
        for _ in simulation.run():
            gatherer.gather()
            if drains is None or drains.draw(st.booleans()):
                expanded.append(expander.feed(*gatherer.take_raw()))
    expanded += [expander.feed(*gatherer.take_raw()), expander.flush()]
    return emitter.take().events, np.concatenate(expanded), len(asked)


def check(workload, **options):
    intercepted, expanded, asked = told_twice(workload, **options)
    assert comparable(expanded) == comparable(intercepted)
    assert not asked


@settings(max_examples=100)
@given(workloads(variants=tuple(KERNELS)), st.integers(1, 9), st.data())
def test_expanded_is_intercepted(workload, chunk_items, data):
    check(workload, chunk_items=chunk_items, drains=data)


@settings(max_examples=60)
@given(random_workloads(without=LATER), st.sampled_from(list(KERNELS)[1:]))
def test_on_workloads_that_kernels_are_asked(workload, variant):
    check(workload, variant=variant)
