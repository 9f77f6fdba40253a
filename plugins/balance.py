"""Analyzer of costs and benefits: what each process, cgroup and guest saves, what KSM costs, and whether it is worth it."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from rich.panel import Panel
from rich.text import Text

from ksmtrace import hookimpl
from ksmtrace.events import EventBatch, Gauge
from ksmtrace.model.accounts import Accounts
from ksmtrace.model.balance import Balance, Ranking, lists, make_balance
from ksmtrace.model.readings import Reading, ReadingTracker
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.model.scan import Scan
from ksmtrace.model.settling import Settling
from ksmtrace.model.sheet import Attribution, rmap_items_read
from ksmtrace.model.timeline import Timeline
from ksmtrace.model.verdict import LEAST_GIB_PER_CORE, Answer
from ksmtrace.panel import figures_panel
from ksmtrace.section import Cell, Chart, Figure, Section, Table
from ksmtrace.session import Session
from ksmtrace.units import written

_GAUGES = (
    (
        "net_saved_bytes",
        "balance_net_bytes",
        "Memory that KSM saves, zero pages included, less its own bookkeeping. Below 0: switch it off (echo 2 > run).",
    ),
    (
        "metadata_bytes",
        "balance_metadata_bytes",
        "KSM's own bookkeeping: rmap_items and stable nodes. Near what is saved: advise less memory.",
    ),
    (
        "kernel_profit_bytes",
        "balance_process_profit_bytes",
        "Sum of ksm_process_profit. It is above general_profit by a page for each KSM page: do not add these up for billing.",
    ),
)

_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("saved", "saved_bytes", "bytes"),
    ("net", "net_saved_bytes", "bytes"),
    ("metadata", "metadata_bytes", "bytes"),
    ("zero pages", "zero_pages", "pages"),
    ("kernel's profit", "kernel_profit_bytes", "bytes"),
    ("ksmd", "ksmd_cpu_seconds", "seconds"),
    ("examined", "examined_pages", "pages"),
    ("written to", "user_break_pages", "pages"),
    ("copying", "user_break_seconds", "seconds"),
)


class Plugin:
    """The balance sheet. A page shared by n is saved n - 1 times, and each of the n is credited (n - 1) / n of it.

    JSON, each None where this run cannot know it. Rows have the keys of `ksmtrace.model.rows.Row`, times in seconds:
        saved_bytes, merged_pages, rmap_items, metadata_bytes, zero_pages, zero_pages_placed, net_saved_bytes,
        kernel_merging_pages, kernel_profit_bytes, examined_pages, skipped_pages, joined_pages, ksmd_cpu_seconds,
        user_break_pages, user_break_seconds, kernel_break_pages, kernel_break_seconds.
        verdict: "worth it", "costs more than it saves", "not yet settled", "nothing to merge" or "KSM is off";
            thresholds are at `ksmtrace.model.verdict.judge`.
        verdict_reasons: why, a phrase each.
        attribution: how far shares of processes can be believed: "exact"; "at least" while not all of ksmd's state is
            known; "at most" where removals are not seen.
        total: a row. unattributed_saved_bytes: what of its saved_bytes is in no row; 0 when exact,
            below 0 where shares are too high.
        general_profit_bytes: the kernel's own, as last read.
        process_profit_excess_bytes: by how much the processes' kernel_profit_bytes exceed it; process_profit_said: in words.
        ksmd_cores: ksmd's CPU time by the time in which it was read. gib_saved_per_core: GiB that sharing and zero pages save,
            for each core of ksmd's and of users' COW faults.
        processes: rows of the `TOP` that save most, with "pid", "comm", "mm", "cgroup" and "vm".
        breaking: the same of the `TOP` with most user_break_pages.
        cgroups, vms: rows with "cgroup" (None: not known), "vm" (the guest, else the cgroup, else the process).
        other_processes, other_cgroups, other_vms: row of those not listed, None without any. exited: row of the processes that have exited.
    """

    def __init__(self) -> None:
        self._accounts = Accounts()
        self._readings = ReadingTracker()
        self._reconstruction: Reconstruction | None = None
        self._settling = Settling()
        self._first: dict[Gauge, int] = {}
        self._counters: dict[Gauge, int] = {}
        self._over_time = Timeline("saved", "net")
        self._passes = 0
        self._balance: Balance | None = None

    @hookimpl
    def ksmtrace_batch(
        self, batch: EventBatch, reconstruction: Reconstruction, session: Session
    ) -> None:
        """Count by process; take in the kernel's counters."""
        self._reconstruction, self._balance = reconstruction, None
        self._accounts.apply(batch, reconstruction.processes)
        for reading in self._readings.apply(batch):
            self._take(reading, session)

    @hookimpl
    def ksmtrace_scan_end(
        self, scan: Scan, reconstruction: Reconstruction, session: Session
    ) -> None:
        """See whether KSM settles."""
        self._passes += 1
        self._balance = None
        self._settling.scan_ended(scan, reconstruction, session)

    @hookimpl
    def ksmtrace_analysis(self, session: Session) -> dict[str, object]:
        """The figures of the class docstring."""
        balance = self._now(session)
        excess, said = balance.profits
        per_core = balance.facts.bytes_per_core
        left = balance.unattributed_bytes
        exact = balance.sheet.attribution is Attribution.EXACT
        assert not exact or left == 0, "every saved page is credited, and once"
        return {
            "verdict": balance.verdict.answer.value,
            "verdict_reasons": list(balance.verdict.reasons),
            "attribution": balance.sheet.attribution,
            "total": balance.total.to_json(),
            "unattributed_saved_bytes": left,
            "general_profit_bytes": balance.general_profit,
            "process_profit_excess_bytes": excess,
            "process_profit_said": said,
            "ksmd_cores": balance.ksmd_cores,
            "gib_saved_per_core": None if per_core is None else per_core / 2**30,
            **lists(balance),
            "exited": balance.sheet.exited.row(0).to_json(),
        }

    @hookimpl
    def ksmtrace_metrics(self, session: Session) -> Iterable[Metric]:
        """Totals of what this run can see; figures of processes are in the JSON document alone."""
        return _metrics(self._now(session))

    @hookimpl
    def ksmtrace_panels(self, session: Session) -> Iterable[Panel]:
        """The figures behind the verdict and the guests that save most, usable 26 columns wide."""
        return [_panel(self._now(session))]

    @hookimpl
    def ksmtrace_sections(self, session: Session) -> Iterable[Section]:
        """The balance sheet."""
        return [_section(self._now(session), self._over_time)]

    def _take(self, reading: Reading, session: Session) -> None:
        self._accounts.read(reading)
        self._settling.read(reading, session)
        self._first = self._first or dict(reading.values)
        self._counters.update(reading.values)
        items = rmap_items_read(reading.values)
        sharing = reading.values.get(Gauge.PAGES_SHARING)
        if items is not None and sharing is not None:
            self._counters[Gauge.RMAP_ITEMS] = items
            pages = sharing + self._counters.get(Gauge.KSM_ZERO_PAGES, 0)
            saved = pages * session.kernel.page_size_bytes
            net = saved - items * session.kernel.rmap_item_size_bytes
            self._over_time.add(max(0, reading.ns - session.monotonic_ns) / 1e9, saved, net)

    def _now(self, session: Session) -> Balance:
        """The balance, made once for all that is asked between two batches."""
        if self._balance is None:
            self._balance = make_balance(
                session,
                self._reconstruction or Reconstruction(session),
                self._accounts,
                self._settling,
                self._counters,
                active=self._active(),
            )
        return self._balance

    def _active(self) -> bool:
        """Whether ksmd did anything in this run, by events or by its own counters."""
        advanced = any(
            self._counters[gauge] != self._first[gauge]
            for gauge in (Gauge.PAGES_SCANNED, Gauge.FULL_SCANS)
            if gauge in self._first
        )
        return bool(self._passes or self._accounts.total.examined or advanced)


