"""Probes that are attached and do not fire: by the kernel's switches, and by its counters."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.events import EventKind, Gauge
from ksmtrace.events.readings import Reading
from ksmtrace.pipeline.silence import COUNTED_BY, SilenceWatch
from ksmtrace.session import Exactness, Probe
from support.runs import analyse, appended
from support.streams import events, sample, session

SECOND = 10**9
K = EventKind
VIA = {
    K.TRY_TO_MERGE_ONE_PAGE: "fentry and fexit try_to_merge_one_page",
    K.STABLE_APPEND: "kprobe stable_tree_append",
    K.BREAK_COW: "kprobe break_cow",
    K.REMOVE_RMAP_ITEM: "kprobe kthread_should_stop + lists of rmap_items",
    K.CMP_AND_MERGE_PAGE: "kprobe kthread_should_stop + lists of rmap_items",
    K.SCAN_STOP: "raw_tracepoint ksm_stop_scan",
    K.MM_ENTER: "raw_tracepoint ksm_enter",
}


def of(**how):
    probes = {kind: Probe(via, Exactness.EXACT) for kind, via in VIA.items()}
    absent = Probe("", Exactness.ABSENT)
    return replace(session(), probes={kind: probes.get(kind, absent) for kind in K}, **how)


def read(watch, second, **gauges):
    values = {Gauge[name.upper()]: value for name, value in gauges.items()}
    return watch.read(Reading(values, int(second * SECOND), at_scan_stop=False))


@pytest.mark.parametrize(
    ("gauge", "silenced"),
    [
        ("ftrace_enabled", {kind for kind, via in VIA.items() if "tracepoint" not in via}),
        ("kprobes_enabled", {kind for kind, via in VIA.items() if "kprobe" in via}),
    ],
)
def test_a_switch_that_is_off_silences_what_it_carries_and_no_tracepoint(gauge, silenced):
    watch = SilenceWatch(of())
    assert not read(watch, 1, **{gauge: 1}, pages_shared=5, pages_sharing=5)
    assert watch.silent == {}
    assert read(watch, 2, **{gauge: 0}, pages_shared=5, pages_sharing=9)
    assert watch.silent.keys() == silenced
    assert all(gauge.split("_")[1] in reason for reason in watch.silent.values())
    # what the kernel counts from now on is missed, of the kinds of which it counts all or some
    read(watch, 3, **{gauge: 0}, pages_shared=5, pages_sharing=19)
    assert watch.found[K.STABLE_APPEND].missed == 14
    assert watch.found[K.BREAK_COW].missed == 0


def test_it_is_over_when_events_come_again_and_what_was_missed_stays():
    watch = SilenceWatch(of())
    read(watch, 1, ftrace_enabled=1, pages_shared=0, pages_sharing=0)
    read(watch, 2, ftrace_enabled=0, pages_shared=0, pages_sharing=0)
    read(watch, 3, ftrace_enabled=0, pages_shared=1, pages_sharing=6)
    assert K.STABLE_APPEND in watch.never_seen
    watch.apply(events(*({"kind": kind} for kind in VIA)))
    read(watch, 4, ftrace_enabled=1, pages_shared=1, pages_sharing=7)
    assert watch.silent == {}
    assert watch.missed == 14, "two kinds of which the kernel counted seven each"
    assert watch.to_json()["stable_append"]["over"]


def test_without_a_switch_the_kernels_counters_tell():
    """A kprobe that somebody disarmed: merges go on, no append comes, and no other kprobe's event;
    attempts do, by fentry."""
    watch = SilenceWatch(of())
    for second in range(9):
        assert read(watch, second, pages_shared=1, pages_sharing=10 * second) == (second >= 5)
        watch.apply(events({"kind": K.TRY_TO_MERGE_ONE_PAGE}))
    assert watch.silent.keys() == {K.STABLE_APPEND, K.BREAK_COW, K.REMOVE_RMAP_ITEM}
    assert watch.found[K.STABLE_APPEND].missed == 80
    assert "pages_shared + pages_sharing" in watch.silent[K.STABLE_APPEND]
    assert "stable_append" in watch.silent[K.BREAK_COW]


@pytest.mark.parametrize("attempts_come", [True, False])
def test_what_is_seen_in_two_ways_is_silent_where_both_are(attempts_come):
    """Merges go on, and no append comes by kprobe; attempts are seen by fentry."""
    both = Probe("fentry kthread_should_stop + kprobe __msecs_to_jiffies", Exactness.DERIVED)
    told = of()
    watch = SilenceWatch(replace(told, probes={**told.probes, K.REMOVE_RMAP_ITEM: both}))
    for second in range(1, 20):
        if attempts_come:
            watch.apply(events({"kind": K.TRY_TO_MERGE_ONE_PAGE}))
        read(watch, second, pages_shared=5, pages_sharing=5 * second)
    assert K.BREAK_COW in watch.silent
    assert (K.REMOVE_RMAP_ITEM in watch.silent) is not attempts_come


def test_one_silent_kprobe_among_others_is_alone():
    watch = SilenceWatch(of())
    for second in range(9):
        read(watch, second, pages_shared=1, pages_sharing=10 * second)
        watch.apply(events({"kind": K.TRY_TO_MERGE_ONE_PAGE}, {"kind": K.BREAK_COW}))
    assert watch.silent.keys() == {K.STABLE_APPEND}


def test_examinations_are_judged_where_a_pass_has_ended():
    """A long batch of ksmd's has all its events at its end."""
    watch = SilenceWatch(of())
    for second in range(20):
        read(watch, second, pages_scanned=1000 * second, full_scans=second // 15)
        assert (K.CMP_AND_MERGE_PAGE in watch.silent) == (second >= 15)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=40), st.booleans())
