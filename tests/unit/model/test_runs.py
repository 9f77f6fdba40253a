"""Runs of equal values, against itertools."""

from itertools import groupby

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.model.runs import run_lengths, run_starts


@given(st.lists(st.integers(0, 2), max_size=30))
def test_runs_are_those_of_groupby(values):
    column = np.array(values, dtype=np.uint64)
    starts = run_starts(column)
    lengths = run_lengths(starts, len(column))
    found = [(int(column[start]), count) for start, count in zip(starts, lengths, strict=True)]
    assert found == [(value, len(list(run))) for value, run in groupby(values)]
