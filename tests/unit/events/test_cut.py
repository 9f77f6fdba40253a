"""Where a batch is cut, and that nothing is lost or moved by it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.events import EventKind, Flag
from ksmtrace.events.cut import cut, cut_after, ends_a_part
from support.streams import events

READ = {"kind": EventKind.SAMPLE, "address": 1}
READ_LAST = {**READ, "flags": Flag.LAST_OF_SAMPLE}
STOP = {"kind": EventKind.SCAN_STOP}
LOST = {"kind": EventKind.LOST, "aux": 1}
PLAIN = {"kind": EventKind.CMP_AND_MERGE_PAGE, "flags": Flag.LAST_OF_SAMPLE}

rows = st.lists(st.sampled_from((READ, READ_LAST, STOP, LOST, PLAIN)), max_size=40)


def is_cut_between(row, following):
    """Whether the stream is cut between two neighbours."""
    return row in (READ_LAST, STOP, LOST) or following == LOST


@given(rows)
def test_a_part_ends_at_each_reading_and_pass_and_a_loss_is_alone(stream):
    sizes, size = [], 0
    for index, row in enumerate(stream):
        size += 1
        if index + 1 == len(stream) or is_cut_between(row, stream[index + 1]):
            sizes.append(size)
            size = 0
    assert [len(part) for part in cut(events(*stream))] == sizes


@given(rows)
def test_the_end_of_a_part_is_known_from_the_part_alone(stream):
    batch = events(*stream)
    known = [ends_a_part(batch), *(ends_a_part(part) for part in cut(batch))]
    ends = [stream[-1:], *(stream[: int(part.events["ts"][-1])][-1:] for part in cut(batch))]
    assert known == [bool(end) and end[0] in (READ_LAST, STOP, LOST) for end in ends]


@given(rows)
def test_parts_together_are_the_batch(stream):
    batch = events(*stream)
    parts = [part.events for part in cut(batch)]
    assert np.concatenate([batch.events[:0], *parts]).tobytes() == batch.events.tobytes()


@given(st.integers(0, 20), st.sets(st.integers(0, 19)))
def test_a_part_ends_at_each_row_asked_for(length, chosen):
    ends = np.array(sorted(row for row in chosen if row < length), dtype=np.intp)
    batch = events(*[PLAIN] * length)
    last_rows = [int(part.events["ts"][-1]) - 1 for part in cut_after(batch, ends)]
    assert last_rows == sorted({*ends.tolist(), length - 1} - {-1})


def test_a_batch_that_needs_no_cut_is_handed_on_with_what_it_has_cached():
    batch = events(PLAIN, PLAIN)
    assert [part is batch for part in cut(batch)] == [True]
