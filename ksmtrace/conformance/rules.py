"""The rules of ksmd that can be checked by a capture, each with its function of mm/ksm.c."""

from __future__ import annotations

from enum import Enum


class Rule(Enum):
    """One kind of decision; the value is (name in JSON, function, the rule in words)."""

    STATE = (
        "state",
        "remove_rmap_item_from_tree",
        "an rmap_item is in the tree, and has the checksum, that its last event left it with",
    )
    SCAN_ORDER = (
        "scan_order",
        "scan_get_next_rmap_item",
        "a pass goes through each process once, by ascending address, "
        "and frees the rmap_items in between",
    )
    WHOLE_PASS = (
        "whole_pass",
        "scan_get_next_rmap_item",
        "when a pass ends, every rmap_item left was met in it, and seqnr has grown by one",
    )
    SMART_SCAN = (
        "smart_scan",
        "should_skip_rmap_item",
        "a page that has grown old without a partner is passed over as often as its age says",
    )
    SETTLED = (
        "settled",
        "cmp_and_merge_page",
        "a KSM page whose rmap_item is in its stable node stays as it is",
    )
    CHECKSUM = (
        "checksum",
        "cmp_and_merge_page",
        "a page whose checksum changed is left alone until the next pass",
    )
    ORDER = (
        "order",
        "cmp_and_merge_page",
        "out of its tree first; then the zero page, a KSM page, or a partner of the unstable tree",
    )
    OUTCOME = (
        "outcome",
        "cmp_and_merge_page",
        "the rmap_item ends in the tree to which the events have brought it",
    )
    ZERO_PAGE = (
        "zero_page",
        "try_to_merge_with_zero_page",
        "only a page with the checksum of an empty one is tried with the zero page",
    )
    STABLE_SEARCH = (
        "stable_search",
        "stable_tree_search",
        "a page that equals a KSM page with room joins it, before any partner is looked for",
    )
    SHARING_LIMIT = (
        "sharing_limit",
        "is_page_sharing_candidate",
        "a stable node takes sharers while it has some, and fewer than max_page_sharing",
    )
    UNSTABLE_SEARCH = (
        "unstable_search",
        "unstable_tree_search_insert",
        "a partner stands in the unstable tree of this very pass",
    )
    TWO_HALVES = (
        "two_halves",
        "try_to_merge_two_pages",
        "the scanned page becomes the KSM page, then the partner gives way to it, "
        "or break_cow undoes the first half",
    )
    APPEND = (
        "append",
        "stable_tree_append",
        "the partner is appended first, and a node is new for its first rmap_item alone",
    )
    REMOVAL = (
        "removal",
        "remove_rmap_item_from_tree",
        "what leaves a tree was in it, and in that node",
    )
    GAUGES = (
        "gauges",
        "ksm_do_scan",
        "the kernel's own counters at the end of a pass are the engine's",
    )

    @property
    def key(self) -> str:
        """Its name in JSON."""
        return self.value[0]

    @property
    def function(self) -> str:
        """The function of mm/ksm.c, and of the engine."""
        return self.value[1]

    @property
    def text(self) -> str:
        """The rule in words."""
        return self.value[2]
