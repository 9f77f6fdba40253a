"""The capture of a real 6.1 kernel, replayed, gives the answers of the live run in the guest."""

import json
import re
from pathlib import Path

import pytest

from support.command import ksmtrace
from support.exposition import samples

ACCEPT = "if the new answer is meant: `make accept`, and read the difference"


@pytest.fixture(scope="module")
def live(bundled_capture) -> dict:
    """The document that the live run in the guest printed."""
    return json.loads(Path(f"{bundled_capture}.json").read_text())


@pytest.fixture(scope="module")
def replayed(bundled_capture, tmp_path_factory) -> tuple[dict, dict]:
    textfile = tmp_path_factory.mktemp("textfile")
    ran = ksmtrace("replay", bundled_capture, "--json", "--textfile", textfile)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    return json.loads(ran.stdout), samples((textfile / "ksmtrace.prom").read_text())


def test_it_is_small_and_from_a_real_kernel(bundled_capture, live):
    assert bundled_capture.stat().st_size < 1024 * 1024
    assert live["source"] == "live"
    assert live["kernel"]["release"].startswith("6.1.")
    assert live["tier"] == "full"
    assert live["events"]["total"] > 50_000


def test_the_documents_are_equal(live, replayed):
    document, _ = replayed
    assert document["source"] == "capture"
    assert document["analyzers"] == live["analyzers"], ACCEPT
    for key in live.keys() - {"source", "version"}:
        assert document[key] == live[key], f"{key}: {ACCEPT}"


def test_every_metric_is_equal(bundled_capture, replayed):
    _, ours = replayed
    theirs = samples(Path(f"{bundled_capture}.prom").read_text())
    assert ours == theirs, ACCEPT
    assert len(ours) > 50


def test_every_metric_that_a_kernel_gave_is_in_the_reference(bundled_capture, repository):
    """The table is made from a story: here is what it may have left out."""
    families = re.findall(
        r"^# TYPE (\w+)", Path(f"{bundled_capture}.prom").read_text(), re.MULTILINE
    )
    reference = (repository / "docs/METRICS.md").read_text()
    # prometheus_client tells the sum and the count of a gauge histogram as families of their own
    named = {re.sub(r"_g(sum|count)$", "", name) for name in families}
    missing = {name for name in named if f"`{name}" not in reference}
    assert len(families) > 60
    assert missing == set()


def test_the_kernel_agreed_at_every_pass(replayed):
    document, _ = replayed
    assert {row["difference"] for row in document["reconciliation"].values()} == {0}
    assert document["self_check"]["at_scan_stop"] == document["passes"] > 30
    assert document["self_check"]["at_scan_stop_differing"] == 0


def test_in_real_time_the_answers_are_the_same(bundled_capture, replayed):
    ran = ksmtrace("replay", bundled_capture, "--json", "--speed", "80")
    assert json.loads(ran.stdout)["analyzers"] == replayed[0]["analyzers"]


def test_plain_text_fits_80_columns(bundled_capture):
    ran = ksmtrace("replay", bundled_capture)
    assert ran.returncode == 0
    assert "\x1b" not in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= 80
