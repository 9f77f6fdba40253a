"""Dashboard: who gains and who pays."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from tools.dashboards.parts import PAGES_A_SECOND, bars, frame, lines, number, rate, rows

_BY = "cgroup, unit, vm"
_NAMED = "{{group}}"
_COPYING = """ksmtrace_group_cow_seconds_total{by="user"}"""


def _largest(expression: str) -> str:
    """The ten largest groups, with a name in the label `group`: guest and cgroup, or "other"."""
    most = f"topk(10, sum by ({_BY}) ({expression}))"
    named = f'label_join({most}, "group", " ", "vm", "cgroup")'
    return f'label_replace({named}, "group", "other", "group", "other other")'


def groups() -> Dashboard:
    """Guests, units and cgroups: what each saves, and what it costs and is made to pay."""
    made: Dashboard = frame(
        "ksmtrace-groups",
        "KSM: who gains and who pays",
        "What each guest, systemd unit or cgroup saves by KSM, what ksmd spends on it, and what "
        "its writes to merged pages cost it. "
        "Those beyond the largest are together 'other'.",
    )
    _first_row(made)
    _over_time(made)
    return made.with_panel(
        rows(
            "All groups",
            "Every group that has a series of its own: what it saves, KSM's bookkeeping for it, "
            "ksmd's time for it, the time of its writes to merged pages, and the part of its "
            "examined pages that came to nothing.",
            ("instance", "vm", "unit", "cgroup"),
            {
                "saved": (f"sum by (instance, {_BY}) (ksmtrace_group_saved_bytes{{}})", "bytes"),
                "bookkeeping": (
                    f"sum by (instance, {_BY}) (ksmtrace_group_metadata_bytes{{}})",
                    "bytes",
                ),
                "ksmd": (
                    f"sum by (instance, {_BY}) ({rate('ksmtrace_group_ksmd_cpu_seconds_total{}')})",
                    "percentunit",
                ),
                "copying": (f"sum by (instance, {_BY}) ({rate(_COPYING)})", "percentunit"),
                "wasted": (
                    f"sum by (instance, {_BY}) ({rate('ksmtrace_group_wasted_pages_total{}')})"
                    f" / (sum by (instance, {_BY}) "
                    f"({rate('ksmtrace_group_examined_pages_total{}')}) > 0)",
                    "percentunit",
                ),
            },
        )
    ).with_panel(
        lines(
            "Groups with series of their own",
            "How many there are, 'other' not counted in, and how many lost their series to larger "
            "ones. Evictions all the time: raise the number of groups, or trace fewer.",
            "none",
            {
                "tracked on {{instance}}": "ksmtrace_groups_tracked{}",
                "evicted a second": f"sum({rate('ksmtrace_groups_evicted_total{}')})",
            },
            width=24,
        )
    )


def _first_row(made: Dashboard) -> None:
    made.with_panel(
        bars(
            "Who gains",
            "The ten groups that save most memory now.",
            "bytes",
            _largest("ksmtrace_group_saved_bytes{}"),
            _NAMED,
        )
    )
    made.with_panel(
        bars(
            "What ksmd works for",
            "The ten groups that ksmd spends most time on, as a share of a core. High here and low "
            "in 'Who gains': take their memory out of KSM.",
            "percentunit",
            _largest(rate("ksmtrace_group_ksmd_cpu_seconds_total{}")),
            _NAMED,
        )
    )
    made.with_panel(
        bars(
            "Who pays with faults",
            "The ten groups that spend most time in writes to merged pages, as a share of a core. "
            "Services that must answer fast should not be here.",
            "percentunit",
            _largest(rate(_COPYING)),
            _NAMED,
        )
    )


def _over_time(made: Dashboard) -> None:
    for title, description, unit, expression in (
        (
            "Saved",
            "Memory that each of the ten largest groups saves.",
            "bytes",
            _largest("ksmtrace_group_saved_bytes{}"),
        ),
        (
            "Bookkeeping",
            "KSM's own memory for each group's pages. Near what the group saves: it should not be "
            "in KSM.",
            "bytes",
            _largest("ksmtrace_group_metadata_bytes{}"),
        ),
        (
            "Merged",
            "Pages of each group that joined a KSM page. High while what is saved stands still: "
            "they are written to and merged again.",
            PAGES_A_SECOND,
            _largest(rate("ksmtrace_group_merged_pages_total{}")),
        ),
        (
            "Merged pages written to",
            "Writes of each group to merged pages: each is a fault and a copy.",
            PAGES_A_SECOND,
            _largest(rate('ksmtrace_group_cow_faults_total{by="user"}')),
        ),
    ):
        made.with_panel(lines(title, description, unit, {_NAMED: expression}))
    made.with_panel(
        number(
            "Groups that gain",
            "Groups that save more than KSM's bookkeeping for them.",
            "none",
            f"count(sum by (instance, {_BY}) (ksmtrace_group_saved_bytes{{}})"
            f" > sum by (instance, {_BY}) (ksmtrace_group_metadata_bytes{{}}))",
            width=12,
        )
    )
    made.with_panel(
        number(
            "Groups that only cost",
            "Groups whose bookkeeping takes more than they save: candidates for taking out of KSM.",
            "none",
            f"sum(sum by (instance, {_BY}) (ksmtrace_group_saved_bytes{{}})"
            f" < bool sum by (instance, {_BY}) (ksmtrace_group_metadata_bytes{{}}))",
            width=12,
        )
    )
