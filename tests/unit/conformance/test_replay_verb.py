"""`replay --engine`, as a user runs it."""

import json

import numpy as np
import pytest

from ksmtrace.capture.reader import open_capture
from ksmtrace.capture.writer import CaptureWriter
from ksmtrace.conformance.rules import Rule
from ksmtrace.engine.variants import NEWEST
from ksmtrace.events import EventKind, Flag
from support.command import assert_one_line, ksmtrace
from support.engine_streams import recorded
from support.streams import session
from support.workload_steps import workload


@pytest.fixture(scope="module")
def real(bundled_capture):
    """The document of the capture of a real 6.1."""
    ran = ksmtrace("replay", "--engine", "--json", bundled_capture)
    assert ran.stderr == ""
    assert ran.returncode == 0
    return json.loads(ran.stdout)["engine"]


def test_a_real_kernel_decides_as_the_engine(real, bundled_capture):
    assert real["variant"] == "ksm-6.1"
    assert (real["parted"], real["first_difference"], real["differences"]) == (0, None, [])
    assert real["decisions"] == real["agreed"] + real["unknown"] > 400_000
    assert real["unknown"] < real["decisions"] / 200
    judged = {name for name, row in real["by_rule"].items() if row["agreed"]}
    assert judged == {rule.key for rule in Rule} - {"smart_scan"}


def test_its_writes_are_followed(real):
    """max_page_sharing = 8 after run=2, and use_zero_pages twice: what they explain is known."""
    assert real["tunables"] == {"max_page_sharing": 8, "merge_across_nodes": 1, "use_zero_pages": 0}
    unknown = {name for name, row in real["by_rule"].items() if row["unknown"]}
    assert unknown == {"checksum", "stable_search"}


def test_the_text_fits_80_columns(bundled_capture):
    ran = ksmtrace("replay", "--engine", bundled_capture)
    assert ran.returncode == 0
    section = ran.stdout[ran.stdout.index("\nengine ksm-6.1: ") :]
    assert "0 part" in section
    assert max(map(len, ran.stdout.splitlines())) <= 80


def test_without_the_option_the_document_has_no_such_key(bundled_capture):
    assert "engine" not in json.loads(ksmtrace("replay", "--json", bundled_capture).stdout)


@pytest.fixture
def flipped(tmp_path):
    """A capture in which the last page merged is said to be new in its node."""
    rows = ("spawn a", "map a r 5", "fill a r content=byte:97", "mergeable a r", "scan 3")
    of, records = recorded(workload(*rows, smart_scan=0))
    at = np.flatnonzero(records["kind"] == EventKind.STABLE_APPEND)[-1]
    records["flags"][at] = Flag.NEW_NODE
    path = tmp_path / "flipped.ksmtrace"
    with CaptureWriter(str(path), of) as writer:
        writer.write(records)
    return path


def test_a_difference_is_flagged_and_explained(flipped):
    ran = ksmtrace("replay", "--engine", "--json", flipped)
    assert ran.returncode == 1
    found = json.loads(ran.stdout)["engine"]
    assert (found["variant"], found["parted"]) == (NEWEST, 1)
    first = found["first_difference"]
    assert (first["rule"], first["function"]) == ("append", "stable_tree_append")
    assert first["kind"] == "STABLE_APPEND"
    text = ksmtrace("replay", "--engine", flipped)
    assert text.returncode == 1
    shown = " ".join(text.stdout.split())
    assert first["sentence"] in shown
    assert max(map(len, text.stdout.splitlines())) <= 80


def test_a_capture_without_candidates(tmp_path):
    unseen = [EventKind.CMP_AND_MERGE_PAGE, EventKind.REMOVE_RMAP_ITEM]
    path = tmp_path / "tracepoint.ksmtrace"
    with CaptureWriter(str(path), session(tier="tracepoint", unseen=unseen)):
        pass
    with open_capture(str(path)) as capture:
        assert capture.session.tier == "tracepoint"
    for options in ((), ("--json",)):
        ran = ksmtrace("replay", "--engine", *options, path)
        assert_one_line(ran, 2, "--engine", "tier tracepoint", "cmp_and_merge_page")


def test_every_key_is_in_the_document(real, repository):
    text = (repository / "docs/ENGINE.md").read_text()
    for key in real.keys() - {"differences"}:
        assert f"`engine.{key}" in text or f"`.{key}`" in text, key
    for rule in Rule:
        assert f"`{rule.key}`" in text
