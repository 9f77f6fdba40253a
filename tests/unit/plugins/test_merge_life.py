"""The merge_life analyzer: against a second, plain implementation, event by event, however batches
are cut."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings

from ksmtrace.events import EventKind, Flag
from ksmtrace.model.log_histogram import GEOMETRIC, LogHistogram, half_life
from support.runs import (
    EMPTY,
    FREED,
    IN_STABLE,
    IN_UNSTABLE,
    TO_STABLE,
    TO_UNSTABLE,
    analyse,
    appended,
    cut_streams,
    examined,
    lost,
    removed,
    series,
    start,
    stop,
)
from support.story import story
from support.streams import sample, session

SECOND = 1_000_000_000
VISITS = (EventKind.CMP_AND_MERGE_PAGE, EventKind.SKIPPED)
HELD = sample(pages_shared=5, pages_sharing=5, pages_unshared=0, pages_volatile=0)


def _figures(rows, **how):
    return analyse(rows, "merge_life", **how).document["analyzers"]["merge_life"]


def _at(seconds, row):
    return {**row, "ts": int(seconds * SECOND)}


@dataclass
class _Life:
    first: int
    seen_in: int
    known: bool
    waited: bool = False
    merged: bool = False
    broken: bool = False
    node: int | None = None
    since: int = 0


def _is_mark(kind, flags):
    """Ends of passes, readings and losses: there the time is looked at."""
    read = kind == EventKind.SAMPLE and flags & Flag.LAST_OF_SAMPLE
    return read or kind in (EventKind.LOST, EventKind.SCAN_STOP)


class _Plain:
    """One event at a time, in dicts."""

    def __init__(self):
        self.alive = {}
        self.counts = dict.fromkeys(("seen", "candidate", "merged", "broken", "gone"), 0)
        self.latencies, self.passes, self.ended, self.cut = [], [], [], []
        self.number = self.now = self.cut_pages = 0
        self.known, self.whole = True, False

    def follow(self, row, ts):
        kind, flags = row["kind"], row.get("flags", 0)
        if _is_mark(kind, flags):
            self.now = max(self.now, ts)
            self.known |= self.whole and kind == EventKind.SCAN_STOP
        item, node = row.get("rmap_item", 0), row.get("aux", 0)
        if kind == EventKind.LOST:
            self.lose()
        elif kind == EventKind.SCAN_START:
            self.number, self.whole = self.number + 1, True
        elif kind in VISITS and not flags & FREED:
            self.examined(self.life(item, ts), flags)
        elif kind == EventKind.STABLE_APPEND:
            self.joined(self.life(item, ts), node, ts)
        elif kind == EventKind.REMOVE_STABLE_NODE:
            for life in self.alive.values():
                if life.node == node:
                    self.left(life, ts, broken=True)
        elif kind == EventKind.REMOVE_RMAP_ITEM and item in self.alive:
            self.removed(item, flags, ts)

    def lose(self):
        self.cut += [self.now - life.since for life in self.alive.values() if life.node]
        self.cut_pages += len(self.alive)
        self.alive, self.known, self.whole = {}, False, False

    def removed(self, item, flags, ts):
        life = self.alive[item]
        if life.node is not None and flags & (IN_STABLE | FREED):
            self.left(life, ts, broken=not flags & FREED)
        if flags & FREED:
            del self.alive[item]
            self.counts["gone"] += 1

    def life(self, item, ts):
        if item not in self.alive:
            self.alive[item] = _Life(ts, self.number, self.known)
            self.counts["seen"] += 1
        return self.alive[item]

    def examined(self, life, flags):
        if flags & TO_UNSTABLE and not life.waited:
            life.waited = True
            self.counts["candidate"] += 1

    def joined(self, life, node, ts):
        if life.node is not None:
            self.left(life, ts, broken=True)
        life.node, life.since = node, ts
        if not life.merged:
            self.counts["merged"] += 1
            if life.known:
                self.latencies.append(ts - life.first)
                self.passes.append(self.number - life.seen_in + 1)
        life.merged = True

    def left(self, life, ts, *, broken):
        self.ended.append(ts - life.since)
        life.node = None
        if broken and not life.broken:
            life.broken = True
            self.counts["broken"] += 1

    def told(self):
        latency, ended = _durations(self.latencies), _durations(self.ended)
        open_now = [self.now - life.since for life in self.alive.values() if life.node is not None]
        lasting = _durations([*open_now, *self.cut])
        half, above = half_life(ended, lasting)
        by_pass = dict.fromkeys((*map(str, range(1, 9)), "more"), 0)
        for number in self.passes:
            by_pass[str(number) if number <= 8 else "more"] += 1
        return {
            **{f"{name}_pages": count for name, count in self.counts.items()},
            "cut_pages": self.cut_pages,
            "merge_latency_pages": len(self.latencies),
            "merge_latency_p50_seconds": latency.quantile(0.5),
            "merge_latency_p90_seconds": latency.quantile(0.9),
            "ended_merges_pages": len(ended),
            "lasting_merges_pages": len(lasting),
            "merge_half_life_seconds": half,
            "merge_half_life_above_seconds": above,
            "merge_latency_passes": by_pass,
        }


def _durations(values):
    made = LogHistogram(GEOMETRIC)
    made.add(np.array(values, dtype=np.int64))
    return made


def _plain(rows):
    plain = _Plain()
    for index, row in enumerate(rows):
        plain.follow(row, row.get("ts", index + 1))
    return plain.told()


@settings(max_examples=200, deadline=None)
@given(cut_streams())
def test_a_plain_implementation_says_the_same_however_batches_are_cut(stream):
    rows, cuts = stream
    whole, cut = (analyse(rows, "merge_life", cuts=at) for at in ((), cuts))
    found = whole.document["analyzers"]["merge_life"]
    buckets = found.pop("merge_latency_buckets_pages")
    assert found == _plain(rows)
    assert sum(buckets.values()) == found["merge_latency_pages"]
    again = cut.document["analyzers"]["merge_life"]
    assert again.pop("merge_latency_buckets_pages") == buckets
    assert again == found
    assert _own(cut) == _own(whole)


def _own(snapshot):
    return {k: v for k, v in series(snapshot.metrics).items() if "plugin_seconds" not in k[0]}


def test_the_story_is_told():
    figures = _figures(story())
    figures.pop("merge_latency_buckets_pages")
    assert figures == _plain(story())
    assert figures["seen_pages"] == 262
    assert figures["merged_pages"] == 121
    assert figures["merge_latency_passes"] == {
        **dict.fromkeys(map(str, range(1, 9)), 0),
        "2": 120,
        "3": 1,
        "more": 0,
    }


def _two_twins():
    """Seen at 10 and 11 s, merged in the second pass at 70 and 71 s; one is broken at 171 s."""
    return [
        *EMPTY,
        start(0),
        _at(10, examined(1, new=5)),
        _at(11, examined(2, new=5)),
        stop(0),
        start(1),
        _at(60, examined(1, TO_UNSTABLE, old=5, new=5)),
        _at(70, appended(2, 9, new=True)),
        _at(71, appended(1, 9)),
        _at(70, examined(2, TO_STABLE, old=5, new=5, node=9)),
        stop(1),
        start(2),
        _at(171, removed(1, IN_STABLE)),
        _at(171, examined(1, IN_STABLE, old=5, new=6)),
        _at(271, stop(2)),
    ]


def test_latency_in_seconds_and_in_passes():
    snapshot = analyse(_two_twins(), "merge_life")
    figures = snapshot.document["analyzers"]["merge_life"]
    assert figures["merge_latency_pages"] == figures["merge_latency_passes"]["2"] == 2
    assert figures["merge_latency_p50_seconds"] == pytest.approx(59, rel=0.05)
    assert figures["merge_latency_p90_seconds"] == pytest.approx(61, rel=0.05)
    assert {k: v for k, v in figures["merge_latency_buckets_pages"].items() if v} == {"64": 2}
    found = series(snapshot.metrics)
    name = "ksmtrace_merge_latency_seconds"
    assert found[f"{name}_bucket", (("le", "16.0"),)] == 0
    assert found[f"{name}_bucket", (("le", "64.0"),)] == 2
    assert found[f"{name}_bucket", (("le", "+Inf"),)] == found[f"{name}_count", ()] == 2
    assert found[f"{name}_sum", ()] == 59 + 61


def test_stages_and_half_life():
    figures = _figures(_two_twins())
    stages = {
        name: figures[f"{name}_pages"] for name in ("seen", "candidate", "merged", "broken", "gone")
    }
    assert stages == {"seen": 2, "candidate": 1, "merged": 2, "broken": 1, "gone": 0}
    assert (figures["ended_merges_pages"], figures["lasting_merges_pages"]) == (1, 1)
    assert figures["merge_half_life_seconds"] == pytest.approx(100, rel=0.1)


def test_merges_that_all_last_give_a_bound():
    figures = _figures(_two_twins()[:-4])
    assert figures["merge_half_life_seconds"] is None
    assert figures["merge_half_life_above_seconds"] < 1
    snapshot = analyse(_two_twins()[:-4], "merge_life")
    assert "ksmtrace_merge_half_life_seconds" not in {family.name for family in snapshot.metrics}
    (section,) = dict(snapshot.sections).values()
    assert "last over" in section.lead


def test_a_page_met_before_all_was_known_is_not_measured():
    early = [start(0), examined(1, new=5), stop(0)]
    torn = _figures([*HELD, *early[1:], start(1), appended(1, 9), stop(1)])
    assert torn["merge_latency_pages"] == 0
    assert torn["merged_pages"] == 1
    later = [start(1), examined(2, new=5), stop(1), start(2), appended(2, 9), appended(1, 9)]
    assert _figures([*HELD, *early, *later])["merge_latency_pages"] == 1


def test_a_loss_cuts_lives_and_merges_off():
    rows = [
        *_two_twins(),
        lost(3),
        start(3),
        examined(1, new=6),
        examined(2, IN_STABLE | TO_STABLE, node=9),
    ]
    figures = _figures(rows)
    assert (figures["seen_pages"], figures["cut_pages"]) == (4, 2)
    assert (figures["ended_merges_pages"], figures["lasting_merges_pages"]) == (1, 1)


def test_a_node_that_is_gone_ends_the_merges_of_all_that_shared_it():
    gone = {"kind": EventKind.REMOVE_STABLE_NODE, "aux": 9}
    figures = _figures([*EMPTY, *(appended(i, 9) for i in range(1, 31)), gone, appended(1, 9)])
    assert (figures["ended_merges_pages"], figures["broken_pages"]) == (30, 30)
    assert figures["lasting_merges_pages"] == 1


def test_what_is_not_seen_is_null_and_has_no_series():
    figures = _figures(story(), of=session(unseen=list(EventKind)))
    assert set(figures.values()) == {None}
    no_removals = session(unseen=[EventKind.REMOVE_RMAP_ITEM])
    figures = _figures(story(), of=no_removals)
    assert figures["merge_half_life_seconds"] is figures["gone_pages"] is None
    assert figures["merged_pages"] == 121


def test_the_section_and_panel_say_it():
    snapshot = analyse(_two_twins(), "merge_life")
    (section,) = (section for _, section in snapshot.sections)
    assert section.lead.startswith("Of 2 new pages that were merged, half waited at most ")
    assert {chart.kind for chart in section.charts} == {"bar", "line"}
    for chart in section.charts:
        assert {len(values) for values in chart.series.values()} == {len(chart.x)}
    assert [row[:2] for row in section.tables[0].rows][:3] == [
        ("seen", 2),
        ("unique", 1),
        ("merged", 2),
    ]
    assert len(snapshot.panels) == 1
    nothing = analyse([], "merge_life")
    assert "No page" in dict(nothing.sections)["merge_life"].lead


def test_unstable_removals_end_nothing():
    figures = _figures([*EMPTY, appended(1, 9), removed(1, IN_UNSTABLE), removed(2, Flag(0))])
    assert figures["ended_merges_pages"] == 0
