"""The metric families of the balance sheet."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ksmtrace.model.verdict import LEAST_GIB_PER_CORE, Answer
from ksmtrace.plugins.balance.balance import Balance

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


def families(balance: Balance) -> Iterable[Metric]:
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
