"""Accounts of the groups that have series of their own, and of all others together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from ksmtrace.events.kinds import EventKind
from ksmtrace.model.accounts import Account, Accounts
from ksmtrace.model.processes import Process, ProcessTable
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.plugins.groups.group import Group, group_of

HOLD_NS = 120 * 10**9
"""A group is not evicted so soon after its admission, nor so soon after its last process."""

RANK_NS = 10 * 10**9
"""Least time between two weighings of groups."""

LEAD = 1.25
"""A group takes the place of the least when it weighs so many times as much."""

_MEETS = (EventKind.PROCESS, EventKind.PROCESS_TEXT, EventKind.MM_ENTER, EventKind.MM_EXIT)

Weights = Counter[Group | None]
"""Bytes by group."""


@dataclass(slots=True)
class Tracked:
    """A group that has series of its own.

    Attributes:
        admitted_ns: since when; CLOCK_MONOTONIC.
        gone_ns: when it was first found without a process; None while it has one.
        account: what was counted since its admission.
    """

    admitted_ns: int
    gone_ns: int | None = None
    account: Account = field(default_factory=lambda: Account(None))


class GroupAccounts(Accounts):
    """Accounts of at most `most` groups; `exited` is the account of all others, exited or not.

    Which groups are tracked is decided at readings of the kernel's counters and by their time: how
    the stream is cut, and who asks when, changes nothing. What happens to a process before the
    first reading that finds it counts as other.

    A free place goes to the group that weighs most: by the bytes that it saves and those that KSM
    keeps for it, so that one that only costs is seen too. A group is evicted `HOLD_NS` after its
    admission at the earliest: in favour of one that weighs more than `LEAD` times as much, of any
    once it has no process, and in any case `HOLD_NS` after its last process. So two groups of about
    the same weight do not take turns, a place changes hands at most once in `HOLD_NS`, and the last
    figures of a group are scraped. Weights count only while the reconstruction is complete. What an
    evicted group counted goes to the others: sums hold, no series falls, and a group that comes
    back counts from 0.

    Attributes:
        tracked: the groups that have series.
        evicted: how many lost theirs so far.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.tracked: dict[Group, Tracked] = {}
        self.evicted = 0
        self._groups: dict[int, Group] = {}  # by Process.number, as of the last reading
        self._met = False
        self._now_ns = 0
        self._ranked_ns: int | None = None

    def tracked_group(self, number: int) -> Group | None:
        """The group to which a `Process.number` counts; None for the others."""
        group = self._groups.get(number)
        return group if group in self.tracked else None

    def account_of(self, process: Process) -> Account:
        """The account of the process's group as of the last reading."""
        group = self.tracked_group(process.number)
        return self.exited if group is None else self.tracked[group].account

    def every(self) -> list[Account]:
        """All accounts."""
        return [*(one.account for one in self.tracked.values()), self.exited]

    def other(self) -> Account:
        """What was counted for no tracked group, events without an mm and ksmd's spare time too."""
        left = Account(None, self.total.counts.copy(), self.total.break_ns.copy(), self.ksmd.cpu_ns)
        for one in self.tracked.values():
            left.counts -= one.account.counts
            left.break_ns -= one.account.break_ns
            left.ksmd_ns -= one.account.ksmd_ns
        return left

    def apply(self, reconstruction: Reconstruction) -> None:
        """Count the events of the last batch that `reconstruction` has followed."""
        super().apply(reconstruction)
        self._met = self._met or any(map(reconstruction.batch.count, _MEETS))

    def decide(
        self, ns: int, reconstruction: Reconstruction, weigh: Callable[[], dict[int, int]]
    ) -> None:
        """Choose the groups that are tracked from a reading on.

        Args:
            ns: CLOCK_MONOTONIC of the reading.
            reconstruction: the state at it.
            weigh: returns bytes by `Process.number`; called only when groups compete.
        """
        self._now_ns = max(self._now_ns, ns)
        if self._met:
            self._meet(reconstruction.processes)
        for group in [g for g, one in self.tracked.items() if self._since(one.gone_ns) >= HOLD_NS]:
            self._evict(group)
        waiting = sorted(set(self._groups.values()) - self.tracked.keys())
        free = self.most - len(self.tracked)
        if len(waiting) > free:
            old = [g for g, one in self.tracked.items() if self._since(one.admitted_ns) >= HOLD_NS]
            if not free and not (old and self._since(self._ranked_ns, RANK_NS) >= RANK_NS):
                return
            self._ranked_ns = self._now_ns
            weights = self._weights(weigh())
            waiting.sort(key=lambda group: -weights[group])
            self._replace(waiting[free:], old, weights, believed=reconstruction.complete)
        for group in waiting[: max(0, free)]:
            self.tracked[group] = Tracked(self._now_ns)

    def _since(self, ns: int | None, never: int = 0) -> int:
        return never if ns is None else self._now_ns - ns

    def _meet(self, processes: ProcessTable) -> None:
        self._met = False
        found: dict[int, Group] = {}
        for process in processes.known():
            group = self._groups.get(process.number)
            if group is None or (group.cgroup, group.vm) != (process.cgroup, process.vm):
                group = group_of(process)
            if group is not None and not process.exited:
                found[process.number] = group
        self._groups = found
        alive = set(self._groups.values())
        for group, one in self.tracked.items():
            if group in alive:
                one.gone_ns = None
            elif one.gone_ns is None:
                one.gone_ns = self._now_ns

    def _weights(self, by_process: dict[int, int]) -> Weights:
        weights: Weights = Counter()
        for number, weight in by_process.items():
            weights[self._groups.get(number)] += weight
        return weights

    def _replace(
        self, waiting: list[Group], old: list[Group], weights: Weights, *, believed: bool
    ) -> None:
        """Evict the least of `old` for the heaviest of `waiting`, while there is cause."""
        by_need = sorted(old, key=lambda g: (self.tracked[g].gone_ns is None, weights[g], g))
        for heavy, least in zip(waiting, by_need, strict=False):
            outweighed = believed and weights[heavy] > LEAD * weights[least]
            if self.tracked[least].gone_ns is None and not outweighed:
                return
            self._evict(least)
            self.tracked[heavy] = Tracked(self._now_ns)

    def _evict(self, group: Group) -> None:
        self.exited.add(self.tracked.pop(group).account)
        self.evicted += 1
