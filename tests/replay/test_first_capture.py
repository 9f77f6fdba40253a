"""The first capture of a kernel that was ever recorded, of format version 1, is read for ever.

What it must answer was printed by the run that recorded it, in a guest of Debian's 6.1: counters
that the kernel kept itself.
"""

import json

import pytest

from ksmtrace.capture.schema import VERSION
from support.command import ksmtrace

SAMPLES = 254
KERNEL = {
    "pages_shared": 55, "pages_sharing": 340, "pages_unshared": 494, "pages_volatile": 62,
    "full_scans": 11, "stable_node_chains": 4, "stable_node_dups": 54, "rmap_items": 951,
    "cow_ksm": 920, "ksmd_cpu_ns": 722847325, "candidates_found": 54774,
}  # fmt: skip
SEEN = {
    "CMP_AND_MERGE_PAGE": 54774, "TRY_TO_MERGE_ONE_PAGE": 1967, "REPLACE_PAGE": 1563,
    "STABLE_APPEND": 1921, "REMOVE_RMAP_ITEM": 20088, "REMOVE_STABLE_NODE": 114,
    "SCAN_START": 40, "SCAN_STOP": 40, "MM_ENTER": 4, "MM_EXIT": 4, "PROCESS": 116,
    "SAMPLE": SAMPLES,
}  # fmt: skip
FOUND_BY_KSMD, APPENDED_BY_KSMD = 53235, 1921
"""Calls of ksm_next_page_pmd_entry with a page, and of stable_tree_append, counted by kprobes."""


@pytest.fixture(scope="module")
def path(repository):
    return repository / "tests/replay/data/first.ksmtrace"


@pytest.fixture(scope="module")
def document(path):
    ran = ksmtrace("replay", path, "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    return json.loads(ran.stdout)


def test_every_event_is_there(document):
    assert VERSION == 1, "a capture of each version that ends here has a test like this one"
    assert {kind: n for kind, n in document["events"]["by_kind"].items() if n} == SEEN
    assert (document["passes"], document["events"]["lost"]) == (40, 0)
    assert document["counters"] == KERNEL


def test_what_is_reconstructed_is_what_the_kernel_counted(document):
    checked = document["self_check"]
    assert (checked["at_scan_stop"], checked["at_scan_stop_differing"]) == (40, 0)
    assert checked["counts"]["candidates"]["counted"] == FOUND_BY_KSMD
    assert checked["counts"]["merged"]["counted"] == APPENDED_BY_KSMD
    assert {row["difference"] for row in checked["counts"].values()} == {0}
    for gauge in ("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile"):
        assert document["reconciliation"][gauge]["reconstructed"] == KERNEL[gauge]


def test_the_engine_takes_every_decision_of_it(path):
    ran = ksmtrace("replay", path, "--engine", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    followed = json.loads(ran.stdout)["engine"]
    assert (followed["variant"], followed["parted"]) == ("ksm-6.1", 0)
    assert followed["agreed"] > 0.99 * followed["decisions"] > 4 * FOUND_BY_KSMD


def test_every_other_verb_that_reads_captures_reads_it(path, tmp_path):
    for arguments in (
        ("report", path, "-o", tmp_path / "page.html"),
        ("replay", path, "--events", "--kind", "stable_append"),
        ("whatif", path, "--variant", "ksm-6.1"),
    ):
        ran = ksmtrace(*arguments)
        assert (ran.returncode, "Traceback" in ran.stderr) == (0, False)
