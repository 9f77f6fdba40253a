"""A tracer that runs on while processes come and go: it does not grow, and loses nothing."""

import pytest

from conftest import borrowed_ksm
from support.soak import ALIVE, soak

pytestmark = pytest.mark.live

SLACK_BYTES = 8 << 20
SLACK_DESCRIPTORS = 2
"""A scrape under way and a file of /proc that is being read."""


@pytest.fixture(scope="module")
def found(request):
    with borrowed_ksm(request) as ksm:
        return soak(ksm, request.config.getoption("--soak"))


def test_processes_came_and_went(found):
    assert found.born > 3 * ALIVE
    assert max(found.pages_sharing) > 100
    assert found.scrapes > len(found.seconds) / 2


@pytest.mark.parametrize("what", ["resident_bytes", "serving_bytes"])
def test_memory_is_flat(found, what):
    values = getattr(found, what)
    assert max(found.part(values, 2 / 3, 1)) <= max(found.part(values, 1 / 3, 2 / 3)) + SLACK_BYTES


def test_descriptors_and_threads_stay(found):
    settled = found.part(found.descriptors, 1 / 3, 1)
    assert max(settled) <= min(settled) + SLACK_DESCRIPTORS
    assert len(set(found.part(found.threads, 1 / 3, 1))) == 1


def test_nothing_is_lost_or_failed(found):
    assert found.document["events"]["lost"] == 0
    assert found.document["plugins_failed"] == {}
    assert found.errors == ""


def test_the_answer_is_the_kernels(found):
    document = found.document
    at_start, at_end = document["counters_at_start"], document["counters"]
    assert document["passes"] == at_end["full_scans"] - at_start["full_scans"]
    assert {row["difference"] for row in document["self_check"]["counts"].values()} <= {0}
    if document["tier"] == "full":
        assert {row["difference"] for row in document["reconciliation"].values()} == {0}
