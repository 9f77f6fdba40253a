"""A real Prometheus scrapes a live run: panels and rules have the data that this kernel can
give."""

import json
import subprocess
import time

import pytest

from support.command import KSMTRACE
from support.dashboards import RULES, looked_at, metrics, rules, substituted, targets
from support.prometheus import free_port, need_prometheus, prometheus

pytestmark = pytest.mark.live

SECONDS, RANGE = 24, "25s"

NEEDS = {
    # each page that ksmd examines, and what became of it
    "cmp_and_merge_page": {
        *("examined_pages_total", "wasted_pages_total", "unplaced_pages"),
        *("last_pass_changed_pages", "last_pass_changed_ratio", "last_pass_examined_pages"),
        *("unstable_inserted_pages_total", "unstable_matched_pages_total", "rmap_item_pages"),
        *("last_pass_inserted_pages", "merge_latency_seconds_bucket", "scan_coverage_ratio"),
        *("scan_zero_checksum_pages", "self_check_difference_events", "group_metadata_bytes"),
        *("group_examined_pages_total", "group_wasted_pages_total"),
        *("group_ksmd_cpu_seconds_total",),
    },
    # writes to merged pages
    "cow_fault": {
        *("cow_fault_seconds_bucket", "cow_faults_total", "cow_storms_total", "regret_pages_total"),
        *("balance_cow_seconds_total", "group_cow_faults_total", "group_cow_seconds_total"),
    },
    # pages that leave a tree
    "remove_rmap_item": {"stable_left_pages_total", "unstable_gone_pages_total"},
    # pages that smart scan passes over
    "skipped": {"scan_skipped_pages_total"},
}
"""The event without which a metric is not there; those that every tier has are not listed."""

DOES_WITHOUT = {"instance:ksmtrace_cost_cores:rate5m"}
"""Made so that it is there without what it asks for: where no COW faults are seen, cost is ksmd's
alone."""


def asked():
    """Every expression of panels and rules, by what a failing test shows."""
    found = {target.name: substituted(target.expression, RANGE, RANGE) for target in targets()}
    found |= {rule["record"]: rule["expr"] for rule in rules("record")}
    return found | {
        f"{rule['alert']}: {side}": side.replace(" offset 1h", "")
        for rule in rules("alert")
        for side in looked_at(rule["expr"])
    }


@pytest.fixture
def lived(request, clean_ksm, tmp_path):
    """(server, a moment shortly before the end, document) of a demo that was scraped."""
    need_prometheus(request)
    port = free_port()
    command = [KSMTRACE, "demo", "--json", "--no-tui", "--duration", str(SECONDS)]
    with prometheus(tmp_path, port, interval="500ms", rules=[RULES]) as server:
        ran = subprocess.run(
            [*command, "--listen", f"127.0.0.1:{port}"], capture_output=True, text=True, check=True
        )
        ended = time.time()
        up = (ended - quarter / 4 for quarter in range(80))
        last = next(at for at in up if server.values("up == 1", at))
        yield server, last - 1, json.loads(ran.stdout.splitlines()[-1])


def test_what_this_kernel_shows_is_there_and_the_rest_has_its_reason(lived):
    server, at, document = lived
    served = {s["metric"]["__name__"] for s in server.instant('{__name__!=""}', at)}
    lacking = {name: metrics(expression) - served for name, expression in asked().items()}
    # absent, or the kernel's total alone
    unseen = {
        event
        for event, probe in document["probes"].items()
        if probe["exactness"] in {"absent", "sampled"}
    }
    expected = {
        f"ksmtrace_{name}" for event, names in NEEDS.items() if event in unseen for name in names
    }
    if "cmp_and_merge_page" in unseen:
        expected.add("instance:ksmtrace_changed_pages:ratio_rate30m")
    assert set().union(*lacking.values()) == expected
    empty = {name for name, expression in asked().items() if not server.values(expression, at)}
    assert empty == {name for name, without in lacking.items() if without} - DOES_WITHOUT
    print(f"{document['tier']}: {len(empty)} of {len(lacking)} expressions have no data")
    assert len(lacking) - len(empty) > 40
