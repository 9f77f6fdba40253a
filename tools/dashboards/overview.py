"""Dashboard: is KSM worth it."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from tools.dashboards.parts import (
    PAGES_A_SECOND,
    SIXTH,
    bars,
    frame,
    lines,
    number,
    rate,
)

_GIB = 2**30
_WORTH = ((None, "red"), (4 * _GIB, "green"))


def overview() -> Dashboard:
    """The verdict, what is saved, what that costs, and what to do about it."""
    made: Dashboard = frame(
        "ksmtrace-overview",
        "KSM: is it worth it?",
        "What Kernel Samepage Merging saves on the chosen hosts, what it costs, and what ksmtrace "
        "advises.",
    )
    _first_row(made)
    return (
        made.with_panel(
            lines(
                "Memory saved, less bookkeeping",
                "What sharing and zero pages save on each host, less KSM's own bookkeeping. Below "
                "0: switch KSM off there (echo 2 > run).",
                "bytes",
                {
                    "{{instance}}": "ksmtrace_balance_net_bytes{}",
                    "{{instance}} bookkeeping": "ksmtrace_balance_metadata_bytes{}",
                },
            )
        )
        .with_panel(
            lines(
                "What it costs",
                "Cores that ksmd takes, and that copying of merged pages takes from processes that "
                "write. The second costs users, not only the host.",
                "none",
                {
                    "ksmd": f"sum({rate('ksmtrace_scan_ksmd_cpu_seconds_total{}')})",
                    "copies, by {{by}}": "sum by (by) "
                    f"({rate('ksmtrace_balance_cow_seconds_total{}')})",
                },
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Merged, and lost again",
                "Pages that joined a KSM page, that left one, and that processes wrote to. All "
                "three alike for long: KSM merges what changes again, advise less memory.",
                PAGES_A_SECOND,
                {
                    "merged": f"sum({rate('ksmtrace_merged_pages_total{}')})",
                    "left": f"sum({rate('ksmtrace_stable_left_pages_total{}')})",
                    "written to": f"""sum({rate('ksmtrace_cow_faults_total{by="user"}')})""",
                },
            )
        )
        .with_panel(
            bars(
                "Advice",
                "Hosts that each rule speaks to now. `ksmtrace live --once --json` there tells the "
                "evidence and the command.",
                "none",
                "sum by (rule) (ksmtrace_advice{})",
                "{{rule}}",
                width=12,
            )
        )
    )


def _first_row(made: Dashboard) -> None:
    made.with_panel(
        number(
            "Hosts by verdict",
            "What can be said of KSM on the chosen hosts; docs/VERDICT.md has the rules.",
            "none",
            "count by (verdict) (ksmtrace_balance_verdict{} == 1)",
            legend="{{verdict}}",
            width=SIXTH,
        )
    )
    made.with_panel(
        number(
            "Net saved",
            "Memory that KSM saves on the chosen hosts, zero pages included, less its own "
            "bookkeeping. Red below 0: it takes more than it gives.",
            "bytes",
            "sum(ksmtrace_balance_net_bytes{})",
            steps=((None, "red"), (0, "green")),
        )
    )
    made.with_panel(
        number(
            "Saved for a core, worst host",
            "Memory saved for each core that ksmd and users' COW faults have taken since tracing "
            "began, on the host where it is least. Red below 4 GiB: memory is cheaper.",
            "bytes",
            "min(ksmtrace_balance_saved_per_core_bytes{})",
            steps=_WORTH,
        )
    )
    made.with_panel(
        number(
            "ksmd, busiest host",
            "Share of a core that ksmd takes now on the host where it takes most. Above 10 % when "
            "settled: scan slower.",
            "percentunit",
            f"max({rate('ksmtrace_scan_ksmd_cpu_seconds_total{}')})",
            steps=((None, "green"), (0.1, "orange"), (0.9, "red")),
        )
    )
    made.with_panel(
        number(
            "Settled hosts",
            "Share of the hosts on which pages_sharing hardly changes from pass to pass. On a "
            "settled host scanning can be slower.",
            "percentunit",
            "avg(ksmtrace_scan_settled{})",
        )
    )
    made.with_panel(
        number(
            "Tracers that answer",
            "Share of the chosen tracers whose last scrape worked. Below 100 %: see the runbook, "
            "KsmtraceDown.",
            "percentunit",
            "avg(up{})",
            steps=((None, "red"), (1, "green")),
        )
    )
