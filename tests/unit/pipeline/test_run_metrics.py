"""The metrics of the run itself, and what holds for the metrics of all plugins together."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from ksmtrace import __version__, hookimpl
from ksmtrace.events import EventKind
from ksmtrace.pipeline.run_metrics import run_metrics
from ksmtrace.plugins import BUILTINS, Role
from support.runs import (
    EMPTY,
    analyse,
    cut_streams,
    examined,
    lost,
    plugin,
    runner,
    series,
    start,
    stop,
)
from support.story import story
from support.streams import events, sample, session

ANALYZERS = [b.name for b in BUILTINS if b.role is Role.ANALYZER]
UNITS = ("_pages", "_bytes", "_seconds", "_ratio", "_info", "_events", "_passes")
COUNTED = (
    "_attempts",
    "_nodes_made",
    "_nodes_removed",
    "_scan_stops",
    "_scan_stops_differing",
    "_cow_faults",
    "_storms",
    "_reading_failures",
    "_groups_evicted",
    "_groups_tracked",
)


def _metrics(rows, *names, **how):
    return series(analyse(rows, *names, **how).metrics)


def test_the_run_is_described():
    found = _metrics(story())
    assert found["ksmtrace_build_info", (("version", __version__),)] == 1
    kernel = (("build_id", "00" * 20), ("release", "6.1.0-test"))
    assert found["ksmtrace_kernel_info", kernel] == 1
    assert found["ksmtrace_events_total", (("kind", "cmp_and_merge_page"),)] == 784
    assert found["ksmtrace_events_total", (("kind", "mm_enter"),)] == 0
    assert found["ksmtrace_lost_events_total", ()] == 0
    assert found["ksmtrace_passes_total", ()] == 3
    way = (("event", "break_cow"), ("exactness", "exact"), ("via", "test:BREAK_COW"))
    assert found["ksmtrace_probe_info", way] == 1
    assert found["ksmtrace_reconstruction_complete", ()] == 1
    assert found["ksmtrace_self_check_scan_stops_total", ()] == 1
    assert found["ksmtrace_self_check_scan_stops_differing_total", ()] == 0
    for gauge in ("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile"):
        assert found["ksmtrace_reconstruction_difference_pages", (("gauge", gauge),)] == 0


def test_losses_are_counted_and_leave_the_reconstruction_incomplete():
    found = _metrics([*EMPTY, lost(5), lost(2)])
    assert found["ksmtrace_lost_events_total", ()] == 7
    assert found["ksmtrace_reconstruction_complete", ()] == 0
    assert ("ksmtrace_events_total", (("kind", "lost"),)) not in found


def test_a_difference_is_shown_with_its_sign_and_counted():
    rows = [*EMPTY, start(0), examined(1), stop(0)]
    kernel = {"pages_shared": 3, "pages_sharing": 0, "pages_unshared": 0, "pages_volatile": 0}
    found = _metrics([*rows, *sample(at_scan_stop=True, **kernel)])
    name = "ksmtrace_reconstruction_difference_pages"
    assert found[name, (("gauge", "pages_shared"),)] == -3
    assert found[name, (("gauge", "pages_volatile"),)] == 1
    assert found["ksmtrace_self_check_scan_stops_differing_total", ()] == 1


def test_a_difference_is_shown_only_where_both_sides_are_known():
    unseen = [EventKind.CMP_AND_MERGE_PAGE, EventKind.REMOVE_RMAP_ITEM]
    found = _metrics(EMPTY, of=session(unseen=unseen))
    name = "ksmtrace_reconstruction_difference_pages"
    assert (name, (("gauge", "pages_shared"),)) in found
    assert (name, (("gauge", "pages_unshared"),)) not in found
    assert not [key for key in _metrics([]) if key[0] == name]


def test_a_kind_that_is_not_seen_has_no_series_of_events_but_one_of_its_probe():
    found = _metrics(EMPTY, of=session(unseen=[EventKind.BREAK_COW]))
    assert ("ksmtrace_events_total", (("kind", "break_cow"),)) not in found
    absent = (("event", "break_cow"), ("exactness", "absent"), ("via", ""))
    assert found["ksmtrace_probe_info", absent] == 1


def test_a_failed_plugin_is_distinguished_from_a_good_one(capsys):
    class Broken:
        @hookimpl
        def ksmtrace_batch(self):
            raise ValueError("broken")

    plugins = {"broken": Broken(), "volatile": plugin("volatile")}
    run = runner([events(*story())], plugins, fail_fast=False)
    run.run()
    found = series(run_metrics(run.state, run.calls))
    assert found["ksmtrace_plugin_success", (("plugin", "broken"),)] == 0
    assert found["ksmtrace_plugin_success", (("plugin", "volatile"),)] == 1
    assert found["ksmtrace_plugin_seconds_total", (("plugin", "volatile"),)] > 0
    assert "broken" in capsys.readouterr().err


def test_names_and_help_texts_follow_the_conventions():
    families = analyse(story(), *ANALYZERS).metrics
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    for family in families:
        assert family.name.startswith("ksmtrace_")
        assert len(family.documentation) > 20
        assert family.documentation.endswith(".")
        assert "\n" not in family.documentation
        assert not family.name.endswith("_total")
        for s in family.samples:
            assert s.name.endswith("_total") == (family.type == "counter")
            assert not {"pid", "mm", "address"} & set(s.labels)


def test_histograms_are_cumulative_with_log_spaced_buckets():
    """Latency of merges and of faults, duration of passes, as a parser of the text has them."""
    found = {f.name: f for f in analyse(story(), *ANALYZERS).metrics if "histogram" in f.type}
    times = {"merge_latency", "cow_fault", "scan_pass"}
    assert {f"ksmtrace_{name}_seconds" for name in times} < found.keys()
    registry = CollectorRegistry()
    registry.register(type("Shown", (), {"collect": lambda _: found.values()})())
    read = list(parse_openmetrics(openmetrics(registry).decode()))  # refuses what is not cumulative
    assert {family.name for family in read} == found.keys()
    for family in read:
        buckets = [s for s in family.samples if s.name.endswith("_bucket")]
        *bounds, last = [float(s.labels["le"]) for s in buckets]
        ratios = [after / before for before, after in pairwise(bounds)]
        assert ratios == pytest.approx([ratios[0]] * len(ratios))
        assert ratios[0] in (2, 4)
        assert last == math.inf
        counts = [s.value for s in buckets]
        assert counts == sorted(counts)
        (count,) = (s.value for s in family.samples if s.name.endswith("count"))
        assert counts[-1] == count > 0
        assert any(s.name.endswith("sum") for s in family.samples)


def test_every_name_says_what_it_counts():
    for family in analyse(story(), *ANALYZERS).metrics:
        plain = {"ksmtrace_build", "ksmtrace_kernel", "ksmtrace_plugin_success"}
        plain |= {"ksmtrace_reconstruction_complete", "ksmtrace_stable_node_sharers"}
        plain |= {"ksmtrace_stream_ended", "ksmtrace_reading_old"}
        plain |= {"ksmtrace_balance_verdict", "ksmtrace_scan_settled", "ksmtrace_advice"}
        assert family.name in plain or family.name.endswith(UNITS + COUNTED), family.name


def test_families_are_fresh_at_each_call():
    run = runner([events(*story())], {name: plugin(name) for name in ANALYZERS})
    snapshot = run.run()
    first, again = snapshot.metrics, run_metrics(run.state, run.calls)
    assert not {id(family) for family in first} & {id(family) for family in again}


@pytest.mark.parametrize("gone", ANALYZERS)
def test_plugins_share_no_metric(gone):
    everything = {f.name for f in analyse(story(), *ANALYZERS).metrics}
    others = {f.name for f in analyse(story(), *(n for n in ANALYZERS if n != gone)).metrics}
    alone = {f.name for f in analyse(story(), gone).metrics}
    assert others | alone == everything
    assert others & alone == {f.name for f in analyse(story()).metrics}


@given(cut_streams())
def test_the_way_batches_are_cut_changes_nothing(stream):
    rows, cuts = stream
    assert _metrics(rows, cuts=cuts) == _metrics(rows)
