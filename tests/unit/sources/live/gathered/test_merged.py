"""An attempt and its append that went into the ring as one record come out as two."""

import re
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.events import EventKind, Flag, empty_records
from ksmtrace.resources import bpf_directory
from ksmtrace.sources.live.gathered import merged
from ksmtrace.sources.live.gathered.merged import (
    MERGED,
    MERGED_NEW_NODE,
    MERGED_TWO,
    with_appends,
)
from ksmtrace.sources.live.gathered.own import NOT_AT_CURSOR

WORDS = st.integers(0, 2**64 - 1)
ATTEMPT_FLAGS = st.sets(
    st.sampled_from([Flag.HAS_KPAGE, Flag.SAME_PAGE, Flag.WAS_COMPOUND, NOT_AT_CURSOR])
).map(lambda flags: sum(map(int, flags)))


@st.composite
def pairs(draw):
    """An attempt, and its append or None, as they would be without that record."""
    attempt = empty_records(1)
    attempt["kind"] = EventKind.TRY_TO_MERGE_ONE_PAGE
    attempt["flags"] = draw(ATTEMPT_FLAGS)
    attempt["seq"], attempt["cpu"] = draw(st.integers(0, 0xFFFF)), draw(st.integers(0, 300))
    for name in ("ts", "mm", "address", "pfn", "rmap_item", "aux"):
        attempt[name] = draw(WORDS)
    if draw(st.booleans()):
        attempt["err"] = draw(st.sampled_from([0, -14]))
        attempt["checksum"] = draw(st.integers(0, 2**32 - 1))
        return attempt, None
    append = attempt.copy()
    append["kind"] = EventKind.STABLE_APPEND
    append["seq"] = (int(attempt["seq"][0]) + 1) & 0xFFFF
    append["flags"] &= NOT_AT_CURSOR
    append["flags"] |= draw(st.sampled_from([0, int(Flag.NEW_NODE)]))
    append["pfn"], append["aux"] = attempt["aux"], draw(WORDS)
    return attempt, append


def one_record(attempt, append):
    """As on_stable_tree_append of bpf/stable_tree.c makes it of the attempt that is held."""
    held, node = attempt.copy(), int(append["aux"][0])
    held["kind"] = MERGED
    held["oldchecksum"], held["checksum"] = node & 0xFFFFFFFF, node >> 32
    if append["flags"][0] & int(Flag.NEW_NODE):
        held["flags"] |= MERGED_NEW_NODE
    return held


@st.composite
def merges_of_two(draw):
    """The attempt that makes a KSM page, its partner's, and both appends: the partner's first."""
    maker = draw(pairs())[0]
    attempt, append = draw(pairs().filter(lambda drawn: drawn[1] is not None))
    last = append.copy()
    last["seq"] += 1
    last["flags"] = maker["flags"] & NOT_AT_CURSOR
    for name in ("rmap_item", "mm", "address"):
        last[name] = maker[name]
    joined = one_record(attempt, append)
    joined["kind"] = MERGED_TWO
    return [maker, joined], [maker, attempt, append, last]


def alone(drawn):
    attempt, append = drawn
    if append is None:
        return [attempt], [attempt]
    return [one_record(attempt, append)], [attempt, append]


@given(st.lists(st.one_of(pairs().map(alone), merges_of_two()), max_size=20))
def test_all_come_out(drawn):
    written = [record for records, _ in drawn for record in records]
    expected = [record for _, records in drawn for record in records]
    found = with_appends(np.concatenate([empty_records(), *written]))
    assert found.tobytes() == np.concatenate([empty_records(), *expected]).tobytes()


def test_bpf_writes_the_same_numbers():
    with bpf_directory() as directory:
        text = (Path(directory) / "state.c").read_text(encoding="utf-8")
    for name in ("MERGED", "MERGED_TWO", "MERGED_NEW_NODE"):
        assert int(re.search(rf"#define {name} (\w+)", text)[1], 0) == getattr(merged, name)
    assert not {MERGED, MERGED_TWO} & set(EventKind)
    assert not MERGED_NEW_NODE & (Flag.HAS_KPAGE | Flag.SAME_PAGE | Flag.WAS_COMPOUND)
