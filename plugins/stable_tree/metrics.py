"""Computes the metric families of the stable tree."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ksmtrace.events.result import PKSM_RESULTS
from ksmtrace.figures import Row, families
from ksmtrace.plugins.stable_tree.figures import ATTEMPTS, CHAINS, COPIES, SHARERS, TREE
from ksmtrace.plugins.stable_tree.nodes import SHARERS_BUCKETS

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_RESULTS = frozenset((*errno.errorcode.values(), *PKSM_RESULTS.values()))


def metrics(figures: Row, chains: tuple[int, int] | None) -> Iterable[Metric]:
    """Families of what is known of `figures`, and of chains: their number, the nodes in them."""
    yield from families(TREE, figures)
    if chains is not None:
        yield CHAINS.make(((), chains[1] / chains[0] if chains[0] else 0))
    if figures["failed_pages"] is not None:
        yield _attempts(figures["attempted_pages"], figures["failed_pages"])
    yield from families(COPIES, figures)
    if figures["node_sharers_pages"] is not None:
        counts = np.cumsum(list(figures["node_sharers_pages"].values())).tolist()
        bounds = [*map(str, map(float, SHARERS_BUCKETS)), "+Inf"]
        pages = figures["shared_pages"] + figures["sharing_pages"]
        yield SHARERS.make_buckets(zip(bounds, counts, strict=True), pages)


def _attempts(attempted: int, failed: Mapping[str, int]) -> Metric:
    named = {name: count for name, count in failed.items() if name in _RESULTS}
    samples = [("done", attempted - sum(failed.values())), *sorted(named.items())]
    if len(named) < len(failed):
        samples.append(("other", sum(failed.values()) - sum(named.values())))
    return ATTEMPTS.make(*(((name,), count) for name, count in samples))
