"""Documents that repeat what the code has are checked against it."""

from tools import screen
from tools.docs import architecture, metrics, needs, reference, uksm, variants
from tools.docs.probes import DOCUMENT, kernels_known, kernels_listed, with_table


def test_the_table_of_ways_is_current():
    """`make docs` mends it."""
    text = DOCUMENT.read_text()
    assert text == with_table(text)


def test_the_matrix_lists_every_kernel():
    assert kernels_listed(DOCUMENT.read_text()) == kernels_known()


def test_the_table_of_variants_is_current():
    """`make docs` mends it; what its rows differ in is explained below it."""
    text = variants.DOCUMENT.read_text()
    assert text == variants.with_table(text)


def test_uksm_beside_ksm_is_current():
    """`make docs` mends the table; the factors are in the text below it."""
    text = uksm.DOCUMENT.read_text()
    assert text == uksm.with_table(text)
    kernel, relative = (row.split("|")[3:5] for row in uksm.costs_table().splitlines()[2:])
    assert [int(b) // int(a) for a, b in zip(kernel, relative, strict=True)] == [4, 7]
    assert "saves four times as much here, and seven times as much" in text


def test_the_table_of_metrics_is_current():
    """`make docs` mends it."""
    assert metrics.DOCUMENT.read_text() == metrics.document()


def test_the_keys_of_analyzers_are_current():
    """`make docs` mends it."""
    text = reference.DOCUMENT.read_text()
    assert text == reference.with_keys(text)


def test_the_tables_of_capabilities_are_current():
    """`make docs` mends them."""
    text = needs.DOCUMENT.read_text()
    assert text == needs.with_tables(text)


def test_the_folders_and_floors_of_the_architecture_are_current():
    """`make docs` mends it: a folder's row is the first line of its package's docstring."""
    text = architecture.DOCUMENT.read_text()
    assert text == architecture.with_tables(text)


def test_the_picture_of_the_screen_is_current():
    """`make docs` mends it."""
    assert screen.SVG.read_text() == screen.screen()


def test_metrics_follow_the_conventions():
    """One prefix, base units, ratios called so, a help text that ends as a sentence, no label that
    could grow without bound."""
    for _, family in metrics.families():
        assert family.name.startswith("ksmtrace_")
        assert family.name.islower()
        assert not family.name.endswith(("_total", "_millisecs", "_ns", "_kb", "_mib", "_percent"))
        assert family.documentation.endswith(".")
        labels = {label for sample in family.samples for label in sample.labels}
        assert labels.isdisjoint({"pid", "mm", "address", "pfn", "comm"})
        for sample in family.samples:
            if family.name.endswith("_ratio"):
                assert 0 <= sample.value <= 1
