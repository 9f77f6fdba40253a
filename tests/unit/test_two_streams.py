"""The comparison of two streams finds what is missing, extra and in another order."""

import numpy as np

from ksmtrace.events import EventKind
from ksmtrace.events.record import empty_records
from ksmtrace.events.tunable import TunableWrite, tunable_records
from support.two_streams import compare, passes

START, STOP = EventKind.SCAN_START, EventKind.SCAN_STOP
PAGE, APPEND = EventKind.CMP_AND_MERGE_PAGE, EventKind.STABLE_APPEND


def stream(*rows):
    """Records of (kind, aux, address)."""
    events = empty_records(len(rows))
    for number, (kind, aux, address) in enumerate(rows):
        events["kind"][number], events["aux"][number] = kind, aux
        events["address"][number] = address
    return events


def test_the_same_stream_has_no_difference():
    events = stream((START, 3, 0), (PAGE, 0, 1), (APPEND, 0, 1), (STOP, 3, 0))
    found = compare(passes(events), passes(events))
    assert (found.shared, found.missing, found.extra, found.other_order) == (1, {}, {}, 0)
    assert found.events == {"CMP_AND_MERGE_PAGE": 1, "STABLE_APPEND": 1}


def test_what_is_missing_and_extra_is_found_in_its_pass():
    one = stream((START, 3, 0), (PAGE, 0, 1), (PAGE, 0, 2), (STOP, 3, 0))
    other = stream((START, 3, 0), (PAGE, 0, 1), (PAGE, 0, 3), (STOP, 3, 0))
    found = compare(passes(one), passes(other))
    assert found.missing == found.extra == {"CMP_AND_MERGE_PAGE": 1}
    assert found.other_order == 0
    assert len(found.examples) == 2


def test_another_order_is_told_apart_from_another_order_of_pages():
    one = stream((START, 3, 0), (PAGE, 0, 1), (APPEND, 0, 1), (PAGE, 0, 2), (STOP, 3, 0))
    late = stream((START, 3, 0), (PAGE, 0, 1), (PAGE, 0, 2), (APPEND, 0, 1), (STOP, 3, 0))
    found = compare(passes(one), passes(late))
    assert (found.other_order, found.other_page_order) == (1, 0)
    swapped = stream((START, 3, 0), (PAGE, 0, 2), (APPEND, 0, 1), (PAGE, 0, 1), (STOP, 3, 0))
    found = compare(passes(one), passes(swapped))
    assert (found.other_order, found.other_page_order) == (1, 1)


def test_half_a_pass_is_not_compared_and_seqnr_may_begin_anew():
    before = stream((PAGE, 0, 1), (STOP, 2, 0), (START, 3, 0), (PAGE, 0, 1))
    emptied = tunable_records(TunableWrite("run", "2", 0, 0))
    after = stream(
        *((START, 0, 0), (PAGE, 0, 9), (STOP, 0, 0)),
        *((EventKind.LOST, 7, 0), (START, 1, 0)),
    )
    found = passes(np.concatenate([before, emptied, after]))
    assert list(found.whole) == [(1, 0)]
    assert np.array_equal(found.whole[1, 0]["address"], [9])
    assert found.lost == 7
