"""Engines for tests, and what to look at on them."""

from ksmtrace.engine.engine import Engine
from ksmtrace.engine.variants import KERNELS, NEWEST
from ksmtrace.sources.engine import EngineSource

MODES = {
    "reference": {"mode": "reference"},
    "accelerated": {"mode": "accelerated"},
    "accelerated without comparisons": {"mode": "accelerated", "count_comparisons": False},
}
"""How an engine can work, by what a test calls it: arguments of `Engine`."""


def version(variant):
    """The kernel that a variant is named after: (6, 12) for "ksm-6.12"."""
    return tuple(map(int, variant.removeprefix("ksm-").split(".")))


def since(*release):
    """The engine's kernels of this release and later, by name."""
    return [name for name in KERNELS if version(name) >= release]


def before(*release):
    """The engine's kernels before this release, by name."""
    return [name for name in KERNELS if version(name) < release]


def machine(variant=NEWEST, *, nodes=1, watcher=None, **tunables):
    """An engine that scans a pass in one batch, without smart scan if not asked for.

    It works in the reference mode, since tests look at its objects.
    """
    settings = {"pages_to_scan": 100000, "smart_scan": 0, **tunables}
    engine = Engine(variant, nodes=nodes, watcher=watcher, mode="reference")
    for name, value in settings.items():
        if name not in engine.ksm.variant.absent_tunables:
            engine.write_tunable(name, value)
    return engine


def repeated(byte):
    """Contents of pages that repeat one byte."""
    return lambda _index: bytes([byte]) * 4096


def unique(seed):
    """Contents of pages of which no two are equal."""
    return lambda index: (seed << 32 | index).to_bytes(8, "little") * 512


def region(engine, process, name, contents, *, mergeable=True):
    """A region with a page for each of `contents`: a byte, or None for a page left alone."""
    if process not in engine.processes:
        engine.spawn(process)
    engine.map(process, name, len(contents))
    for index, byte in enumerate(contents):
        if byte is not None:
            engine.fill(process, name, index, 1, repeated(byte))
    if mergeable:
        engine.mergeable(process, name, 0, len(contents))


def gauges(engine):
    """pages_shared, pages_sharing, pages_unshared, pages_volatile."""
    counters = engine.counters()
    return tuple(
        counters[f"pages_{name}"] for name in ("shared", "sharing", "unshared", "volatile")
    )


def chains(engine):
    """stable_node_chains, stable_node_dups."""
    counters = engine.ksm.counters
    return counters.stable_node_chains, counters.stable_node_dups


def batches_with_entries(workload):
    """Each batch of a run's records, and all page table entries before and after it: frame numbers
    by (mm, address)."""
    source = EngineSource(workload)
    memory = source._simulation.engine.memory
    before = {}
    for batch in source.batches():
        entries = {
            (mm.key, vpn << 12): frame.pfn for mm in memory.mms for vpn, frame in mm.ptes.items()
        }
        yield batch, before, entries
        before = entries
