"""What KSM would save of pages that were looked at, what it would cost, and whether it pays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from ksmtrace.estimate.pace import Pace, PageCost, pace_of
from ksmtrace.estimate.pages import Bit, Mask, Pages
from ksmtrace.estimate.settled import Rules, contents, settle, stable_nodes, zero_pages
from ksmtrace.estimate.unseen import Interval, left_interval
from ksmtrace.model.verdict import Answer, Facts, Verdict, judge
from ksmtrace.session import Kernel

_Z = 1.96
"""Standard deviations of a proportion's interval of 95%."""
_Z_POPULATION = 3.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is foretold of some pages under some rules.

    Attributes:
        rules: those under which it holds.
        pages: pages that ksmd would keep track of.
        saved: pages saved once settled, as the kernel counts them, those that are saved now among
            them.
        freed: frames that would be free then and are not now; None where frames are not shown.
        gauges: of /sys/kernel/mm/ksm, by name; empty of a sample.
        net_bytes: what is saved less KSM's own bookkeeping.
        passes: of ksmd until it has settled.
        pace: at the given tunables.
        verdict: on what is foretold.
    """

    rules: Rules
    pages: int
    saved: Interval
    freed: Interval | None
    gauges: Mapping[str, int]
    net_bytes: Interval
    passes: int
    pace: Pace
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Host:
    """What of the host a forecast depends on."""

    kernel: Kernel
    tunables: Mapping[str, str]
    cost: PageCost
    core_worth_bytes: int


def foretell(
    pages: Pages,
    rules: Rules,
    host: Host,
    share: float = 1.0,
    present: int | None = None,
    placed: int = 0,
) -> Forecast:
    """The forecast for pages, all of them or a sample.

    Args:
        pages: sorted as ksmd comes by.
        rules: tunables to assume.
        host: what it runs on.
        share: of the frames that were taken.
        present: how many pages there are; None for as many as in `pages`.
        placed: zero pages that KSM has placed already, and counts as saved.
    """
    count = len(pages) if present is None else present
    gauges: dict[str, int] = {}
    if share >= 1:
        settled = settle(pages, rules)
        saved = Interval(settled.saved_pages, settled.saved_pages)
        freed = settled.frames_freed
        frames = None if freed is None else Interval(freed, freed)
        items, shared = settled.rmap_items, Interval(settled.pages_shared, settled.pages_shared)
        gauges = {name: getattr(settled, name) for name in GAUGES}
        gauges["ksm_zero_pages"] += placed
        chains = settled.stable_node_chains
    else:
        saved, frames = _of_sample(pages, rules, share, count)
        items, shared, chains = count, Interval(0, min(saved.low, count)), 0
    saved = Interval(saved.low + placed, saved.high + placed)
    keeps = partial(host.kernel.bookkeeping_bytes, items)
    size = host.kernel.page_size_bytes
    net = Interval(
        saved.low * size - keeps(round(shared.high), chains),
        saved.high * size - keeps(round(shared.low), chains),
    )
    pace = pace_of(items, host.tunables, host.cost)
    return Forecast(
        rules=rules,
        pages=items,
        saved=saved,
        freed=frames,
        gauges=gauges,
        net_bytes=net,
        passes=passes_until_settled(pages),
        pace=pace,
        verdict=_verdict(items, saved, net, pace, host),
    )


GAUGES = (
    *("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile", "ksm_zero_pages"),
    *("stable_node_chains", "rmap_items"),
)
"""What is foretold of whole reads, as in `Settled`."""


def passes_until_settled(pages: Pages) -> int:
    """Passes that ksmd needs: one to see each page's checksum, one to merge what is as it was.

    One more where pages are a fork's: of those the unstable tree holds one, and the others find the
    KSM page only once there is one.
    """
    return 3 if bool(pages.has(Bit.FORKED).any()) else 2


def _of_sample(
    pages: Pages, rules: Rules, share: float, present: int
) -> tuple[Interval, Interval | None]:
    """Pages saved and frames freed of all, from those of a sample of frames.

    Whether a frame's pages merge is known of those whose content has two frames in the sample, or
    is a KSM page; of the others it may be so or not: what several pages of one frame add to the
    kernel's count lies between.
    """
    found = contents(pages, rules)
    zeroed = zero_pages(pages, rules)
    left = partial(_left, limit=rules.max_page_sharing)
    steady = int(found.frames.sum())
    population = _scaled(steady, share, present)
    rest = left_interval(found.frames, share, population, left)
    of_zeroes = _scaled(_frames(pages, zeroed), share, present)
    freed = Interval(
        max(0.0, population.low - rest.high) + of_zeroes.low,
        max(0.0, population.high - rest.low) + of_zeroes.high,
    )
    more = found.pages - found.frames
    sure, perhaps = int(more[found.merging].sum()), int(more.sum())
    twice = int(np.count_nonzero(zeroed)) - _frames(pages, zeroed)
    saved = Interval(
        freed.low + _scaled(sure + twice, share, present).low,
        min(freed.high + _scaled(perhaps + twice, share, present).high, float(present)),
    )
    return saved, freed if bool(pages.frame.all()) else None


def _left(sizes: Floats, limit: int) -> Floats:
    nodes, alone = stable_nodes(np.floor(sizes).astype(np.int64), limit)
    found: Floats = np.maximum(nodes + alone, 1).astype(np.float64)
    return found


def _frames(pages: Pages, chosen: Mask) -> int:
    frames = pages.frame[chosen]
    return len(np.unique(frames[frames != 0])) + int(np.count_nonzero(frames == 0))


def _scaled(count: int, share: float, most: int) -> Interval:
    """How many there are, of which so many are in the sample."""
    spread = _Z_POPULATION * np.sqrt(max(count, 1) * (1 - share)) / share
    low, high = count / share - spread, count / share + spread
    return Interval(max(float(count), low), min(float(most), high))


def _verdict(items: int, saved: Interval, net: Interval, pace: Pace, host: Host) -> Verdict:
    """What both ends of the interval say; not known where they differ."""
    size = host.kernel.page_size_bytes
    ends = [
        judge(
            Facts(
                run="1",
                active=True,
                rmap_items=items,
                saved_bytes=round(pages * size),
                net_saved_bytes=round(of_net),
                cost_cores=pace.cores,
                settled=True,
                change_ratio=0.0,
                core_worth_bytes=host.core_worth_bytes,
            )
        )
        for pages, of_net in ((saved.low, net.low), (saved.high, net.high))
    ]
    if ends[0].answer is ends[1].answer:
        return ends[0]
    between = f"between {ends[0].answer.value} and {ends[1].answer.value}"
    return Verdict(
        Answer.NOT_KNOWN,
        (f"by this sample it is {between}",),
        "Read more: give a larger --budget, or none.",
    )
