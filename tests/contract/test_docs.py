"""Documents that repeat what the code says are checked against it."""

from support import variants_table
from support.probes_table import DOCUMENT, kernels_known, kernels_listed, with_table


def test_the_table_of_ways_is_current():
    """`make docs` mends it."""
    text = DOCUMENT.read_text()
    assert text == with_table(text)


def test_the_matrix_lists_every_kernel():
    assert kernels_listed(DOCUMENT.read_text()) == kernels_known()


def test_the_table_of_variants_is_current():
    """`make docs` mends it; what its rows differ in is explained below it."""
    text = variants_table.DOCUMENT.read_text()
    assert text == variants_table.with_table(text)