def _metrics(balance: Balance) -> Iterable[Metric]:
    """Totals of what this run can see."""
    figures = balance.total.to_json()
    for key, name, help_text in _GAUGES:
        value = figures[key]
        if value is not None:
            yield GaugeMetricFamily(f"ksmtrace_{name}", help_text, value)
    if balance.facts.bytes_per_core is not None:
        yield GaugeMetricFamily(
            "ksmtrace_balance_saved_per_core_bytes",
            "Memory saved for each core that ksmd and users' COW faults take. "
            f"Below {LEAST_GIB_PER_CORE:g} GiB for long: memory is cheaper than this, scan slower or stop.",
            balance.facts.bytes_per_core,
        )
    yield from _break_seconds(figures)
    family = GaugeMetricFamily(
        "ksmtrace_balance_verdict",
        "1 for what can be said of KSM on this host. Alert on 'costs more than it saves' for an hour.",
        labels=["verdict"],
    )
    for answer in Answer:
        family.add_metric([answer.value], int(answer is balance.verdict.answer))
    yield family


def _panel(balance: Balance) -> Panel:
    """The figures behind the verdict and the three guests that save most."""
    total, cores = balance.total, balance.ksmd_cores
    rows: list[tuple[str | Text, float | str | None]] = [
        ("saved", written(total.saved_bytes, "bytes")),
        ("net", written(total.net_saved_bytes, "bytes")),
        ("metadata", written(total.metadata_bytes, "bytes")),
        ("ksmd", None if cores is None else f"{cores:.1%}"),
        ("written to", total.user_break_pages),
    ]
    for name, row in balance.by_guest.listed[:3]:
        rows.append((Text(name, style="cyan"), written(row.saved_bytes, "bytes")))
    return figures_panel("balance", rows, "cyan")