def test_what_is_heard_is_never_silent(steps, lost):
    """Each merge has its events, at the latest with the next reading."""
    watch = SilenceWatch(of())
    merged = late = 0
    for second, (now, held) in enumerate(steps):
        rows = [{"kind": kind} for kind in COUNTED_BY if kind in VIA for _ in range(now + late)]
        watch.apply(events(*rows, *([{"kind": K.LOST, "aux": 9}] * lost)))
        late = held
        merged += now + held
        read(watch, second, pages_shared=0, pages_sharing=merged, pages_scanned=merged)
        assert watch.found == {}


@pytest.mark.parametrize("how", [{"only_pids": (7,)}, {"probes": {}}])
def test_where_counts_cannot_be_compared_nothing_is_judged(how):
    watch = SilenceWatch(replace(of(), **how))
    for second in range(9):
        assert not read(watch, second, pages_shared=1, pages_sharing=10 * second, ftrace_enabled=0)
    assert watch.found == {}


def test_events_that_are_behind_are_not_missing():
    watch = SilenceWatch(of())
    for second in range(9):
        values = {Gauge.PAGES_SHARED: 1, Gauge.PAGES_SHARING: 10 * second}
        reading = Reading(values, second * SECOND, at_scan_stop=False, behind=second > 0)
        assert not watch.read(reading)
    assert watch.found == {}


def test_after_the_streams_end_nothing_is_missed():
    watch = SilenceWatch(of())
    watch.apply(events({"kind": K.STREAM_END}))
    for second in range(9):
        assert not read(watch, second, pages_shared=1, pages_sharing=10 * second)


def test_the_document_demotes_what_never_fired():
    rows = [
        *sample(ts=0, pages_shared=1, pages_sharing=0, ftrace_enabled=0),
        *sample(ts=SECOND, pages_shared=1, pages_sharing=5, ftrace_enabled=0),
    ]
    document = analyse(rows, "stable_tree", of=of()).document
    assert document["probes"]["stable_append"]["exactness"] == "absent"
    assert "kernel.ftrace_enabled" in document["probes"]["stable_append"]["note"]
    assert document["probes"]["mm_enter"]["exactness"] == "exact"
    assert document["events"]["lost"] == 10
    assert document["analyzers"]["stable_tree"]["merged_pages"] is None
    assert not document["reconstruction"]["complete"]
    assert document["silent"]["stable_append"]["missed"] == 5


def test_what_fired_before_keeps_its_figures():
    rows = [
        *sample(ts=0, pages_shared=0, pages_sharing=0, ftrace_enabled=1),
        appended(64, 9000, new=True),
        appended(128, 9000),
        *sample(ts=SECOND, pages_shared=1, pages_sharing=1, ftrace_enabled=1),
        *sample(ts=2 * SECOND, pages_shared=1, pages_sharing=1, ftrace_enabled=0),
    ]
    document = analyse(rows, "stable_tree", of=of()).document
    assert document["probes"]["stable_append"]["exactness"] == "absent"
    assert document["analyzers"]["stable_tree"]["merged_pages"] == 2
