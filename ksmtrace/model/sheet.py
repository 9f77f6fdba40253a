"""The balance sheet of KSM: what each process, cgroup and guest saves, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum

from ksmtrace.events.kinds import EventKind, Gauge, ProcessGauge
from ksmtrace.model.accounts import Account, Accounts
from ksmtrace.model.processes import Process
from ksmtrace.model.reconstruction import PAGE_GAUGES, Reconstruction
from ksmtrace.model.shares import share_out
from ksmtrace.session import Session

STABLE_NODE_BYTES = 64
"""sizeof(struct ksm_stable_node), on every kernel so far."""


class Attribution(StrEnum):
    """How far the shares of processes can be believed."""

    EXACT = "exact"
    AT_LEAST = "at least"
    AT_MOST = "at most"


@dataclass(slots=True)
class Row:
    """Figures of one process or of several; None where not known. Rows add up; what is known of some stands for all.

    Attributes:
        saved_bytes, merged_pages, rmap_items: as `Shares` has them, now.
        metadata_bytes: rmap_items, and the process's part of stable nodes.
        zero_pages: KSM-placed zero pages still mapped, as the kernel counts them.
        zero_pages_placed: page table entries that ksmd pointed to the zero page in this run; some may be gone again.
        net_saved_bytes: saved_bytes and zero_pages, less metadata_bytes.
        kernel_merging_pages, kernel_profit_bytes: the kernel's own ksm_merging_pages and ksm_process_profit.
        examined_pages, skipped_pages, joined_pages: CMP_AND_MERGE_PAGE, SKIPPED, STABLE_APPEND.
        ksmd_cpu_ns: part of ksmd's time.
        user_break_pages, user_break_ns, kernel_break_pages, kernel_break_ns: COW faults by the process and by the kernel.
    """

    saved_bytes: int | None = None
    merged_pages: int | None = None
    rmap_items: int | None = None
    metadata_bytes: int | None = None
    zero_pages: int | None = None
    zero_pages_placed: int | None = None
    net_saved_bytes: int | None = None
    kernel_merging_pages: int | None = None
    kernel_profit_bytes: int | None = None
    examined_pages: int | None = None
    skipped_pages: int | None = None
    joined_pages: int | None = None
    ksmd_cpu_ns: int | None = None
    user_break_pages: int | None = None
    user_break_ns: int | None = None
    kernel_break_pages: int | None = None
    kernel_break_ns: int | None = None

    def add(self, other: Row) -> None:
        """Add another row's figures."""
        for name in _NAMES:
            ours, theirs = getattr(self, name), getattr(other, name)
            if theirs is not None:
                setattr(self, name, theirs + (ours or 0))

    def to_json(self) -> dict[str, float | None]:
        """By name; times in seconds."""
        shown: dict[str, float | None] = {}
        for name in _NAMES:
            value = getattr(self, name)
            if name.endswith("_ns"):
                shown[f"{name[:-3]}_seconds"] = None if value is None else value / 1e9
            else:
                shown[name] = value
        return shown


_NAMES = tuple(entry.name for entry in fields(Row))


@dataclass(frozen=True, slots=True)
class Sheet:
    """The sheet at one moment.

    Attributes:
        rows: processes alive, in the order of their mms.
        exited: all that have exited, with pages that ksmd has not yet come to free.
        attribution: how far shares are to be believed; None where merges are not seen.
    """

    rows: list[tuple[Process, Row]]
    exited: Row
    attribution: Attribution | None


def make_sheet(session: Session, reconstruction: Reconstruction, accounts: Accounts) -> Sheet:
    """The sheet as things stand."""
    living = [p for p in reconstruction.processes.known() if not p.exited]
    living.sort(key=lambda process: process.mm)
    kept = dict.fromkeys((process.number for process in living), Account(None))
    kept |= {process.number: account for process, account in accounts.alive()}
    rows = {n: _happened(session, account, accounts) for n, account in kept.items()}
    exited = _happened(session, accounts.exited, accounts)
    for process in living:
        rows[process.number].add(_kernels(process))
    attribution = attribution_of(session, reconstruction)
    if attribution is not None:
        _share(session, reconstruction, rows, exited)
    if attribution is Attribution.EXACT:
        for row in (*rows.values(), exited):
            row.net_saved_bytes = net_bytes(session, row)
    return Sheet([(p, rows[p.number]) for p in living], exited, attribution)


def attribution_of(session: Session, reconstruction: Reconstruction) -> Attribution | None:
    """Whether shares are exact: without removals they may be too high, before all is known too low."""
    if not session.sees(EventKind.STABLE_APPEND):
        return None
    if not session.sees(EventKind.REMOVE_RMAP_ITEM):
        return Attribution.AT_MOST
    if not session.sees(EventKind.CMP_AND_MERGE_PAGE) or not reconstruction.complete:
        return Attribution.AT_LEAST
    return Attribution.EXACT


def net_bytes(session: Session, row: Row) -> int | None:
    """What the row saves, zero pages included, less metadata; None where one of both is not known."""
    if row.saved_bytes is None or row.metadata_bytes is None:
        return None
    page_bytes = session.kernel.page_size_bytes
    return row.saved_bytes + (row.zero_pages or 0) * page_bytes - row.metadata_bytes


