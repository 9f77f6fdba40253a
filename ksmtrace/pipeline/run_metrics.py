"""Metric families of the run itself: what was traced, how completely, and at what cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)

from ksmtrace import __version__
from ksmtrace.pipeline.state import LOSS_CAUSES

if TYPE_CHECKING:
    from ksmtrace.pipeline.calls import PluginCalls
    from ksmtrace.pipeline.state import RunState


def run_metrics(state: RunState, calls: PluginCalls) -> list[Metric]:
    """Fresh metric families for a run and its plugins.

    All except ksmtrace_build_info and ksmtrace_plugin_seconds_total follow from the events alone,
    so a replay with the same plugins gives the same ones.
    """
    return [
        *_facts(state),
        *_events(state),
        *_checks(state),
        *_unread(state),
        *_probe_times(state),
        *_plugins(calls),
    ]


def _facts(state: RunState) -> Iterator[Metric]:
    kernel = state.session.kernel
    yield InfoMetricFamily(
        "ksmtrace_build",
        "Version of ksmtrace: join on it when numbers change after an upgrade.",
        {"version": __version__},
    )
    yield InfoMetricFamily(
        "ksmtrace_kernel",
        "The traced kernel: join on it when numbers change after a reboot.",
        {"release": kernel.release, "build_id": kernel.build_id},
    )
    probes = GaugeMetricFamily(
        "ksmtrace_probe_info",
        "How each kind of event is seen: 1 for the way in use. "
        "exactness other than exact: read what that figure cannot know before acting on it.",
        labels=["event", "via", "exactness"],
    )
    for kind, probe in state.session_now.probes.items():
        probes.add_metric([kind.name.lower(), probe.via, probe.exactness.value], 1)
    yield probes


def _events(state: RunState) -> Iterator[Metric]:
    events = CounterMetricFamily(
        "ksmtrace_events_total",
        "Events by kind, taken in or counted in the kernel (--totals); a kind that this run "
        "cannot see has no series.",
        labels=["kind"],
    )
    for kind, count in state.counts.items():
        if state.session_now.counts(kind) or (count and state.stream_end is None):
            events.add_metric([kind.name.lower()], count)
    yield events
    yield CounterMetricFamily(
        "ksmtrace_lost_events_total",
        "Events dropped between kernel and tracer. If it grows every other count is too low: "
        "lower pages_to_scan, or leave plugins out.",
        state.lost,
    )
    causes = CounterMetricFamily(
        "ksmtrace_lost_by_cause_events_total",
        "The same by cause: ring (full), recursion and missed (the kernel itself passed our "
        "programs over; at most so many events), gathering (a batch of ksmd lacks pages), silent "
        "(probes that are attached and do not fire: see ksmtrace doctor).",
        labels=["cause"],
    )
    for cause in LOSS_CAUSES:
        causes.add_metric([cause], state.lost_by[cause])
    yield causes
    yield CounterMetricFamily(
        "ksmtrace_passes_total",
        "Full passes of ksmd that ended. Standing still: KSM is stopped, or a pass takes very "
        "long.",
        state.passes,
    )


def _checks(state: RunState) -> Iterator[Metric]:
    differences = GaugeMetricFamily(
        "ksmtrace_reconstruction_difference_pages",
        "Reconstructed minus kernel's gauge at the last reading. Away from 0 at the end of passes: "
        "do not trust the reconstructed gauges, look at lost events and ksmtrace_probe_info.",
        labels=["gauge"],
    )
    for gauge, figures in state.reconciliation.to_json().items():
        if figures["difference"] is not None:
            differences.add_metric([gauge], figures["difference"])
    if differences.samples:
        yield differences
    yield GaugeMetricFamily(
        "ksmtrace_reconstruction_complete",
        "1 when all of ksmd's state is known; 0 until a pass was seen whole after joining late or "
        "after a loss.",
        int(state.reconstruction.complete),
    )
    yield CounterMetricFamily(
        "ksmtrace_self_check_scan_stops_total",
        "Ends of passes at which the reconstruction was held against counters read by ksmd itself.",
        state.reconciliation.at_scan_stop,
    )
    yield CounterMetricFamily(
        "ksmtrace_self_check_scan_stops_differing_total",
        "Those of them at which a gauge differed. Alert on any increase: reconstructed figures are "
        "off.",
        state.reconciliation.at_scan_stop_differing,
    )
    counts = GaugeMetricFamily(
        "ksmtrace_self_check_difference_events",
        "Events minus what the kernel counted itself, since the trace began. Away from 0 for long: "
        "events are missed, or happen where no probe is.",
        labels=["check", "against"],
    )
    for row in state.self_check.rows:
        counts.add_metric([row.name, row.against], row.events - row.other)
    if counts.samples:
        yield counts


def _unread(state: RunState) -> Iterator[Metric]:
    checked = state.reconciliation
    failures = CounterMetricFamily(
        "ksmtrace_reading_failures_total",
        "How often a counter of the kernel could not be read. Growing: this process lacks file "
        "descriptors, or the file holds something else; figures rest on older values.",
        labels=["counter"],
    )
    old = GaugeMetricFamily(
        "ksmtrace_reading_old",
        "1 for a counter that could not be read at the last reading: its last value is kept.",
        labels=["counter"],
    )
    for gauge in sorted(checked.counters.keys() | checked.failures.keys()):
        failures.add_metric([gauge.name.lower()], checked.failures.get(gauge, (0, 0))[0])
        old.add_metric([gauge.name.lower()], int(gauge in checked.old))
    if old.samples:
        yield from (failures, old)


def _probe_times(state: RunState) -> Iterator[Metric]:
    times = state.probe_times
    yield GaugeMetricFamily(
        "ksmtrace_stream_ended",
        "1 once the probes took more than --budget allows: the stream of events is over, figures "
        "that need it have no series, rare events and the kernel's counters go on.",
        int(state.stream_end is not None),
    )
    ratio = times.last.ratio if times.last is not None else None
    if ratio is not None:
        yield GaugeMetricFamily(
            "ksmtrace_probes_ksmd_ratio",
            "Share of ksmd's CPU time that the probes took in the last sample, the kernel's way "
            "into them included. No series: not known. Above --budget for three samples the stream "
            "ends.",
            ratio,
        )
    if times.samples:
        seconds = CounterMetricFamily(
            "ksmtrace_probes_sampled_seconds_total",
            "CPU time that the probes took during samples, of ksmd and of all other threads.",
            labels=["thread"],
        )
        seconds.add_metric(["ksmd"], times.in_ksmd_ns / 1e9)
        seconds.add_metric(["others"], times.elsewhere_ns / 1e9)
        yield seconds
        yield CounterMetricFamily(
            "ksmtrace_probes_sampled_ksmd_seconds_total",
            "ksmd's CPU time during the same samples. Divide the probes' by it: their share over "
            "any time.",
            times.ksmd_ns / 1e9,
        )


def _plugins(calls: PluginCalls) -> Iterator[Metric]:
    seconds = CounterMetricFamily(
        "ksmtrace_plugin_seconds_total",
        "Time spent in each plugin. Leave out (-p no:NAME) the one that takes most when events are "
        "lost.",
        labels=["plugin"],
    )
    success = GaugeMetricFamily(
        "ksmtrace_plugin_success",
        "0 for a plugin that failed and was dropped: its other metrics are missing from then on.",
        labels=["plugin"],
    )
    for name, value in calls.seconds.items():
        seconds.add_metric([name], value)
        success.add_metric([name], int(name not in calls.failures))
    yield from (seconds, success)
