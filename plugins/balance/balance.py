"""The balance at one moment: the sheet, the verdict that follows from it, and rankings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ksmtrace.events.kinds import Gauge
from ksmtrace.model.accounts import Accounts
from ksmtrace.model.processes import Process
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.model.settling import Settling
from ksmtrace.model.verdict import CORE_WORTH_BYTES, Facts, Verdict, judge
from ksmtrace.plugins.balance.rows import Row
from ksmtrace.plugins.balance.sheet import Sheet, guest_of, make_sheet, total_of
from ksmtrace.session import Session
from ksmtrace.units import size

TOP = 10
"""Rows of each list; the rest is summed up."""


@dataclass(frozen=True)
class Balance:
    """What was derived.

    Attributes:
        ksmd_cores: ksmd's CPU time by the time in which it was read, or None.
        general_profit: the kernel's own, bytes, as last read, or None.
    """

    sheet: Sheet
    total: Row
    facts: Facts
    ksmd_cores: float | None
    general_profit: int | None

    @cached_property
    def verdict(self) -> Verdict:
        """Whether KSM is worth it."""
        return judge(self.facts)

    @property
    def unattributed_bytes(self) -> int | None:
        """What is saved and in no process's row."""
        if self.sheet.attribution is None or self.total.saved_bytes is None:
            return None
        return self.total.saved_bytes - self.sheet.saved_bytes

    @property
    def profits(self) -> tuple[int | None, str | None]:
        """The excess of the sum of ksm_process_profit over general_profit, bytes, and in words."""
        profits, general_profit = self.total.kernel_profit_bytes, self.general_profit
        if profits is None or general_profit is None:
            return None, None
        excess = profits - general_profit
        more = f"{size(abs(excess))} {'more' if excess >= 0 else 'less'}"
        if general_profit > 0:
            more += f" ({abs(excess) / general_profit:.0%})"
        return excess, (
            f"the kernel's profits of processes add up to {size(profits)}, {more} than its "
            "general_profit: it credits every sharer with a whole page, and the page that is kept "
            "with it"
        )

    @cached_property
    def by_guest(self) -> Ranking:
        """By guest, else cgroup, else process."""
        return ranking(self.sheet, guest_of)

    @cached_property
    def by_cgroup(self) -> Ranking:
        """By cgroup, "" where not known."""
        return ranking(self.sheet, lambda process: process.cgroup)

    @cached_property
    def by_process(self) -> Ranking:
        """By process, named by label."""
        order = self.sheet.rows.ranked()
        names = [self.sheet.processes[at].label for at in order[:TOP].tolist()]
        listed = [self.sheet.rows.row(at) for at in order[:TOP].tolist()]
        rest = self.sheet.rows.total(order[TOP:]) if len(order) > TOP else None
        return Ranking(list(zip(names, listed, strict=True)), rest, max(0, len(order) - TOP))


@dataclass(frozen=True, slots=True)
class Ranking:
    """The `TOP` that save most.

    Attributes:
        listed: their names and figures.
        rest: the sum of all others; None without any.
        others: how many those are.
    """

    listed: list[tuple[str, Row]]
    rest: Row | None
    others: int


def make_balance(
    session: Session,
    reconstruction: Reconstruction,
    accounts: Accounts,
    settling: Settling,
    counters: Mapping[Gauge, int],
    *,
    active: bool,
    core_worth_bytes: int = CORE_WORTH_BYTES,
) -> Balance:
    """The balance as things stand.

    `counters` are the kernel's, as last read; `active` says whether ksmd did anything in this run;
    `core_worth_bytes` is memory.
    """
    sheet = make_sheet(session, reconstruction, accounts)
    total = total_of(session, reconstruction, accounts, counters, sheet)
    saved, ksmd = total.saved_bytes, total.ksmd_cpu_ns
    if saved is not None or total.net_saved_bytes is not None:
        saved = (saved or 0) + (total.zero_pages or 0) * session.kernel.page_size_bytes
    spent = None if ksmd is None else ksmd + (total.user_break_ns or 0)
    facts = Facts(
        run=reconstruction.tunables.get("run"),
        active=active,
        rmap_items=total.rmap_items,
        saved_bytes=saved,
        net_saved_bytes=total.net_saved_bytes,
        cost_cores=None if spent is None else spent / accounts.ksmd.wall_ns,
        settled=settling.settled,
        change_ratio=settling.change_ratio,
        gauge=settling.gauge.name.lower(),
        core_worth_bytes=core_worth_bytes,
        copying_cores=copying_cores(total, accounts),
    )
    cores = None if ksmd is None else ksmd / accounts.ksmd.wall_ns
    return Balance(sheet, total, facts, cores, counters.get(Gauge.GENERAL_PROFIT))


def copying_cores(total: Row, accounts: Accounts) -> float | None:
    """CPU time of copies of written pages by the time in which ksmd's was read; None untimed."""
    if total.ksmd_cpu_ns is None or total.user_break_ns is None:
        return None
    return total.user_break_ns / accounts.ksmd.wall_ns


def ranking(sheet: Sheet, by: Callable[[Process], str]) -> Ranking:
    """The sums of rows by what `by` says of the process; ties by name."""
    labels = [by(process) for process in sheet.processes]
    names = sorted(set(labels))
    place = {name: index for index, name in enumerate(names)}
    group = np.array([place[label] for label in labels], dtype=np.int64)
    sums = sheet.rows.grouped(group, len(names))
    order = sums.ranked()
    listed = [(names[at], sums.row(at)) for at in order[:TOP].tolist()]
    rest = sums.total(order[TOP:]) if len(order) > TOP else None
    return Ranking(listed, rest, max(0, len(order) - TOP))


def lists(balance: Balance) -> dict[str, object]:
    """The lists of the JSON document, and what is not in them."""
    sheet, rest = balance.sheet, balance.by_process.rest
    by_breaks = np.argsort(-sheet.rows.column("user_break_pages"), kind="stable")[:TOP]
    broken = [at for at in by_breaks.tolist() if sheet.rows.row(at).user_break_pages]
    found: dict[str, object] = {
        "processes": [_named(sheet, at) for at in sheet.rows.ranked()[:TOP].tolist()],
        "other_processes": rest.to_json() if rest is not None else None,
        "breaking": [_named(sheet, at) for at in broken],
    }
    for key, ranks in (("cgroup", balance.by_cgroup), ("vm", balance.by_guest)):
        found[f"{key}s"] = [{key: name or None, **row.to_json()} for name, row in ranks.listed]
        found[f"other_{key}s"] = ranks.rest.to_json() if ranks.rest is not None else None
    return found


def _named(sheet: Sheet, index: int) -> dict[str, object]:
    process = sheet.processes[index]
    return {
        **process.to_json(),
        "cgroup": process.cgroup or None,
        "vm": process.vm or None,
        **sheet.rows.row(index).to_json(),
    }
