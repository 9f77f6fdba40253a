"""The value of each Prometheus series, computed from the JSON document instead."""

from collections.abc import Callable
from itertools import accumulate
from typing import Any

ONLY_SERVED = {
    "ksmtrace_merge_latency_seconds_sum": "the document has the buckets and two quantiles",
    "ksmtrace_published_timestamp_seconds": "when this run made them: not a fact of the capture",
    "ksmtrace_plugin_seconds_total": "how long this run took: not a fact of the capture",
}
"""Series without a figure in the document, with the reason."""

_PATHS = {
    "balance_metadata_bytes": "balance.total.metadata_bytes",
    "balance_net_bytes": "balance.total.net_saved_bytes",
    "break_cow_pages_total": "stable_tree.break_cow_pages",
    "cow_fault_seconds_count": "cow.user_pages",
    "cow_fault_seconds_sum": "cow.fault_total_seconds",
    "cow_storms_total": "cow.storms",
    "last_pass_changed_pages": "volatile.last_pass_changed_pages",
    "last_pass_changed_ratio": "volatile.last_pass_changed_ratio",
    "last_pass_examined_pages": "volatile.last_pass_examined_pages",
    "last_pass_inserted_pages": "unstable_tree.last_pass_inserted_pages",
    "last_pass_merged_pages": "stable_tree.last_pass_merged_pages",
    "merge_half_life_seconds": "merge_life.merge_half_life_seconds",
    "merge_latency_seconds_count": "merge_life.merge_latency_pages",
    "merged_pages_total": "stable_tree.merged_pages",
    "regret_pages_total": "cow.regret_pages",
    "saved_bytes": "stable_tree.saved_bytes",
    "scan_coverage_ratio": "scan_cost.coverage_ratio",
    "scan_ksmd_cpu_seconds_total": "scan_cost.ksmd_cpu_seconds",
    "scan_settled": "scan_cost.settled",
    "scan_skipped_pages_total": "scan_cost.skipped_pages",
    "scan_zero_checksum_pages": "scan_cost.last_pass_zero_checksum_pages",
    "shared_pages": "stable_tree.shared_pages",
    "sharing_pages": "stable_tree.sharing_pages",
    "snapshot_mapped_pages": "snapshot.mapped_pages",
    "stable_left_pages_total": "stable_tree.left_pages",
    "stable_node_sharers_gcount": "stable_tree.shared_pages",
    "stable_nodes_made_total": "stable_tree.new_node_pages",
    "stable_nodes_removed_total": "stable_tree.removed_node_pages",
    "unshared_pages": "unstable_tree.unshared_pages",
    "unstable_gone_pages_total": "unstable_tree.gone_pages",
    "unstable_inserted_pages_total": "unstable_tree.inserted_pages",
    "unstable_matched_pages_total": "unstable_tree.matched_pages",
    "volatile_pages": "volatile.volatile_pages",
}

_BY_LABEL = {
    "balance_cow_seconds_total": ("by", "balance.total.{}_break_seconds"),
    "lives_pages_total": ("stage", "merge_life.{}_pages"),
    "rmap_item_pages": ("state", "heat_map.pages.{}"),
    "unplaced_pages": ("cause", "volatile.causes.{}.now_pages"),
    "wasted_pages_total": ("cause", "volatile.causes.{}.examined_pages"),
}

_NAMED = {
    "cow_faults_total": ("by", {"user": "cow_fault_pages", "kernel": "kernel_break_pages"}),
    "replaced_pages_total": ("kpage", {"ksm": "replaced_pages", "zero": "zero_page_pages"}),
}

_OUTCOMES = {"stable": "placed_stable_pages", "unstable": "placed_unstable_pages"}

_HISTOGRAMS = {
    "scan_pass_seconds_bucket": "scan_cost.pass_seconds_histogram",
    "merge_latency_seconds_bucket": "merge_life.merge_latency_buckets_pages",
    "stable_node_sharers_bucket": "stable_tree.node_sharers_pages",
}


_OF_GROUPS = {
    "group_saved_bytes": "saved_bytes",
    "group_metadata_bytes": "metadata_bytes",
    "group_merged_pages_total": "merged_pages",
    "group_examined_pages_total": "examined_pages",
    "group_wasted_pages_total": "wasted_pages",
    "group_cow_faults_total": "{by}_break_pages",
    "group_cow_seconds_total": "{by}_break_seconds",
    "group_ksmd_cpu_seconds_total": "ksmd_cpu_seconds",
}


def said(document: dict[str, Any], name: str, labels: dict[str, str]) -> float | str | None:
    """The document's value of a series; None where it has no such figure."""
    own = name.removeprefix("ksmtrace_")
    analyzers = document["analyzers"]
    if own in _PATHS:
        return _at(analyzers, _PATHS[own])
    if own in _BY_LABEL:
        label, path = _BY_LABEL[own]
        return _at(analyzers, path.format(labels[label]))
    if own in _NAMED:
        label, names = _NAMED[own]
        return analyzers["stable_tree"][names[labels[label]]]
    if own in _OF_GROUPS:
        return _group(analyzers["groups"], labels)[_OF_GROUPS[own].format_map(labels)]
    if own in _HISTOGRAMS:
        return _cumulative(_at(analyzers, _HISTOGRAMS[own]), labels["le"])
    return _DERIVED[own](document, labels) if own in _DERIVED else None


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
    "events_total": lambda d, by: d["events"]["by_kind"][by["kind"].upper()],
    "examined_pages_total": lambda d, by: d["analyzers"]["volatile"][
        _OUTCOMES.get(by["outcome"], f"{by['outcome']}_pages")
    ],
    "groups_evicted_total": lambda d, _: _at(d, "analyzers.groups.evicted"),
    "groups_tracked": lambda d, _: len(_at(d, "analyzers.groups.groups")),
    "kernel_info": lambda d, by: d["kernel"] == {key: by[key] for key in ("release", "build_id")},
    "lost_events_total": lambda d, _: d["events"]["lost"],
    "merge_attempts_total": _attempts,
    "passes_total": lambda d, _: d["passes"],
    "plugin_success": lambda d, by: by["plugin"] not in d["plugins_failed"],
    "probe_info": lambda d, by: (
        (found := d["probes"][by["event"]])["via"] == by["via"]
        and found["exactness"] == by["exactness"]
    ),
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
    "stable_node_sharers_gsum": lambda d, _: (
        _at(d, "analyzers.stable_tree.shared_pages")
        + _at(d, "analyzers.stable_tree.sharing_pages")
    ),
}  # fmt: skip
