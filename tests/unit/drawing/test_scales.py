"""Values resampled to columns: which are kept, which hold, which are missing."""

from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.drawing.scales import Scale, mean, resample


def test_a_scale_begins_at_0_or_below():
    assert Scale.of([3, None, 5]) == Scale(0, 5)
    assert Scale.of([-2, -1]) == Scale(-2, 0)
    assert Scale.of([]) == Scale(0, 0)
    assert [Scale(0, 4).share(v) for v in (0, 1, 4, None)] == [0, 0.25, 1, None]
    assert Scale(0, 0).share(0) == 0


def test_columns_are_by_place_and_hold_until_the_next():
    assert resample([0, 1, 2, 8], [1, 3, 5, 7], 4, mean) == [2, 5, 5, 7]
    assert resample([0, 1, 2, 3], [1, 3, 5, 4], 2, max) == [3, 5]


def test_a_gap_is_no_value():
    assert resample([0, 1, 2, 3], [None, 2, None, None], 4, mean) == [None, 2, None, None]


def test_labels_stand_one_beside_the_other():
    assert resample(["a", "b"], [1, 2], 2, mean) == [1, 2]
    assert resample([5], [1], 3, mean) == [1, 1, 1]


@given(
    st.lists(st.tuples(st.floats(0, 1e9), st.floats(-1e9, 1e9)), min_size=1, max_size=50),
    st.integers(1, 30),
)
def test_every_column_is_within_what_was_given(points, count):
    points.sort()
    x, values = zip(*points, strict=True)
    columns = resample(x, values, count, mean)
    assert len(columns) == count
    for value in columns:
        assert min(values) - 1 <= value <= max(values) + 1
