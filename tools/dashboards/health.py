"""Dashboard: whether the tracers work, and whether their figures can be believed."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from tools.dashboards.parts import SIXTH, THIRD, frame, lines, number, rate, rows

_FIFTH = 5
"""Columns of four panels beside one of `SIXTH`."""

_NONE_WRONG = ((None, "green"), (1, "red"))


def health() -> Dashboard:
    """Losses, agreement with the kernel, cost of plugins, and how each event is seen."""
    made: Dashboard = frame(
        "ksmtrace-health",
        "KSM: health of the tracers",
        "Whether ksmtrace itself works: scrapes, lost events, agreement with the kernel's own "
        "counters, plugins, and how each kind of event is seen.",
    )
    _first_row(made)
    for title, description, unit, queries in (
        (
            "Events",
            "Events taken in, by kind. A kind that a host cannot see has no series there.",
            "cps",
            {"{{kind}}": f"sum by (kind) ({rate('ksmtrace_events_total{}')})"},
        ),
        (
            "Lost events",
            "Events dropped between kernel and tracer. While it grows every other count is too "
            "low: lower pages_to_scan, or leave plugins out.",
            "cps",
            {"{{instance}}": f"sum by (instance) ({rate('ksmtrace_lost_events_total{}')})"},
        ),
        (
            "Reconstruction against the kernel",
            "Reconstructed gauge minus the kernel's at the last reading, largest of the hosts "
            "either way. Away from 0 at the end of passes: do not trust reconstructed gauges.",
            "none",
            {
                "{{gauge}}, above": "max by (gauge) (ksmtrace_reconstruction_difference_pages{})",
                "{{gauge}}, below": "min by (gauge) (ksmtrace_reconstruction_difference_pages{})",
            },
        ),
        (
            "Counted events against the kernel",
            "Events minus what the kernel counted itself since the trace began. Away from 0 for "
            "long: events are missed, or happen where no probe is.",
            "none",
            {
                "{{check}} against {{against}}": "max by (check, against) "
                "(abs(ksmtrace_self_check_difference_events{}))"
            },
        ),
        (
            "Time in plugins",
            "Share of a core in each plugin. Leave out (-p no:NAME) the one that takes most when "
            "events are lost.",
            "percentunit",
            {"{{plugin}}": f"sum by (plugin) ({rate('ksmtrace_plugin_seconds_total{}')})"},
        ),
        (
            "Scrapes",
            "How long Prometheus waited for each tracer, which should stay below a tenth of a "
            "second; and how old the figures were that it read: a second or two. An age that "
            "grows with time: the run hangs.",
            "s",
            {
                "{{instance}} waited": "max by (instance) (scrape_duration_seconds{})",
                "{{instance}} age": "time() - max by (instance) "
                "(ksmtrace_published_timestamp_seconds{})",
            },
        ),
    ):
        made.with_panel(lines(title, description, unit, queries, width=THIRD))
    return made.with_panel(
        rows(
            "How each kind of event is seen",
            "The way in use, by host. exactness other than exact: read in docs/PROBES.md what that "
            "figure cannot know before acting on it.",
            ("instance", "event", "exactness", "via"),
            {"in use": ("ksmtrace_probe_info{}", "none")},
        )
    )


def _first_row(made: Dashboard) -> None:
    for width, title, description, unit, expression, steps in (
        (
            SIXTH,
            "Tracers that answer",
            "Share of the chosen tracers whose last scrape worked.",
            "percentunit",
            "avg(up{})",
            ((None, "red"), (1, "green")),
        ),
        (
            _FIFTH,
            "Lost in this time",
            "Events dropped in the time shown.",
            "short",
            "sum(increase(ksmtrace_lost_events_total{}[$__range]))",
            _NONE_WRONG,
        ),
        (
            _FIFTH,
            "Whole state known",
            "Share of the tracers that know all of ksmd's state: not before a pass was seen whole "
            "after a late start or a loss.",
            "percentunit",
            "avg(ksmtrace_reconstruction_complete{})",
            ((None, "orange"), (1, "green")),
        ),
        (
            _FIFTH,
            "Passes that differed",
            "Ends of passes in the time shown at which a reconstructed gauge differed from the "
            "kernel's.",
            "none",
            "sum(increase(ksmtrace_self_check_scan_stops_differing_total{}[$__range]))",
            _NONE_WRONG,
        ),
        (
            _FIFTH,
            "Plugins that failed",
            "Plugins that raised and were dropped: their metrics are missing from then on.",
            "none",
            "count(ksmtrace_plugin_success{}) - sum(ksmtrace_plugin_success{})",
            _NONE_WRONG,
        ),
    ):
        made.with_panel(number(title, description, unit, expression, steps=steps, width=width))
