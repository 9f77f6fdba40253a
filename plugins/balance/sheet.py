"""The balance sheet of KSM: what each process saves, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ksmtrace.events.kinds import EventKind, Gauge, ProcessGauge
from ksmtrace.model.accounts import COUNTS, EXAMINED, Account, Accounts
from ksmtrace.model.gauges_now import gauges_now
from ksmtrace.model.processes import Process
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.model.shares import Attribution, attribution_of, shares_of
from ksmtrace.plugins.balance.rows import Row, Rows
from ksmtrace.session import Knowledge, Session

_KERNELS = (
    ("zero_pages", ProcessGauge.KSM_ZERO_PAGES),
    ("kernel_merging_pages", ProcessGauge.KSM_MERGING_PAGES),
    ("kernel_profit_bytes", ProcessGauge.KSM_PROCESS_PROFIT),
)


@dataclass(frozen=True, slots=True)
class Sheet:
    """The sheet at one moment.

    Attributes:
        processes: alive, in the order of their mms; `rows` has a row for each.
        exited: one row for all that have exited, with pages that ksmd has not yet come to free.
        attribution: how far shares are to be believed; None where merges are not seen.
    """

    processes: Sequence[Process]
    rows: Rows
    exited: Rows
    attribution: Attribution | None

    @property
    def saved_bytes(self) -> int:
        """The sum of all shares."""
        return int(sum(rows.column("saved_bytes").sum() for rows in (self.rows, self.exited)))


def make_sheet(session: Session, reconstruction: Reconstruction, accounts: Accounts) -> Sheet:
    """The sheet as things stand."""
    opened = {process.number: account for process, account in accounts.alive()}
    living = [p for p in reconstruction.processes.known() if not p.exited]
    living.sort(key=lambda process: process.mm)
    # limited to some processes, ksmd's time for the others would be put down to these
    none, timed = Account(None), accounts.ksmd.wall_ns > 0 and not session.only_pids
    kept = [opened.get(process.number, none) for process in living]
    known = {"timed": timed, "copies_timed": accounts.timed}
    rows = _happened(session, kept, **known)
    exited = _happened(session, [accounts.exited], **known)
    for name, gauge in _KERNELS:
        read = [process.gauges.get(gauge) for process in living]
        where = [index for index, value in enumerate(read) if value is not None]
        rows.put(name, [value for value in read if value is not None], where)
    attribution = attribution_of(session, reconstruction)
    if attribution is not None:
        _share(session, reconstruction, living, rows, exited)
    if attribution is Attribution.EXACT:
        for some in (rows, exited):
            _put_net(session, some)
    return Sheet(living, rows, exited, attribution)


def guest_of(process: Process) -> str:
    """Whose memory it is: the guest that the process runs, else its cgroup, else the process.

    A process in the root cgroup counts as in none.
    """
    cgroup = process.cgroup if process.cgroup != "/" else ""
    return process.vm or cgroup or process.label


def total_of(
    session: Session,
    reconstruction: Reconstruction,
    accounts: Accounts,
    counters: Mapping[Gauge, int],
    sheet: Sheet,
) -> Row:
    """The whole: what the reconstruction knows exactly, else the kernel's own counters.

    Where rmap_items do not tell the bookkeeping, general_profit does.

    `counters` are the last that were read; RMAP_ITEMS among them.
    """
    timed = accounts.ksmd.wall_ns > 0
    total = _happened(session, [accounts.total], timed=timed, copies_timed=accounts.timed)
    for name, _ in _KERNELS:
        if sheet.rows.known_of(name).any():
            total.put(name, sheet.rows.column(name).sum())
    if Gauge.KSM_ZERO_PAGES in counters:
        total.put("zero_pages", counters[Gauge.KSM_ZERO_PAGES])
    if accounts.ksmd.wall_ns:
        total.put("ksmd_cpu_ns", accounts.ksmd.cpu_ns)
    known = gauges_now(session, reconstruction, counters)
    items = counters.get(Gauge.RMAP_ITEMS)
    if sheet.attribution is Attribution.EXACT:
        items = len(reconstruction.items)
    shared, sharing = known[Gauge.PAGES_SHARED], known[Gauge.PAGES_SHARING]
    if items is not None:
        total.put("rmap_items", items)
    if shared is not None and sharing is not None:
        total.put("saved_bytes", sharing * session.kernel.page_size_bytes)
        total.put("merged_pages", shared + sharing)
        if items is not None and session.knows(Knowledge.METADATA):
            chains = counters.get(Gauge.STABLE_NODE_CHAINS, 0)
            total.put("metadata_bytes", session.kernel.bookkeeping_bytes(items, shared, chains))
            _put_net(session, total)
    profit = counters.get(Gauge.GENERAL_PROFIT)
    if profit is not None and not session.knows(Knowledge.RMAP_ITEMS):
        pages = counters.get(Gauge.PAGES_SHARING, 0) + counters.get(Gauge.KSM_ZERO_PAGES, 0)
        total.put("metadata_bytes", pages * session.kernel.page_size_bytes - profit)
        total.put("net_saved_bytes", profit)
    return total.row(0)


def _happened(
    session: Session, accounts: Sequence[Account], *, timed: bool, copies_timed: bool
) -> Rows:
    """What was counted of events, a row for each account; what is not seen stays unknown."""
    rows = Rows(len(accounts))
    counts = np.array([account.counts for account in accounts]).reshape(-1, len(COUNTS))
    break_ns = np.array([account.break_ns for account in accounts]).reshape(-1, 2)
    by_name = dict(zip(COUNTS, counts.T, strict=True))
    if session.sees(EventKind.CMP_AND_MERGE_PAGE):
        rows.put("examined_pages", sum(by_name[name] for name in EXAMINED))
        if timed:
            rows.put("ksmd_cpu_ns", [account.ksmd_ns for account in accounts])
    for kind, name, column in (
        (EventKind.REPLACE_PAGE, "zero_pages_placed", "zero_page"),
        (EventKind.SKIPPED, "skipped_pages", "passed_over"),
        (EventKind.STABLE_APPEND, "joined_pages", "joined"),
        (Knowledge.WRITES, "user_break_pages", "user_break"),
    ):
        if session.knows(kind):
            rows.put(name, by_name[column])
    if session.sees_who_broke:
        rows.put("kernel_break_pages", by_name["kernel_break"])
    if session.timed and copies_timed and session.knows(Knowledge.WRITES):
        rows.put("user_break_ns", break_ns[:, 0])
        if session.sees_who_broke:
            rows.put("kernel_break_ns", break_ns[:, 1])
    return rows


def _share(
    session: Session,
    reconstruction: Reconstruction,
    living: Sequence[Process],
    rows: Rows,
    exited: Rows,
) -> None:
    """Put the shares into the rows; those of processes that are not living have exited.

    Without examinations only merged pages are met, and rmap_items are not known.
    """
    shares = shares_of(reconstruction)
    place = {process.number: index for index, process in enumerate(living)}
    where = np.array([place.get(one, -1) for one in shares.number.tolist()], dtype=np.int64)
    figures = {"saved_bytes": shares.saved_bytes, "merged_pages": shares.merged_pages}
    if session.sees(EventKind.CMP_AND_MERGE_PAGE):
        figures["rmap_items"] = shares.rmap_items
    if "rmap_items" in figures and session.knows(Knowledge.METADATA):
        of_items = shares.rmap_items * session.kernel.rmap_item_size_bytes
        figures["metadata_bytes"] = of_items + shares.node_bytes
    for name, values in figures.items():
        rows.put(name, 0)
        rows.put(name, values[where >= 0], where[where >= 0])
        exited.put(name, values[where < 0].sum())


def _put_net(session: Session, rows: Rows) -> None:
    if not session.knows(Knowledge.METADATA):
        return
    zero_bytes = rows.column("zero_pages") * session.kernel.page_size_bytes
    rows.put(
        "net_saved_bytes",
        rows.column("saved_bytes") + zero_bytes - rows.column("metadata_bytes"),
    )
