"""Any text as one line that is safe to print."""

import pytest

from ksmtrace.drawing.lines import one_line


@pytest.mark.parametrize(
    ("text", "shown"), [("a\nb\tc", "a b c"), ("\x1b[2Jx\x07", "?[2Jx?"), (3, "3"), ("é█", "é█")]
)
def test_a_text_is_one_harmless_line(text, shown):
    assert one_line(text) == shown
