"""Contents of pages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.workload.content import Content
from support.random_workloads import contents


def test_pages():
    assert Content.parse("zero")(5) == bytes(4096)
    assert Content.parse("byte:97")(5) == b"a" * 4096
    assert Content.parse("twin:258")(5) == b"\x02\x01\0\0\0\0\0\0" * 512
    assert Content.parse("unique:258")(5) == b"\x05\0\0\0\x02\x01\0\0" * 512


@given(contents())
def test_text_round_trip(content):
    assert Content.parse(str(content)) == content


@given(contents(), st.integers(0, 2**22))
def test_a_page_repeats_its_word(content, index):
    page = content(index)
    assert len(page) == 4096
    assert page == content.word(index).to_bytes(8, "little") * 512
    # an worker computes the words of later pages from the first two
    assert content.word(index) == content.word(0) + index * (content.word(1) - content.word(0))


@pytest.mark.parametrize(
    "text",
    [
        *("", "zero:1", "byte", "byte:", "byte:256", "byte:-1", "byte:1_0", "byte: 1", "byte:٣"),
        *(
            f"twin:{2**64}",
            f"unique:{2**32}",
            "unique:1e3",
            "random:1",
            "Zero",
            "zero\n",
            "byte:1\n",
        ),
        "twin:" + "9" * 100,
    ],
)
def test_bad_contents(text):
    with pytest.raises(ValueError, match="content"):
        Content.parse(text)
