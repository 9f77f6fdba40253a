"""Numbers as text, with their units."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.units import counted, duration, format_value, number, seconds, share, size


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0 B"),
        (1023, "1,023 B"),
        (-2048, "-2.0 KiB"),
        (3 << 30, "3.0 GiB"),
        (5 << 50, "5,120.0 TiB"),
    ],
)
def test_sizes_have_binary_units(value, shown):
    assert size(value) == shown


@pytest.mark.parametrize(
    ("ratio", "shown"),
    [
        (0, "0%"),
        (1, "100%"),
        (0.253, "25.3%"),
        (0.0532, "5.3%"),
        (0.0028, "0.28%"),
        (0.00077, "0.077%"),
        (1e-9, "under 0.001%"),
        (-0.25, "-25.0%"),
        (1.5, "150.0%"),
    ],
)
def test_shares_are_in_percent(ratio, shown):
    assert share(ratio) == shown


@given(st.floats(1e-12, 1))
def test_no_share_above_0_is_shown_as_0(ratio):
    shown = share(ratio).removeprefix("under ")
    assert float(shown.removesuffix("%")) > 0
    assert "e" not in shown


@pytest.mark.parametrize(("value", "shown"), [(0, "0.0 s"), (119.9, "119.9 s"), (3723, "1:02:03")])
def test_durations_are_short(value, shown):
    assert duration(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0 s"),
        (2.5e-7, "250 ns"),
        (4.2e-5, "42 us"),
        (0.25, "250 ms"),
        (59.94, "59.9 s"),
        (3723, "1:02:03"),
    ],
)
def test_times_take_the_unit_that_fits(value, shown):
    assert seconds(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(3, "3"), (1234567, "1,234,567"), (0.12345, "0.123"), (2500.4, "2,500")]
)
def test_numbers_have_thousands_apart(value, shown):
    assert number(value) == shown


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (None, "bytes", "-"),
        ("qemu", "text", "qemu"),
        (0.123, "ratio", "12.3%"),
        (4096, "bytes", "4.0 KiB"),
        (7, "pages", "7"),
        (7, "", "7"),
    ],
)
def test_the_unit_decides(value, unit, shown):
    assert format_value(value, unit) == shown


@given(st.integers(-(10**12), 10**12), st.sampled_from([("page", ""), ("pass", "passes")]))
def test_one_is_singular_and_every_other_count_plural(count, words):
    one, several = words
    number, noun = counted(count, one, several).split()
    assert int(number.replace(",", "")) == count
    assert (noun == one) == (count == 1)
    assert noun in (one, several or f"{one}s")


def test_counts_have_separators():
    assert [counted(n, "page") for n in (0, 1, 2048)] == ["0 pages", "1 page", "2,048 pages"]