def grouped(rows: Iterable[tuple[Process, Row]], by: Callable[[Process], str]) -> dict[str, Row]:
    """The sums of rows by what `by` says of the process, in the order in which those names come first."""
    groups: dict[str, Row] = {}
    for process, row in rows:
        groups.setdefault(by(process), Row()).add(row)
    return groups


def guest_of(process: Process) -> str:
    """Whose memory it is: the guest that the process runs, else its cgroup, else (or in the root) the process itself."""
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

    `counters` are the last that were read; RMAP_ITEMS among them.
    """
    total = _happened(session, accounts.total, accounts)
    for _, row in sheet.rows:
        total.add(Row(kernel_merging_pages=row.kernel_merging_pages))
        total.add(Row(kernel_profit_bytes=row.kernel_profit_bytes))
        total.add(Row(zero_pages=row.zero_pages))
    total.zero_pages = counters.get(Gauge.KSM_ZERO_PAGES, total.zero_pages)
    if accounts.read_ns:
        total.ksmd_cpu_ns = accounts.ksmd_ns
    known: Mapping[Gauge, int | None] = counters
    total.rmap_items = counters.get(Gauge.RMAP_ITEMS)
    if sheet.attribution is Attribution.EXACT:
        known, total.rmap_items = reconstruction.gauges(), len(reconstruction.items)
    shared, sharing = known.get(Gauge.PAGES_SHARED), known.get(Gauge.PAGES_SHARING)
    if shared is not None and sharing is not None:
        total.saved_bytes = sharing * session.kernel.page_size_bytes
        total.merged_pages = shared + sharing
        if total.rmap_items is not None:
            nodes = shared + counters.get(Gauge.STABLE_NODE_CHAINS, 0)
            of_items = total.rmap_items * session.kernel.rmap_item_size_bytes
            total.metadata_bytes = of_items + nodes * STABLE_NODE_BYTES
    total.net_saved_bytes = net_bytes(session, total)
    return total


def rmap_items_read(values: Mapping[Gauge, int]) -> int | None:
    """rmap_items by one reading: the kernel's own number, else the sum of the four page gauges, which is the same."""
    if Gauge.RMAP_ITEMS in values:
        return values[Gauge.RMAP_ITEMS]
    if all(gauge in values for gauge in PAGE_GAUGES):
        return sum(values[gauge] for gauge in PAGE_GAUGES)
    return None


def _happened(session: Session, account: Account, accounts: Accounts) -> Row:
    """What was counted of the run's events; columns that this run does not see are None."""

    def seen(kind: EventKind, value: int) -> int | None:
        return value if session.sees(kind) else None

    timed = session.kernel.machine != "engine"  # whose times only show the order
    breaks = EventKind.COW_FAULT
    by_user, by_kernel = (seen(breaks, ns) if timed else None for ns in account.break_ns.tolist())
    return Row(
        zero_pages_placed=seen(EventKind.REPLACE_PAGE, account.count("zero_page")),
        examined_pages=seen(EventKind.CMP_AND_MERGE_PAGE, account.examined),
        skipped_pages=seen(EventKind.SKIPPED, account.count("passed_over")),
        joined_pages=seen(EventKind.STABLE_APPEND, account.count("joined")),
        ksmd_cpu_ns=seen(EventKind.CMP_AND_MERGE_PAGE, account.ksmd_ns)
        if accounts.read_ns
        else None,
        user_break_pages=seen(breaks, account.count("user_break")),
        user_break_ns=by_user,
        kernel_break_pages=seen(breaks, account.count("kernel_break")),
        kernel_break_ns=by_kernel,
    )


def _kernels(process: Process) -> Row:
    """What the kernel counts for the process."""
    read = process.gauges
    return Row(
        zero_pages=read.get(ProcessGauge.KSM_ZERO_PAGES),
        kernel_merging_pages=read.get(ProcessGauge.KSM_MERGING_PAGES),
        kernel_profit_bytes=read.get(ProcessGauge.KSM_PROCESS_PROFIT),
    )


def _share(
    session: Session, reconstruction: Reconstruction, rows: Mapping[int, Row], exited: Row
) -> None:
    """Put the shares into the rows; those of processes that are not among them have exited."""
    shares = share_out(reconstruction, session.kernel.page_size_bytes, STABLE_NODE_BYTES)
    items_seen = session.sees(EventKind.CMP_AND_MERGE_PAGE)
    item_bytes = session.kernel.rmap_item_size_bytes
    for row in (*rows.values(), exited):
        row.add(_shared_row(0, 0, 0, 0, items_seen=items_seen, item_bytes=item_bytes))
    for number, *figures in zip(
        shares.number.tolist(),
        shares.saved_bytes.tolist(),
        shares.merged_pages.tolist(),
        shares.rmap_items.tolist(),
        shares.node_bytes.tolist(),
        strict=True,
    ):
        part = _shared_row(*figures, items_seen=items_seen, item_bytes=item_bytes)
        rows.get(number, exited).add(part)


def _shared_row(
    saved: int, merged: int, items: int, nodes: int, *, items_seen: bool, item_bytes: int
) -> Row:
    """Without examinations only merged pages are met, and rmap_items are not known."""
    return Row(
        saved_bytes=saved,
        merged_pages=merged,
        rmap_items=items if items_seen else None,
        metadata_bytes=items * item_bytes + nodes if items_seen else None,
    )
