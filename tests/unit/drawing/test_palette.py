"""Colours can be told apart on black and on white, by everybody.

Contrast as WCAG 2.1 defines it; dichromats see by Vienot, Brettel and Mollon's projection of cone
responses (1999); differences are CIE 1976.
"""

from itertools import combinations

import pytest

from ksmtrace.drawing.palette import ANSI, RAMP, SERIES, STATES, series_colours

COLOURS = sorted({*SERIES, *RAMP, *STATES.values()})
LEAST_CONTRAST, LEAST_DIFFERENCE, LEAST_FOR_THE_RAREST = 3, 25, 15


def _linear(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]


def _luminance(colour):
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), _linear(colour), strict=True))


def _times(matrix, values):
    return [sum(a * b for a, b in zip(row, values, strict=True)) for row in matrix]


TO_CONES = ((0.31399, 0.63951, 0.04649), (0.15537, 0.75789, 0.0867), (0.01775, 0.10944, 0.87257))
FROM_CONES = (
    (5.47221206, -4.6419601, 0.16963708),
    (-1.1252419, 2.29317094, -0.1678952),
    (0.02980165, -0.19318073, 1.16364789),
)
TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
WHITE = (0.9505, 1, 1.089)
SIGHTS = {
    "all cones": lambda long, middle, short: (long, middle, short),
    "without long": lambda _, middle, short: (
        1.05118294 * middle - 0.05116099 * short,
        middle,
        short,
    ),
    "without middle": lambda long, _, short: (
        long,
        0.9513092 * long + 0.04866992 * short,
        short,
    ),
    "without short": lambda long, middle, _: (
        long,
        middle,
        -0.86744736 * long + 1.86727089 * middle,
    ),
}


def _lab(colour, sight):
    seen = _times(FROM_CONES, SIGHTS[sight](*_times(TO_CONES, _linear(colour))))
    parts = [max(v, 0) / white for v, white in zip(_times(TO_XYZ, seen), WHITE, strict=True)]
    x, y, z = (p ** (1 / 3) if p > 0.008856 else 7.787 * p + 16 / 116 for p in parts)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _difference(one, other, sight):
    pairs = zip(_lab(one, sight), _lab(other, sight), strict=True)
    return sum((a - b) ** 2 for a, b in pairs) ** 0.5


@pytest.mark.parametrize("colour", COLOURS)
def test_a_colour_is_seen_on_black_and_on_white(colour):
    light = _luminance(colour)
    assert (light + 0.05) / 0.05 >= LEAST_CONTRAST
    assert 1.05 / (light + 0.05) >= LEAST_CONTRAST


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize(("one", "other"), list(combinations(COLOURS, 2)))
def test_two_colours_differ_for_everybody(one, other, sight):
    least = LEAST_FOR_THE_RAREST if sight == "without short" else LEAST_DIFFERENCE
    assert _difference(one, other, sight) >= least


def test_black_and_white_are_as_far_apart_as_can_be():
    """The arithmetic itself."""
    assert _luminance("#ffffff") == pytest.approx(1)
    assert _difference("#ffffff", "#000000", "all cones") == pytest.approx(100, abs=0.1)


def test_states_have_their_colours_and_other_series_what_is_left():
    names = ["net", "saved", "by writes", "changing"]
    colours = series_colours(names)
    assert (colours[1], colours[3]) == (STATES["saved"], STATES["changing"])
    assert len(set(colours)) == len(names)
    assert len(set(series_colours([*"abcdef"]))) == 6
    assert len(series_colours([*"abcdefgh"])) == 8


def test_16_colours_tell_all_of_them_apart():
    assert set(ANSI) == set(COLOURS)
    assert len(set(ANSI.values())) == len(ANSI)
