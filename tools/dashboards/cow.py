"""Dashboard: writes to merged pages, and how long things take."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from tools.dashboards.parts import PAGES_A_SECOND, QUARTER, frame, lines, number, rate

_BY_USERS = rate("""ksmtrace_cow_faults_total{by="user"}""")
_MERGED = rate("ksmtrace_merged_pages_total{}")
_QUANTILES = {"median": 0.5, "p90": 0.9, "p99": 0.99}


def cow() -> Dashboard:
    """The cost of writes to merged pages, and how long merging, passes and merges last."""
    made: Dashboard = frame(
        "ksmtrace-cow",
        "KSM: copy-on-write and latency",
        "How often merged pages are written to, how long these faults take, and how long ksmd "
        "takes for a pass and for a merge.",
    )
    _first_row(made)
    for title, description, unit, queries in (
        (
            "Merged pages copied",
            "By processes that wrote (user), and because the kernel broke the sharing (kernel); "
            "and what was merged. user near merged: KSM merges what is about to be written.",
            PAGES_A_SECOND,
            {
                "{{by}}": f"sum by (by) ({rate('ksmtrace_cow_faults_total{}')})",
                "merged": f"sum({_MERGED})",
            },
        ),
        (
            "Time of a write to a merged page",
            "Time in the kernel's fault handler. Long tails: memory is short, or the page copied "
            "is far away.",
            "s",
            _quantiles("ksmtrace_cow_fault_seconds"),
        ),
        (
            "Cores spent on copies",
            "Share of a core in copying merged pages: for processes that wrote (user), or in the "
            "kernel's own breaks (kernel).",
            "percentunit",
            {"{{by}}": f"sum by (by) ({rate('ksmtrace_balance_cow_seconds_total{}')})"},
        ),
        (
            "Regret",
            "Pages merged, written to within a minute of it, and half-done merges that ksmd undid "
            "itself.",
            PAGES_A_SECOND,
            {
                "merged": f"sum({_MERGED})",
                "written to within a minute": f"sum({rate('ksmtrace_regret_pages_total{}')})",
                "undone by ksmd": f"sum({rate('ksmtrace_break_cow_pages_total{}')})",
            },
        ),
        (
            "From first sight to merge",
            "How long a page waits to be merged. p90 of hours: raise pages_to_scan, or use the "
            "advisor.",
            "s",
            _quantiles("ksmtrace_merge_latency_seconds"),
        ),
        (
            "Duration of a pass",
            "Full passes, sleeps included. A new page is merged after two of them.",
            "s",
            _quantiles("ksmtrace_scan_pass_seconds")
            | {
                "mean": f"sum({rate('ksmtrace_scan_pass_seconds_sum{}')})"
                f" / sum({rate('ksmtrace_scan_pass_seconds_count{}')})"
            },
        ),
        (
            "Attempts to merge",
            "Calls of try_to_merge_one_page by result, done or the errno. Many EFAULT: pages are "
            "pinned, or written to while being merged.",
            PAGES_A_SECOND,
            {"{{result}}": f"sum by (result) ({rate('ksmtrace_merge_attempts_total{}')})"},
        ),
        (
            "Pages that share a KSM page, and length of chains",
            "Pages for each KSM page, and KSM pages for each content that has a chain. Chains that "
            "grow: raise max_page_sharing.",
            "none",
            {
                "p90 of pages": "histogram_quantile(0.9, sum by (le) "
                "(ksmtrace_stable_node_sharers_bucket{}))",
                "mean of chains, {{instance}}": "ksmtrace_stable_chain_mean_nodes{}",
            },
        ),
    ):
        made.with_panel(lines(title, description, unit, queries))
    return made


def _quantiles(histogram: str) -> dict[str, str]:
    grouped = f"sum by (le) ({rate(histogram + '_bucket{}')})"
    return {name: f"histogram_quantile({part}, {grouped})" for name, part in _QUANTILES.items()}


def _first_row(made: Dashboard) -> None:
    made.with_panel(
        number(
            "Writes to merged pages",
            "Faults a second in which a process got its own copy of a merged page.",
            PAGES_A_SECOND,
            f"sum({_BY_USERS})",
            width=QUARTER,
        )
    )
    made.with_panel(
        number(
            "p99 of such a write",
            "99 of 100 writes to merged pages take no longer. Above 1 ms: keep what must answer "
            "fast out of KSM.",
            "s",
            "histogram_quantile(0.99, "
            f"sum by (le) ({rate('ksmtrace_cow_fault_seconds_bucket{}')}))",
            steps=((None, "green"), (0.001, "orange"), (0.01, "red")),
            width=QUARTER,
        )
    )
    made.with_panel(
        number(
            "Written to within a minute of merging",
            "Part of the merged pages that were written to within 60 s. Above one quarter: KSM "
            "merges what is about to change, advise less memory.",
            "percentunit",
            f"sum({rate('ksmtrace_regret_pages_total{}')}) / (sum({_MERGED}) > 0)",
            steps=((None, "green"), (0.25, "orange"), (0.5, "red")),
            width=QUARTER,
        )
    )
    made.with_panel(
        number(
            "Storms in this time",
            "Bursts of copies, for processes or by the kernel, in the time shown: seconds with "
            "1000 broken pages or more and over 8 times the usual.",
            "none",
            "sum(increase(ksmtrace_cow_storms_total{}[$__range]))",
            steps=((None, "green"), (1, "red")),
            decimals=0,
            width=QUARTER,
        )
    )
