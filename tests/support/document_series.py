"""The value of each Prometheus series, taken from the JSON document instead.

That of a figure by its declaration; what is computed from figures is computed here once more.
"""

from collections.abc import Callable
from itertools import accumulate
from typing import Any

from tools.docs import declared

ONLY_SERVED = {
    "ksmtrace_merge_latency_seconds_sum": "the document has the buckets and two quantiles",
    "ksmtrace_published_timestamp_seconds": "when this run made them: not a fact of the capture",
    "ksmtrace_serving_restarts_total": "how its serving fares: not a fact of the capture",
    "ksmtrace_plugin_seconds_total": "how long this run took: not a fact of the capture",
}
"""Series without a figure in the document, with the reason."""

_HISTOGRAMS = {
    "scan_pass_seconds_bucket": "scan_cost.pass_seconds_histogram",
    "merge_latency_seconds_bucket": "merge_life.merge_latency_buckets_pages",
    "stable_node_sharers_bucket": "stable_tree.node_sharers_pages",
}
"""Buckets that the document has one by one, and Prometheus cumulated."""


def figure_of(document: dict[str, Any], name: str, labels: dict[str, str]) -> float | str | None:
    """The document's figure of a series; None where it has no such figure."""
    own = name.removeprefix("ksmtrace_")
    analyzers = document["analyzers"]
    if own in _HISTOGRAMS:
        return _cumulative(_at(analyzers, _HISTOGRAMS[own]), labels["le"])
    if own in _DERIVED:
        return _DERIVED[own](document, labels)
    return _declared(analyzers, name, labels)


def _declared(analyzers: dict[str, Any], name: str, labels: dict[str, str]) -> float | None:
    """The figure that is declared to have this series."""
    for analyzer in declared.ANALYZERS:
        for path, spec in declared.paths(declared.figures(analyzer)):
            if spec.metric is None or spec.metric.name != name:
                continue
            own = spec.metric.labels[len(spec.metric.labels) - len(spec.series) :]
            if tuple(labels[label] for label in own) == spec.series:
                if path.startswith("groups[]."):
                    return _group(analyzers[analyzer], labels)[spec.name]
                return _at(analyzers[analyzer], path)
    return None


def _at(node: Any, path: str) -> Any:
    for key in path.split("."):
        node = node[key]
    return node


def _group(found: dict[str, Any], labels: dict[str, str]) -> dict[str, Any]:
    """The group with these labels, a missing one is empty; all others together where they are
    "other"."""
    wanted = {label: labels.get(label, "") for label in ("cgroup", "unit", "vm")}
    if set(wanted.values()) == {"other"}:
        return found["other"]
    return next(group for group in found["groups"] if wanted.items() <= group.items())


def _cumulative(histogram: dict[str, int], le: str) -> int:
    sums = dict(zip(histogram, accumulate(histogram.values()), strict=True))
    if le == "+Inf":
        return sums["more"]
    return next(
        total for bound, total in sums.items() if bound != "more" and float(bound) == float(le)
    )


def _fault_bucket(document: dict[str, Any], labels: dict[str, str]) -> float:
    below = document["analyzers"]["cow"]["fault_histogram"]
    return sum(pages for bound, pages in below if bound <= float(labels["le"]))


def _attempts(document: dict[str, Any], labels: dict[str, str]) -> float:
    figures = document["analyzers"]["stable_tree"]
    failed = figures["failed_pages"]
    if labels["result"] == "done":
        return figures["attempted_pages"] - sum(failed.values())
    return failed[labels["result"]]


def _passes_took(document: dict[str, Any], _: dict[str, str]) -> float:
    figures = document["analyzers"]["scan_cost"]
    return figures["mean_pass_seconds"] * sum(figures["pass_seconds_histogram"].values())


def _chains(document: dict[str, Any], _: dict[str, str]) -> float:
    figures = document["analyzers"]["stable_tree"]
    return figures["stable_node_dups"] / (figures["stable_node_chains"] or 1)


_DERIVED: dict[str, Callable[[dict[str, Any], dict[str, str]], Any]] = {
    "advice": lambda d, by: (
        by["rule"] in {r["rule"] for r in _at(d, "analyzers.advice.recommendations")}
    ),
    "balance_saved_per_core_bytes": (
        lambda d, _: _at(d, "analyzers.balance.gib_saved_per_core") * 2**30
    ),
    "balance_verdict": lambda d, by: _at(d, "analyzers.balance.verdict") == by["verdict"],
    "build_info": lambda d, by: d["version"] == by["version"],
    "cow_fault_seconds_bucket": _fault_bucket,
    "cow_fault_seconds_count": lambda d, _: _at(d, "analyzers.cow.user_pages"),
    "cow_fault_seconds_sum": lambda d, _: _at(d, "analyzers.cow.fault_total_seconds"),
    "events_total": lambda d, by: d["events"]["by_kind"][by["kind"].upper()],
    "groups_tracked": lambda d, _: len(_at(d, "analyzers.groups.groups")),
    "kernel_info": lambda d, by: d["kernel"] == {key: by[key] for key in ("release", "build_id")},
    "lost_by_cause_events_total": lambda d, by: d["events"]["lost_by_cause"][by["cause"]],
    "lost_events_total": lambda d, _: d["events"]["lost"],
    "merge_attempts_total": _attempts,
    "merge_latency_seconds_count": (
        lambda d, _: _at(d, "analyzers.merge_life.merge_latency_pages")
    ),
    "passes_total": lambda d, _: d["passes"],
    "plugin_success": lambda d, by: by["plugin"] not in d["plugins_failed"],
    "probe_info": lambda d, by: (
        (found := d["probes"][by["event"]])["via"] == by["via"]
        and found["exactness"] == by["exactness"]
    ),
    "reading_failures_total": (
        lambda d, by: d["counters_unread"].get(by["counter"], {"failures": 0})["failures"]
    ),
    "reading_old": lambda d, by: d["counters_unread"].get(by["counter"], {"old": False})["old"],
    "reconstruction_complete": lambda d, _: d["reconstruction"]["complete"],
    "reconstruction_difference_pages": lambda d, by: d["reconciliation"][by["gauge"]]["difference"],
    "scan_pass_seconds_count": (
        lambda d, _: sum(_at(d, "analyzers.scan_cost.pass_seconds_histogram").values())
    ),
    "scan_pass_seconds_sum": _passes_took,
    "self_check_difference_events": (
        lambda d, by: d["self_check"]["counts"][by["check"]]["difference"]
    ),
    "self_check_scan_stops_differing_total": lambda d, _: d["self_check"]["at_scan_stop_differing"],
    "self_check_scan_stops_total": lambda d, _: d["self_check"]["at_scan_stop"],
    "stable_chain_mean_nodes": _chains,
    "stable_node_sharers_gcount": lambda d, _: _at(d, "analyzers.stable_tree.shared_pages"),
    "stable_node_sharers_gsum": lambda d, _: (
        _at(d, "analyzers.stable_tree.shared_pages")
        + _at(d, "analyzers.stable_tree.sharing_pages")
    ),
    "stream_ended": lambda d, _: d["stream"]["ended_seconds"] is not None,
    "unplaced_pages": lambda d, by: _at(d, f"analyzers.volatile.causes.{by['cause']}.now_pages"),
    "wasted_pages_total": (
        lambda d, by: _at(d, f"analyzers.volatile.causes.{by['cause']}.examined_pages")
    ),
}  # fmt: skip
