"""TOTAL records hold counts by kind, result and zero page."""

from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.events import EventBatch, EventKind
from ksmtrace.events.totals import Outcome, Totals, total_records

OUTCOMES = st.builds(
    Outcome,
    kind=st.sampled_from([int(kind) for kind in EventKind]),
    err=st.integers(-4095, 0),
    zero_page=st.booleans(),
)
COUNTS = st.dictionaries(OUTCOMES, st.integers(0, 2**63))


@given(st.lists(COUNTS, max_size=4))
def test_the_last_count_of_each_outcome_holds(readings):
    totals = Totals()
    expected = {}
    for counts in readings:
        totals.apply(EventBatch(total_records(counts, ts=1)))
        expected |= counts
    assert totals.counts == expected


def test_counts_of_a_kind_are_the_sum_over_its_outcomes():
    totals = Totals()
    tried, appended = EventKind.TRY_TO_MERGE_ONE_PAGE, EventKind.STABLE_APPEND
    counts = {Outcome(tried): 5, Outcome(tried, -14): 2, Outcome(tried, 0, True): 1}
    totals.apply(EventBatch(total_records(counts | {Outcome(appended): 7}, ts=1)))
    assert totals.by_kind[tried] == 8
    assert totals.by_kind[appended] == 7
    assert totals.by_kind.sum() == 15
    assert totals.of(tried) == counts


def test_a_newer_versions_kind_is_in_no_sum():
    totals = Totals()
    totals.apply(EventBatch(total_records({Outcome(4000): 5}, ts=1)))
    assert totals.by_kind.sum() == 0
