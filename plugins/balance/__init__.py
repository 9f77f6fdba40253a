"""Analyzer of costs and benefits: what each process, cgroup and guest saves, and what KSM costs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ksmtrace import hookimpl
from ksmtrace.events import EventBatch, Gauge
from ksmtrace.events.readings import Reading
from ksmtrace.figures import known
from ksmtrace.model.accounts import Accounts
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.model.scan import Scan
from ksmtrace.model.settling import Settling
from ksmtrace.model.shares import Attribution
from ksmtrace.model.timeline import Timeline
from ksmtrace.model.verdict import CORE_WORTH_BYTES
from ksmtrace.pipeline.options import RunOptions
from ksmtrace.plugins.balance.balance import Balance, lists, make_balance
from ksmtrace.plugins.balance.figures import FIGURES
from ksmtrace.plugins.balance.metrics import metrics
from ksmtrace.plugins.balance.view import panel, section
from ksmtrace.section import Section
from ksmtrace.session import Knowledge, Session

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from rich.panel import Panel


class Plugin:
    """The balance sheet: what sharing saves, what it costs, and whether it is worth it.

    A page shared by n is saved n - 1 times, and each of the n is credited (n - 1) / n of it.

    JSON: `FIGURES`.
    """

    def __init__(self) -> None:
        self._accounts = Accounts()
        self._reconstruction: Reconstruction | None = None
        self._settling = Settling()
        self._first: dict[Gauge, int] = {}
        self._counters: dict[Gauge, int] = {}
        self._over_time = Timeline("saved", "net")
        self._passes = 0
        self._core_worth_bytes = CORE_WORTH_BYTES
        self._balance: Balance | None = None
        self._last_ns = 0

    @hookimpl
    def ksmtrace_session_start(self, options: RunOptions) -> None:
        """Learn what a core is worth."""
        self._core_worth_bytes = options.core_worth_bytes

    @hookimpl
    def ksmtrace_batch(self, batch: EventBatch, reconstruction: Reconstruction) -> None:
        """Count by process."""
        self._last_ns = max(self._last_ns, int(batch.events["ts"].max(initial=0)))
        self._reconstruction, self._balance = reconstruction, None
        self._accounts.apply(reconstruction)

    @hookimpl
    def ksmtrace_reading(self, reading: Reading, session: Session) -> None:
        """Take in the kernel's counters."""
        self._balance = None
        self._accounts.read(reading)
        self._settling.read(reading, session)
        self._first = self._first or dict(reading.values)
        self._counters.update(reading.values)
        items = reading.rmap_items
        sharing = reading.values.get(Gauge.PAGES_SHARING)
        pages = (sharing or 0) + self._counters.get(Gauge.KSM_ZERO_PAGES, 0)
        saved = pages * session.kernel.page_size_bytes
        if items is not None and sharing is not None:
            self._counters[Gauge.RMAP_ITEMS] = items
            nodes = (Gauge.PAGES_SHARED, Gauge.STABLE_NODE_CHAINS)
            shared, chains = (self._counters.get(gauge, 0) for gauge in nodes)
            net: float = saved - session.kernel.bookkeeping_bytes(items, shared, chains)
        elif Gauge.GENERAL_PROFIT in reading.values and not session.knows(Knowledge.RMAP_ITEMS):
            net = reading.values[Gauge.GENERAL_PROFIT]
        elif sharing is not None and not session.knows(Knowledge.METADATA):
            net = math.nan
        else:
            return
        self._over_time.add(max(0, reading.ns - session.monotonic_ns) / 1e9, saved, net)

    @hookimpl
    def ksmtrace_scan_end(
        self, scan: Scan, reconstruction: Reconstruction, session: Session
    ) -> None:
        """See whether KSM settles."""
        self._passes += 1
        self._balance = None
        self._settling.scan_ended(scan, reconstruction, session)

    @hookimpl
    def ksmtrace_analysis(self, session: Session) -> dict[str, Any]:
        """The figures of `FIGURES`."""
        balance = self._now(session)
        excess, in_words = balance.profits
        per_core = balance.facts.bytes_per_core
        left = balance.unattributed_bytes
        exact = balance.sheet.attribution is Attribution.EXACT
        assert not exact or left == 0, "every saved page is credited, and once"
        figures = {
            "verdict": balance.verdict.answer.value,
            "verdict_reasons": list(balance.verdict.reasons),
            "verdict_change": balance.verdict.change or None,
            "core_worth_bytes": self._core_worth_bytes,
            "cost_bytes": balance.facts.cost_bytes,
            "attribution": balance.sheet.attribution,
            "total": balance.total.to_json(),
            "unattributed_saved_bytes": left,
            "general_profit_bytes": balance.general_profit,
            "process_profit_excess_bytes": excess,
            "process_profit_said": in_words,
            "ksmd_cores": balance.ksmd_cores,
            "copying_cores": balance.facts.copying_cores,
            "gib_saved_per_core": None if per_core is None else per_core / 2**30,
            **lists(balance),
            "exited": balance.sheet.exited.row(0).to_json(),
        }
        return known(FIGURES, session, figures)

    @hookimpl
    def ksmtrace_metrics(self, session: Session) -> Iterable[Metric]:
        """Totals of what this run can see; figures of processes are in the JSON document alone."""
        return metrics(self._now(session))

    @hookimpl
    def ksmtrace_panels(self, session: Session) -> Iterable[Panel]:
        """The figures behind the verdict and the guests that save most, usable 26 columns wide."""
        return panel(self._now(session))

    @hookimpl
    def ksmtrace_sections(self, session: Session) -> Iterable[Section]:
        """The balance sheet."""
        balance = self._now(session)
        over_time = {name: self._over_time.column(name) for name in ("seconds", "saved", "net")}
        if over_time["seconds"] and balance.facts.saved_bytes is not None:
            # a reading may be older than what the balance is of: the course ends in its figures
            net = balance.total.net_saved_bytes
            last = (over_time["seconds"][-1], (self._last_ns - session.monotonic_ns) / 1e9)
            over_time["seconds"].append(max(last))
            over_time["saved"].append(balance.facts.saved_bytes)
            over_time["net"].append(math.nan if net is None else net)
        return [section(balance, over_time)]

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
                core_worth_bytes=self._core_worth_bytes,
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
