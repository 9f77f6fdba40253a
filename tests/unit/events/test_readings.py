"""Readings of the kernel's counters: what follows from the counters that they hold."""

import pytest

from ksmtrace.events.readings import ReadingTracker
from support.streams import events, sample

THREE = {"pages_shared": 5, "pages_sharing": 7, "pages_unshared": 11}


def read(**values):
    """The reading of these counters."""
    (reading,) = ReadingTracker().apply(events(*sample(**values)))
    return reading


@pytest.mark.parametrize(
    ("values", "rmap_items", "pages_volatile"),
    [
        ({**THREE, "pages_volatile": 2}, 25, 2),
        ({**THREE, "rmap_items": 25}, 25, 2),
        ({**THREE, "rmap_items": 24, "pages_volatile": 2}, 24, 2),
        ({**THREE, "rmap_items": 20}, 20, 0),  # the kernel clamps what a race makes negative
        ({"rmap_items": 20}, 20, 20),
        (THREE, None, None),
        ({"pages_volatile": 3}, None, 3),
        ({"full_scans": 1}, None, None),
    ],
)
def test_rmap_items_and_volatile_pages_follow_from_each_other(values, rmap_items, pages_volatile):
    reading = read(**values)
    assert (reading.rmap_items, reading.pages_volatile) == (rmap_items, pages_volatile)