def _section(balance: Balance, over_time: Timeline) -> Section:
    """The balance sheet."""
    total, sheet = balance.total, balance.sheet
    shares = f"shares are {sheet.attribution}" if sheet.attribution else "shares are not known"
    copies = "ksmd and copies of written pages"
    return Section(
        "Is KSM worth it?",
        balance.verdict.sentence,
        figures=[
            Figure("saved by sharing", total.saved_bytes, "bytes", note=shares),
            Figure("zero pages", total.zero_pages, "pages", "sampled"),
            Figure("bookkeeping", total.metadata_bytes, "bytes", "derived"),
            Figure("net", total.net_saved_bytes, "bytes", note=balance.profits[1] or ""),
            Figure("ksmd", _seconds(total.ksmd_cpu_ns), "seconds", "sampled"),
            Figure("saved a core", balance.facts.bytes_per_core, "bytes", "derived", copies),
            Figure("copies of written pages", total.user_break_pages, "pages"),
            Figure("time for them", _seconds(total.user_break_ns), "seconds"),
        ],
        tables=[
            _table("guests", "guest", balance.by_guest),
            _table("cgroups", "cgroup", balance.by_cgroup),
            _table("processes", "process", balance.by_process),
            _table(
                "exited", "processes", Ranking([("all that exited", sheet.exited.row(0))], None, 0)
            ),
        ],
        charts=[_chart(over_time)],
        exactness="derived: shares from merges and removals, ksmd's time by what it visited",
    )


def _break_seconds(figures: dict[str, float | None]) -> Iterable[Metric]:
    """Time in COW faults, of those sorts that are known."""
    by = {"user": figures["user_break_seconds"], "kernel": figures["kernel_break_seconds"]}
    known = {label: seconds for label, seconds in by.items() if seconds is not None}
    if known:
        family = CounterMetricFamily(
            "ksmtrace_balance_cow_seconds",
            "Time in copying KSM pages, for processes that wrote (user) or by the kernel's own breaks (kernel). "
            "user rising with ksmtrace_merged_pages_total: what is merged is written to soon.",
            labels=["by"],
        )
        for label, seconds in known.items():
            family.add_metric([label], seconds)
        yield family


def _table(title: str, of: str, ranking: Ranking) -> Table:
    rows = [(name or "unknown", row) for name, row in ranking.listed]
    if ranking.rest is not None:
        rows.append((f"{ranking.others} others", ranking.rest))
    shown: list[list[Cell]] = []
    for name, row in rows:
        figures = row.to_json()
        shown.append([name, *(figures[key] for _, key, _ in _COLUMNS)])
    names, units = [name for name, _, _ in _COLUMNS], [unit for _, _, unit in _COLUMNS]
    return Table(title, [of, *names], ["text", *units], shown)


def _chart(over_time: Timeline) -> Chart:
    series = {name: over_time.column(name) for name in over_time.names}
    seconds = over_time.column("seconds")
    return Chart("saved over time", "line", "time", seconds, series, ("seconds", "bytes"))


def _seconds(value_ns: int | None) -> float | None:
    return None if value_ns is None else value_ns / 1e9
