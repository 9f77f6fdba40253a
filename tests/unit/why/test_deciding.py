"""Which reason holds of pages whose contents, frames and mappings are made up."""

import numpy as np
import pytest

from ksmtrace.estimate.pages import Bit, Pages
from ksmtrace.estimate.settled import Rules
from ksmtrace.why.deciding import PASSES_TO_MERGE, decide, held
from ksmtrace.why.reason import CONDITIONS, MEANINGS, Reason

A, F, M, C, Z, H, U = (
    *(Bit.ADVISED, Bit.FORKED, Bit.MERGED, Bit.CHANGED, Bit.ZERO, Bit.HUGE, Bit.UNREAD),
)


def pages(*rows):
    """Each row: hash, frame, bits, and how often the frame is mapped."""
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    count = len(rows)
    return Pages(
        np.zeros(count, dtype=np.int32),
        np.arange(count, dtype=np.uint64) * np.uint64(4096),
        np.array(columns[1], dtype=np.uint64),
        np.array(columns[0], dtype=np.uint64),
        np.array([int(one) for one in columns[2]], dtype=np.uint8),
    ), np.array(columns[3], dtype=np.int64)


def decided(own, others=(), **rules):
    mine, first = pages(*own)
    theirs, rest = pages(*others)
    return decide(mine, theirs, np.concatenate([first, rest]), Rules(**rules))


def named(found):
    return [Reason(one).key for one in found.reasons]


CASES = {
    "alone": ([(1, 10, A, 1)], [], ["unique"]),
    "equal to another of its own": ([(1, 10, A, 1), (1, 11, A, 1)], [], ["waiting"] * 2),
    "equal to another's": ([(1, 10, A, 1)], [(1, 11, A, 1)], ["waiting"]),
    "not advised, equal": ([(1, 10, 0, 1)], [(1, 11, A, 1)], ["not_advised"]),
    "equal to one that is not advised": (
        [(1, 10, A, 1), (1, 11, 0, 1)], [], ["unique", "not_advised"],
    ),
    "forked, its fork is known": ([(1, 10, A | F, 2)], [(1, 10, A | F, 2)], ["forked"]),
    "forked, its fork is not known": ([(1, 10, A | F, 2)], [], ["forked"]),
    "forked, and another frame is equal": (
        [(1, 10, A | F, 2)], [(1, 10, A | F, 2), (1, 11, A, 1)], ["waiting"],
    ),
    "merged": ([(1, 10, A | M, 2)], [(1, 10, A | M, 2)], ["merged"]),
    "merged, alone": ([(1, 10, A | M, 1)], [], ["merged"]),
    "beside one with room": ([(1, 11, A, 1)], [(1, 10, A | M, 2)], ["waiting"]),
    "beside a full one": ([(1, 11, A, 1)], [(1, 10, A | M, 3)], ["chain_full"]),
    "beside a full one, of whose mappings few can be read": (
        [(1, 11, A, 1)], [(1, 10, A | M, 9)], ["chain_full"],
    ),
    "two beside a full one": (
        [(1, 11, A, 1), (1, 12, A, 1)], [(1, 10, A | M, 3)], ["waiting"] * 2,
    ),
    "a fork's two beside a full one": (
        [(1, 11, A | F, 2), (1, 11, A | F, 2)], [(1, 10, A | M, 3)], ["chain_full"] * 2,
    ),
    "changing": ([(1, 10, A | C, 1), (1, 11, A, 1)], [], ["changing", "unique"]),
    "huge": ([(1, 10, A | H, 1), (1, 11, A, 1)], [], ["huge", "waiting"]),
    "not read": ([(0, 10, A | U, 1), (0, 11, A, 1)], [], ["unread", "unique"]),
    "frames not shown": ([(1, 0, A, 0), (1, 0, A, 0)], [], ["waiting"] * 2),
    "zeroes": ([(5, 10, A | Z, 1)], [], ["unique"]),
    "nothing": ([], [(1, 10, A, 1)], []),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_reason(name):
    own, others, expected = CASES[name]
    assert named(decided(own, others, max_page_sharing=3)) == expected


def test_zeroes_merge_alone_where_they_become_the_zero_page():
    assert named(decided([(5, 10, A | Z, 1)], use_zero_pages=True)) == ["waiting"]
    assert named(decided([(5, 10, A | Z | C, 1)], use_zero_pages=True)) == ["changing"]


def test_equal_pages_are_counted_whatever_the_reason():
    found = decided([(1, 10, 0, 1), (1, 11, A | H, 1), (2, 12, 0, 1)], [(1, 13, A, 1)])
    assert found.equal.tolist() == [2, 2, 0]
    assert decided([(1, 10, A | F, 2)], [(1, 10, A | F, 2)]).equal.tolist() == [0]
    assert decided([(1, 10, A | M, 2)], [(1, 10, A | M, 2)]).equal.tolist() == [1]


@pytest.mark.parametrize(
    ("passes", "smart_scan", "expected"),
    [(0, False, False), (3, False, False), (4, False, True), (27, True, False), (28, True, True)],
)
def test_what_ksmd_passed_by_often_enough_is_held(passes, smart_scan, expected):
    now = decided([(1, 10, A, 1), (1, 11, A, 1), (2, 12, A, 1)])
    assert held(now, now, passes, smart_scan=smart_scan).tolist() == [expected, expected, False]
    before = decided([(1, 10, A, 1), (3, 11, A, 1), (2, 12, A, 1)])
    assert not held(now, before, passes, smart_scan=smart_scan).any()
    assert PASSES_TO_MERGE == 3


def test_every_reason_has_words_and_its_condition():
    assert set(MEANINGS) == set(CONDITIONS) == set(Reason)
    assert [one for one in Reason if not CONDITIONS[one]] == [Reason.UNREAD]
