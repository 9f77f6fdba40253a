"""Runs hand-made events through the real Runner with chosen plugins."""

import struct
from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import pairwise
from typing import Any

import pluggy
from hypothesis import strategies as st

from ksmtrace import hookspecs
from ksmtrace.events import EventBatch, EventKind, Flag
from ksmtrace.pipeline.options import RunOptions
from ksmtrace.pipeline.runner import Runner
from ksmtrace.pipeline.snapshot import Snapshot
from ksmtrace.session import Session
from support.streams import ListSource, events, sample, session

EMPTY = sample(pages_shared=0, pages_sharing=0, pages_unshared=0, pages_volatile=0)
"""First reading of a kernel whose KSM holds nothing: the reconstruction is complete from here
on."""

FREED = Flag.FREED
IN_STABLE, IN_UNSTABLE = Flag.STABLE_BEFORE, Flag.UNSTABLE_BEFORE
TO_STABLE, TO_UNSTABLE = Flag.STABLE_AFTER, Flag.UNSTABLE_AFTER


def plugin(name: str) -> object:
    """A fresh instance of a built-in plugin."""
    return import_module(f"ksmtrace.plugins.{name}").Plugin()


def runner(
    batches: Sequence[EventBatch],
    plugins: dict[str, object],
    of: Session | None = None,
    *,
    fail_fast: bool = True,
    source: type[ListSource] = ListSource,
    **options: object,
) -> Runner:
    """A run that is ready to go; it publishes after every batch unless `interval` is given."""
    manager = pluggy.PluginManager("ksmtrace")
    manager.add_hookspecs(hookspecs)
    for name, instance in plugins.items():
        manager.register(instance, name=name)
    manager.check_pending()
    given = RunOptions(**{"interval": 0.0, **options})
    return Runner(source(of or session(), batches), manager, given, fail_fast=fail_fast)


def analyse(
    rows: Sequence[dict],
    *names: str,
    of: Session | None = None,
    cuts: Sequence[int] = (),
    **options: Any,
) -> Snapshot:
    """The final state after `rows`, cut into batches before each index of `cuts`."""
    whole = events(*rows)
    edges = [0, *sorted(cuts), len(rows)]
    batches = [EventBatch(whole.events[a:b]) for a, b in pairwise(edges) if a < b]
    plugins = {name: plugin(name) for name in names}
    return runner(batches, plugins, of, interval=3600, **options).run()


def examined(
    item: int, flags: int = 0, *, mm: int = 1, old: int = 0, new: int = 0, node: int = 0
) -> dict:
    """A CMP_AND_MERGE_PAGE row."""
    return {
        "kind": EventKind.CMP_AND_MERGE_PAGE,
        "rmap_item": item,
        "mm": mm,
        "flags": flags,
        "oldchecksum": old,
        "checksum": new,
        "aux": node,
    }


def appended(item: int, node: int, *, new: bool = False, mm: int = 1) -> dict:
    """A STABLE_APPEND row."""
    flags = Flag.NEW_NODE if new else 0
    kind = EventKind.STABLE_APPEND
    return {"kind": kind, "rmap_item": item, "mm": mm, "aux": node, "flags": flags}


def removed(item: int, flags: int, *, mm: int = 1) -> dict:
    """A REMOVE_RMAP_ITEM row."""
    return {"kind": EventKind.REMOVE_RMAP_ITEM, "rmap_item": item, "mm": mm, "flags": flags}


def attempt(item: int = 1, *, err: int = 0, flags: int = 0) -> dict:
    """A TRY_TO_MERGE_ONE_PAGE row."""
    kind = EventKind.TRY_TO_MERGE_ONE_PAGE
    return {"kind": kind, "rmap_item": item, "err": err, "flags": flags}


