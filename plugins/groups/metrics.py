"""The metric families of groups: a series for each group followed, and one for all others."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ksmtrace.plugins.groups.group import Group

LABELS = ("cgroup", "unit", "vm")

Figures = dict[str, int | None]
"""Figures of one group by name, None where not known; those of time are in nanoseconds and end in `_ns`."""

_GAUGES = (
    (
        "saved_bytes",
        "Memory that KSM saves for a cgroup's pages: of a page that n share, each has (n - 1) / n. "
        "Below ksmtrace_group_metadata_bytes for long: take this cgroup's memory out of KSM.",
    ),
    (
        "metadata_bytes",
        "KSM's own bookkeeping for a cgroup's pages. Large where little is saved: "
        "have the cgroup advise less memory (MemoryKSM=no, -machine mem-merge=off).",
    ),
)
_COUNTERS: tuple[tuple[str, dict[str, str], str], ...] = (
    (
        "merged_pages",
        {"": "merged_pages"},
        "Pages of a cgroup that joined a stable node. High while ksmtrace_group_saved_bytes stands still: "
        "they are written to and merged again, take them out of KSM.",
    ),
    (
        "examined_pages",
        {"": "examined_pages"},
        "Pages of a cgroup that ksmd examined. The largest rate is where scanning goes: advise less memory there first.",
    ),
    (
        "wasted_pages",
        {"": "wasted_pages"},
        "Examinations of a cgroup's pages that came to nothing: changed, not to be merged, or gone. "
        "Near ksmtrace_group_examined_pages_total: take the cgroup out of KSM; causes are in ksmtrace_wasted_pages_total.",
    ),
    (
        "cow_faults",
        {"user": "user_break_pages", "kernel": "kernel_break_pages"},
        "KSM pages of a cgroup that were copied: because it wrote (user), or by the kernel's own breaks (kernel). "
        "user near ksmtrace_group_merged_pages_total: KSM merges what this cgroup is about to write.",
    ),
    (
        "cow_seconds",
        {"user": "user_break_seconds", "kernel": "kernel_break_seconds"},
        "Time in copying KSM pages of a cgroup. The rate of user is the part of a core by which its writes are delayed: "
        "take what must answer fast out of KSM.",
    ),
    (
        "ksmd_cpu_seconds",
        {"": "ksmd_cpu_seconds"},
        "CPU time of ksmd for a cgroup's pages, by what it did with them. "
        "The rate is the part of a core that the cgroup costs: weigh it against ksmtrace_group_saved_bytes.",
    ),
)


def families(found: dict[Group, Figures], tracked: int, evicted: int) -> Iterable[Metric]:
    """Families of what is known; nothing where nothing is.

    Args:
        found: figures by group, the others' included.
        tracked: groups that have series of their own.
        evicted: groups whose series ended.
    """
    metrics = [
        *(_gauge(found, key, help_text) for key, help_text in _GAUGES),
        *(_counter(found, name, by, help_text) for name, by, help_text in _COUNTERS),
    ]
    shown = [family for family in metrics if family.samples]
    yield from shown
    if shown:
        yield GaugeMetricFamily(
            "ksmtrace_groups_tracked",
            'Groups that have series of their own. At --groups: smaller ones are in "other", raise it to see them.',
            tracked,
        )
        yield CounterMetricFamily(
            "ksmtrace_groups_evicted",
            'Groups whose series ended, and went on in "other". Rising steadily: groups come and go, or '
            "more of about one size than --groups, raise it.",
            evicted,
        )


def in_seconds(figures: Figures) -> dict[str, float | None]:
    """The same figures with times in seconds, as the JSON document and metrics have them."""
    shown: dict[str, float | None] = {}
    for name, value in figures.items():
        if name.endswith("_ns"):
            shown[f"{name[:-3]}_seconds"] = None if value is None else value / 1e9
        else:
            shown[name] = value
    return shown


def _gauge(found: dict[Group, Figures], key: str, help_text: str) -> Metric:
    family = GaugeMetricFamily(f"ksmtrace_group_{key}", help_text, labels=LABELS)
    for group, figures in found.items():
        value = figures[key]
        if value is not None:
            family.add_metric([group.cgroup, group.unit, group.vm], value)
    return family


def _counter(found: dict[Group, Figures], name: str, by: dict[str, str], help_text: str) -> Metric:
    """A family with a series for each group and each entry of `by`: label to key."""
    labels = LABELS if "" in by else (*LABELS, "by")
    family = CounterMetricFamily(f"ksmtrace_group_{name}", help_text, labels=labels)
    for group, figures in found.items():
        shown = in_seconds(figures)
        for label, key in by.items():
            value = shown[key]
            if value is not None:
                own = [group.cgroup, group.unit, group.vm]
                family.add_metric([*own, label] if label else own, value)
    return family
