"""What is asked of a batch, against a look at each event."""

from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.events import EventKind
from support.streams import events

KINDS = (EventKind.CMP_AND_MERGE_PAGE, EventKind.SAMPLE, EventKind.LOST, EventKind.SKIPPED)


@given(st.lists(st.sampled_from(KINDS), max_size=30), st.lists(st.sampled_from(KINDS), max_size=4))
def test_events_of_some_kinds(stream, asked):
    batch = events(*({"kind": kind, "flags": row} for row, kind in enumerate(stream)))
    rows = [row for row, kind in enumerate(stream) if kind in asked]
    asked = list(dict.fromkeys(asked))
    assert batch.rows(*asked).tolist() == rows
    assert batch.of(*asked)["ts"].tolist() == [row + 1 for row in rows]
    assert batch.where_any(*asked).tolist() == [kind in asked for kind in stream]
    for kind in KINDS:
        assert batch.flags_of(kind).tolist() == [n for n, one in enumerate(stream) if one == kind]
        assert batch.where(kind).tolist() == [one == kind for one in stream]
        assert batch.count(kind) == batch.by_kind[kind] == stream.count(kind)
    assert batch.only_counters == all(kind == EventKind.SAMPLE for kind in stream)


@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=9))
def test_what_is_kept_for_others_cannot_be_changed(stream):
    batch = events(*({"kind": kind} for kind in stream))
    kept = [batch.by_kind, batch.where(stream[0]), batch.rows(stream[0])]
    assert not any(column.flags.writeable for column in kept)
