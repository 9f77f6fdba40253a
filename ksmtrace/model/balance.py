"""The balance sheet at one moment, with what follows from it, and the lists that the JSON document has of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from ksmtrace.events.kinds import Gauge
from ksmtrace.model.accounts import Accounts
from ksmtrace.model.processes import Process
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.model.settling import Settling
from ksmtrace.model.sheet import Row, Sheet, grouped, guest_of, make_sheet, total_of
from ksmtrace.model.verdict import Facts, Verdict, judge, size
from ksmtrace.session import Session

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
        rows = (self.sheet.exited, *(row for _, row in self.sheet.rows))
        return self.total.saved_bytes - (total_row(rows).saved_bytes or 0)

    @property
    def profits(self) -> tuple[int | None, str | None]:
        """By how much the kernel's profits of processes exceed its profit of all, and that in words."""
        profits, general_profit = self.total.kernel_profit_bytes, self.general_profit
        if profits is None or general_profit is None:
            return None, None
        excess = profits - general_profit
        more = f"{size(abs(excess))} {'more' if excess >= 0 else 'less'}"
        if general_profit > 0:
            more += f" ({abs(excess) / general_profit:.0%})"
        return excess, (
            f"the kernel's profits of processes add up to {size(profits)}, {more} than its general_profit: "
            "it credits every sharer with a whole page, and the page that is kept with it"
        )


def make_balance(
    session: Session,
    reconstruction: Reconstruction,
    accounts: Accounts,
    settling: Settling,
    counters: Mapping[Gauge, int],
    *,
    active: bool,
) -> Balance:
    """The balance as things stand.

    `counters` are the kernel's, as last read; `active` says whether ksmd did anything in this run.
    """
    sheet = make_sheet(session, reconstruction, accounts)
    total = total_of(session, reconstruction, accounts, counters, sheet)
    saved, ksmd = total.saved_bytes, total.ksmd_cpu_ns
    if saved is not None:
        saved += (total.zero_pages or 0) * session.kernel.page_size_bytes
    spent = None if ksmd is None else ksmd + (total.user_break_ns or 0)
    facts = Facts(
        run=session.tunables.get("run"),
        active=active,
        rmap_items=total.rmap_items,
        saved_bytes=saved,
        net_saved_bytes=total.net_saved_bytes,
        cost_cores=None if spent is None else spent / accounts.read_ns,
        settled=settling.settled,
        change_ratio=settling.change_ratio,
    )
    cores = None if ksmd is None else ksmd / accounts.read_ns
    return Balance(sheet, total, facts, cores, counters.get(Gauge.GENERAL_PROFIT))


def lists(sheet: Sheet) -> dict[str, object]:
    """The lists of the JSON document, and what is not in them."""
    lists: dict[str, object] = {}
    by_saved = sorted(sheet.rows, key=lambda entry: _rank(entry[1]))
    by_breaks = sorted(sheet.rows, key=lambda entry: -(entry[1].user_break_pages or 0))
    lists["processes"] = [_named(*entry) for entry in by_saved[:TOP]]
    lists["other_processes"] = _rest(row for _, row in by_saved[TOP:])
    lists["breaking"] = [_named(p, row) for p, row in by_breaks[:TOP] if row.user_break_pages]
    for key, by in (("cgroup", lambda process: process.cgroup), ("vm", guest_of)):
        order = ranked(grouped(sheet.rows, by))
        lists[f"{key}s"] = [{key: name or None, **row.to_json()} for name, row in order[:TOP]]
        lists[f"other_{key}s"] = _rest(row for _, row in order[TOP:])
    return lists


def _named(process: Process, row: Row) -> dict[str, object]:
    return {
        "pid": process.pid,
        "comm": process.comm or None,
        "mm": f"{process.mm:#x}",
        "cgroup": process.cgroup or None,
        "vm": process.vm or None,
        **row.to_json(),
    }


def _rest(rows: Iterable[Row]) -> dict[str, float | None] | None:
    """The sum of rows, None where there are none."""
    left = list(rows)
    return total_row(left).to_json() if left else None


def total_row(rows: Iterable[Row]) -> Row:
    """The sum of rows."""
    total = Row()
    for row in rows:
        total.add(row)
    return total


def ranked(rows: Mapping[str, Row]) -> list[tuple[str, Row]]:
    """Those that save most first, of those that save the same the most examined; ties by name."""
    return sorted(rows.items(), key=lambda entry: (_rank(entry[1]), entry[0]))


def _rank(row: Row) -> tuple[int, int]:
    return -(row.saved_bytes or 0), -(row.examined_pages or 0)
