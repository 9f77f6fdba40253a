"""The unstable_tree analyzer: what enters, what leaves, and what the events prove about why."""

import pytest
from hypothesis import given

from ksmtrace.events import EventKind
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
from support.streams import session


def _analysis(rows, **how):
    return analyse(rows, "unstable_tree", **how).document["analyzers"]["unstable_tree"]


def test_the_story_is_counted():
    assert _analysis(story()) == {
        "unshared_pages": 60,
        "inserted_pages": 121,
        "last_pass_inserted_pages": 61,
        "removed_pages": 61,
        "matched_pages": 1,
        "gone_pages": 0,
    }


@pytest.mark.parametrize(
    ("then", "matched"),
    [
        ([appended(1, 9)], 1),
        ([appended(2, 9)], 0),
        ([examined(1, TO_UNSTABLE), appended(1, 9)], 0),
        ([removed(1, FREED), appended(1, 9)], 0),
        ([lost(), appended(1, 9)], 0),
        ([removed(2, IN_UNSTABLE), appended(2, 9), appended(1, 9)], 2),
        ([removed(1, IN_STABLE), appended(1, 9)], 1),
        ([], 0),
    ],
    ids=[
        "joins",
        "another joins",
        "examined",
        "freed",
        "loss between",
        "both of a pair",
        "second removal",
        "end",
    ],
)
def test_a_match_is_a_removal_followed_by_an_append_of_the_same_item(then, matched):
    figures = _analysis([*EMPTY, removed(1, IN_UNSTABLE), *then])
    assert figures["matched_pages"] == matched


def test_a_match_is_seen_across_batches():
    rows = [*EMPTY, removed(1, IN_UNSTABLE), appended(1, 9), appended(1, 9)]
    assert _analysis(rows, cuts=range(1, len(rows)))["matched_pages"] == 1


def test_freed_candidates_are_gone_and_not_taken_out():
    rows = [*EMPTY, removed(1, IN_UNSTABLE | FREED), removed(2, IN_UNSTABLE), removed(3, IN_STABLE)]
    figures = _analysis(rows)
    assert (figures["gone_pages"], figures["removed_pages"]) == (1, 1)


def test_an_item_freed_during_its_examination_was_not_inserted():
    figures = _analysis([*EMPTY, examined(1, TO_UNSTABLE | FREED), examined(2, TO_STABLE)])
    assert figures["inserted_pages"] == 0


def test_only_passes_seen_whole_are_shown():
    insert = examined(1, TO_UNSTABLE)
    late = [*EMPTY, insert, stop(0)]
    assert _analysis(late)["last_pass_inserted_pages"] is None
    whole = [*late, insert, start(1), insert, insert, stop(1)]
    assert _analysis(whole)["last_pass_inserted_pages"] == 2
    torn = [*whole, start(2), insert, lost(), insert, stop(2)]
    assert _analysis(torn)["last_pass_inserted_pages"] == 2


def test_a_loss_before_a_pass_does_not_spoil_it():
    rows = [*EMPTY, lost(), start(1), examined(1, TO_UNSTABLE), stop(1)]
    assert _analysis(rows)["last_pass_inserted_pages"] == 1


def test_what_is_not_seen_is_null_and_has_no_series():
    unseen = [EventKind.CMP_AND_MERGE_PAGE, EventKind.REMOVE_RMAP_ITEM]
    snapshot = analyse([*EMPTY, appended(1, 9)], "unstable_tree", of=session(unseen=unseen))
    figures = snapshot.document["analyzers"]["unstable_tree"]
    assert figures.pop("unshared_pages") == 0, "the kernel's counter"
    assert set(figures.values()) == {None}
    assert not [f.name for f in snapshot.metrics if "unstable" in f.name]


def test_items_whose_fate_is_open_do_not_pile_up():
    from support.runs import plugin, runner
    from support.streams import events

    instance = plugin("unstable_tree")
    rows = [*EMPTY]
    for item in range(1, 200):
        rows += [removed(item, IN_UNSTABLE), examined(item, IN_UNSTABLE | TO_UNSTABLE)]
    runner([events(*rows)], {"unstable_tree": instance}).run()
    assert not instance._open


@given(cut_streams())
def test_the_way_batches_are_cut_changes_nothing(stream):
    rows, cuts = stream
    whole = analyse(rows, "unstable_tree")
    cut = analyse(rows, "unstable_tree", cuts=cuts)
    assert cut.document["analyzers"] == whole.document["analyzers"]
    assert _own(cut) == _own(whole)


def _own(snapshot):
    return {k: v for k, v in series(snapshot.metrics).items() if "plugin_seconds" not in k[0]}
