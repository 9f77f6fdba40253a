"""What one version of KSM does otherwise than another, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ksmtrace.engine.machine.mm_version import MmVersion

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.ksmd import KsmScanner
    from ksmtrace.engine.ksm.stable_node import StableNode
    from ksmtrace.engine.ksm.state import Ksm
    from ksmtrace.engine.ksm.watcher import Watcher
    from ksmtrace.engine.machine.bulk_checksum import Checksum
    from ksmtrace.engine.machine.rbtree import RbRoot
    from ksmtrace.engine.machine.scanner import Relative
    from ksmtrace.events import EventKind
    from ksmtrace.session import Knowledge


class Chain(Protocol):
    """How a search chooses a dup of a chain; see `ksmtrace.engine.ksm.chains`."""

    def __call__(
        self, ksm: Ksm, chain: StableNode, root: RbRoot, *, prune: bool
    ) -> tuple[StableNode, StableNode | None]:
        """The node in the tree, and the dup; without a dup the search must start again."""
        ...


@dataclass(frozen=True, slots=True)
class Visibility:
    """What records of a variant's run show, as a session says it.

    Attributes:
        seen: by kind of event that its `Watcher` is told of, the function where.
        notes: by kind, what such an event means here, or why there is none.
        item_bytes: of an rmap_item; 0 where there are none.
        lacks: what CMP_AND_MERGE_PAGE does not tell here.
    """

    seen: Mapping[EventKind, str]
    notes: Mapping[EventKind, str]
    item_bytes: int
    lacks: frozenset[Knowledge] = frozenset()


def takes_every_value(_name: str, _value: int | str) -> None:
    """Refuses no value of a tunable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant(MmVersion):
    """One version of KSM, or a relative of it.

    Attributes:
        since: the upstream release that brought the first of what sets this version apart from the
            one before it; of several, one that ksmd's decisions depend on comes before one that
            they do not.
        make: the algorithm at work, for a number of NUMA nodes.
        checksum: calc_checksum.
        chains: stable nodes have dups under max_page_sharing (4.13, 2c653d0ee2ae "ksm: introduce
            ksm_max_page_sharing per page deduplication limit").
        chain: how searches choose a dup of a chain.
        checks_before_stable_tree: the checksum is tested, and the zero page tried, first (6.11,
            d58a361b0350 "mm/ksm: don't waste time searching stable tree for fast changing page").
        memory_merge: there is PR_SET_MEMORY_MERGE (6.4, d7597f59d1d3 "mm: add new api to enable ksm
            per process").
        absent_tunables: files of /sys/kernel/mm/ksm that came later, of `tunables.DEFAULTS`.
        own_tunables: files that no version of KSM has, and those with another default than KSM's,
            with their defaults.
        check_own_tunable: OSError for a value that one of those would refuse.
        visibility: what records of a run show.
        absent_counters: counters that came later: files of `counters.COUNTERS`, and cow_ksm of
            /proc/vmstat.
    """

    name: str
    since: tuple[int, int]
    make: Callable[[Variant, int, Watcher], KsmScanner | Relative]
    checksum: Checksum
    chains: bool
    chain: Chain
    checks_before_stable_tree: bool
    memory_merge: bool
    absent_tunables: frozenset[str]
    own_tunables: Mapping[str, int | str] = field(default_factory=dict, hash=False)
    check_own_tunable: Callable[[str, int | str], object] = takes_every_value
    visibility: Visibility = field(hash=False)
    absent_counters: frozenset[str]
