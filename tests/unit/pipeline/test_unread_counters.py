"""Counters that could not be read: counted, shown, the last value kept, and nothing concluded."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.drawing.summary import facts
from ksmtrace.events import EventKind, Gauge
from ksmtrace.plugins import BUILTINS, Role
from ksmtrace.plugins.tui.text import plain_text
from support.runs import analyse, series
from support.story import story
from support.streams import sample

ANALYZERS = [b.name for b in BUILTINS if b.role is Role.ANALYZER]
SECOND = 10**9


def unread(ts, why, **gauges):
    """A reading of which these gauges failed: their last values, and why."""
    return [row | {"err": -why} for row in sample(ts=ts, **gauges)]


def reading(ts, why, fresh, failed):
    """A reading, partly failed."""
    rows = [*sample(ts=ts, **fresh), *unread(ts, why, **failed)]
    rows[len(fresh) - 1]["flags"] = 0
    return rows


FIRST = sample(ts=SECOND, pages_shared=3, pages_sharing=40, general_profit=4096)
PARTLY = reading(2 * SECOND, errno.EIO, {"pages_shared": 4}, {"pages_sharing": 40})
WHOLLY = unread(3 * SECOND, errno.EMFILE, pages_shared=4, pages_sharing=40, general_profit=4096)


def test_the_last_value_is_kept_and_marked():
    document = analyse([*FIRST, *PARTLY], "balance").document
    assert document["counters"] == {"pages_shared": 4, "pages_sharing": 40, "general_profit": 4096}
    assert document["counters_unread"] == {
        "pages_sharing": {
            "failures": 1, "reason": "EIO: Input/output error", "old": True, "read_seconds": 1.0
        }
    }  # fmt: skip
    assert document["reconciliation"]["pages_sharing"]["kernel"] is None
    assert any("OLD: pages_sharing" in fact for fact in facts(document))


def test_a_reading_that_fails_wholly_changes_nothing_but_the_marks():
    before = analyse([*FIRST, *PARTLY], *ANALYZERS).document
    after = analyse([*FIRST, *PARTLY, *WHOLLY], *ANALYZERS).document
    assert after["counters"] == before["counters"]
    assert after["analyzers"]["balance"]["verdict"] == before["analyzers"]["balance"]["verdict"]
    assert {name: one["failures"] for name, one in after["counters_unread"].items()} == {
        "pages_shared": 1, "pages_sharing": 2, "general_profit": 1
    }  # fmt: skip
    assert "EMFILE: Too many open files" in after["counters_unread"]["pages_shared"]["reason"]


def test_a_later_reading_that_succeeds_is_not_old():
    later = sample(ts=4 * SECOND, pages_shared=4, pages_sharing=41, general_profit=0)
    run = analyse([*FIRST, *WHOLLY, *later], *ANALYZERS)
    assert not any(one["old"] for one in run.document["counters_unread"].values())
    assert run.document["counters"]["pages_sharing"] == 41
    assert "all were at the last reading" in " ".join(plain_text(run).split())
    which = (("counter", "pages_sharing"),)
    metrics = series(run.metrics)
    assert metrics["ksmtrace_reading_failures_total", which] == 1
    assert metrics["ksmtrace_reading_old", which] == 0


def test_what_was_never_read_has_no_value():
    never = unread(SECOND, errno.EBADMSG, pages_shared=0)
    document = analyse(never, *ANALYZERS).document
    assert document["counters"] == {}
    assert document["counters_unread"]["pages_shared"]["read_seconds"] is None
    assert "holds something else" in document["counters_unread"]["pages_shared"]["reason"]


@given(st.data())
def test_no_analyzer_is_misled_or_stopped(data):
    """Whatever fails, every plugin answers; differences from the kernel are none that were not
    there."""
    rows = [dict(row) for row in story()]
    samples = [at for at, row in enumerate(rows) if row["kind"] == EventKind.SAMPLE]
    failed = set(data.draw(st.lists(st.sampled_from(samples), max_size=12)))
    for at in failed:
        if rows[at].get("address") != Gauge.FAULT_PROBES:
            rows[at]["err"] = -errno.EMFILE
    whole, torn = analyse(story(), *ANALYZERS), analyse(rows, *ANALYZERS)
    assert torn.document["plugins_failed"] == {}
    plain_text(torn)
    series(torn.metrics)
    for name, row in torn.document["reconciliation"].items():
        assert row["difference"] in (None, whole.document["reconciliation"][name]["difference"])
    assert torn.document["self_check"]["at_scan_stop_differing"] == 0
    assert torn.document["events"] == whole.document["events"]


@pytest.mark.parametrize("cut", range(1, 5))
def test_a_reading_is_one_however_it_is_cut(cut):
    rows = [*FIRST, *PARTLY, *WHOLLY]
    assert analyse(rows, "balance", cuts=[cut]).document == analyse(rows, "balance").document