def process(mm: int, pid: int, comm: bytes) -> dict:
    """A PROCESS row; `comm` is cut to the 16 bytes that there are."""
    pfn, rmap_item = struct.unpack("<QQ", comm[:16].ljust(16, b"\0"))
    return {"kind": EventKind.PROCESS, "mm": mm, "aux": pid, "pfn": pfn, "rmap_item": rmap_item}


def start(seqnr: int = 0) -> dict:
    """A SCAN_START row."""
    return {"kind": EventKind.SCAN_START, "aux": seqnr}


def stop(seqnr: int = 0) -> dict:
    """A SCAN_STOP row."""
    return {"kind": EventKind.SCAN_STOP, "aux": seqnr}


def lost(count: int = 1) -> dict:
    """A LOST row."""
    return {"kind": EventKind.LOST, "aux": count}


def exit_of(mm: int) -> dict:
    """An MM_EXIT row."""
    return {"kind": EventKind.MM_EXIT, "mm": mm}


_item = st.integers(1, 6)
_mm = st.integers(1, 3)
_tree_flags = st.sampled_from((0, IN_STABLE, IN_UNSTABLE))


def _owner(item: int) -> int:
    """The mm to which an rmap_item belongs, always the same."""
    return item % 3 + 1


any_row: st.SearchStrategy[dict] = st.one_of(
    st.builds(
        lambda item, flags, old, new: examined(
            item, flags, mm=_owner(item), old=old, new=new, node=7
        ),
        _item,
        st.sampled_from((0, FREED, TO_STABLE, TO_UNSTABLE, IN_UNSTABLE | TO_STABLE)),
        st.integers(0, 2),
        st.integers(0, 2),
    ),
    st.builds(
        lambda item, node, new: appended(item, node, new=new, mm=_owner(item)),
        _item,
        _item,
        st.booleans(),
    ),
    st.builds(
        lambda item, tree, freed: removed(item, tree | freed, mm=_owner(item)),
        _item,
        _tree_flags,
        st.sampled_from((0, FREED)),
    ),
    st.builds(
        lambda item, err, flags: {**attempt(item, err=err, flags=flags), "mm": _owner(item)},
        _item,
        st.sampled_from((0, -14, -16)),
        st.sampled_from((0, Flag.PAGE_STATE, Flag.PAGE_STATE | Flag.COMPOUND, Flag.ZERO_PAGE)),
    ),
    st.builds(
        lambda item: {"kind": EventKind.SKIPPED, "rmap_item": item, "mm": _owner(item)}, _item
    ),
    st.builds(
        lambda item, zero: {
            "kind": EventKind.REPLACE_PAGE,
            "rmap_item": item,
            "mm": _owner(item),
            "flags": zero,
        },
        _item,
        st.sampled_from((0, Flag.ZERO_PAGE)),
    ),
    st.builds(lambda mm, pid: process(mm, pid, b"name"), _mm, st.integers(1, 3)),
    st.builds(exit_of, _mm),
    st.builds(lambda node: {"kind": EventKind.REMOVE_STABLE_NODE, "aux": node}, _item),
    st.sampled_from((start(), stop(), lost())),
    st.builds(
        lambda item: {"kind": EventKind.BREAK_COW, "rmap_item": item, "mm": _owner(item)}, _item
    ),
)
"""Any event that an analyzer looks at, plausible or not."""


@st.composite
def cut_streams(draw: Callable) -> tuple[list[dict], list[int]]:
    """Rows that begin with a reading of an empty KSM, and where to cut them."""
    rows = [*EMPTY, *draw(st.lists(any_row, max_size=60))]
    return rows, draw(st.lists(st.integers(1, len(rows)), max_size=12, unique=True))


def series(metrics: Sequence) -> dict[tuple, float]:
    """(sample name, sorted labels) to value; fails on a series that comes twice."""
    found: dict[tuple, float] = {}
    for family in metrics:
        for s in family.samples:
            key = (s.name, tuple(sorted(s.labels.items())))
            assert key not in found, key
            found[key] = s.value
    return found
