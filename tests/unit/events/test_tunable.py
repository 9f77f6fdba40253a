"""Writes to tunables as TUNABLE records, and back."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.events import RECORD, EventKind, empty_records
from ksmtrace.events.tunable import TunableWrite, tunable_records, tunable_writes
from ksmtrace.kernel.sysfs import TUNABLES

words = st.text(st.characters(codec="ascii", min_codepoint=33), max_size=16)
names = st.sampled_from(TUNABLES) | st.from_regex(r"[a-z_]{1,24}", fullmatch=True)
writes = st.builds(
    TunableWrite, names, words, st.integers(-4095, 0), st.integers(0, 2**64 - 1), st.booleans()
)


@given(st.lists(writes, max_size=5))
def test_what_goes_in_comes_out(made):
    assert tunable_writes(tunable_records(*made)) == made


@given(st.lists(st.one_of(st.none(), writes), max_size=8))
def test_other_kinds_are_passed_over(mixed):
    other = empty_records(1)
    other["kind"] = EventKind.SAMPLE
    pieces = [other if one is None else tunable_records(one) for one in mixed]
    records = np.concatenate([empty_records(), *pieces])
    assert tunable_writes(records) == [one for one in mixed if one is not None]


def test_where_the_bytes_are():
    """By hand, as bpf/tunable.c lays them out."""
    record = bytearray(RECORD.itemsize)
    record[0:8] = (77).to_bytes(8, "little")
    record[12:14] = (-16).to_bytes(2, "little", signed=True)
    record[14] = 18
    record[16:24], record[56:64] = b"scan-tim", b"e\n".ljust(8, b"\0")
    record[32:56] = b"advisor_mode".ljust(24, b"\0")
    found = tunable_writes(np.frombuffer(bytes(record), dtype=RECORD))
    assert found == [TunableWrite("advisor_mode", "scan-time", -16, 77)]


def test_a_text_that_is_too_long_says_so():
    write = TunableWrite("run", "a text of more than sixteen bytes")
    (found,) = tunable_writes(tunable_records(write))
    assert (found.text, found.complete) == ("a text of more t", False)


def test_only_a_number_that_the_kernel_took_is_one():
    def number(text, **more):
        return TunableWrite("run", text, **more).number

    assert number("256") == 256
    assert [number(text) for text in ("none", "-1", "", "0x10", "\u00b2")] == [None] * 5
    assert number("2", err=-16) is None
    assert number("2", complete=False) is None
