"""Totals of a run beside a run that took in the stream of the same workload."""

from typing import Any

from ksmtrace.events.kinds import RARE


def counts_of_rare_kinds(document: dict[str, Any]) -> dict[str, int]:
    return {kind.name: document["events"]["by_kind"][kind.name] for kind in sorted(RARE)}


def check_totals(totals: dict[str, Any], streamed: dict[str, Any], counted: dict[str, int]) -> None:
    """Every kind and every reason of a refusal, against the stream and a second count."""
    ours = counts_of_rare_kinds(totals)
    assert ours == counts_of_rare_kinds(streamed)
    assert {
        "attempts": ours["TRY_TO_MERGE_ONE_PAGE"],
        "replaced": ours["REPLACE_PAGE"],
        "appends": ours["STABLE_APPEND"],
        "break_cow": ours["BREAK_COW"],
        "removed_nodes": ours["REMOVE_STABLE_NODE"],
    }.items() <= counted.items()
    tree, same = (document["analyzers"]["stable_tree"] for document in (totals, streamed))
    for figure in ("failed_pages", "zero_page_pages", "replaced_pages", "break_cow_pages"):
        assert tree[figure] == same[figure]
    assert sum(tree["failed_pages"].values()) > 0
    assert tree["zero_page_pages"] > 0
    merged = totals["self_check"]["counts"]["merged"]
    assert merged["difference"] == 0
    assert merged["events"] > 0
