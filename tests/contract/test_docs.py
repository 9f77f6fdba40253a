"""Documents that repeat what the code has are checked against it."""

import json

import pytest

from ksmtrace.documents.json_schema import DOCUMENTS, schema
from tools import screen
from tools.docs import (
    architecture,
    documents,
    events,
    hooks,
    metrics,
    needs,
    reasons,
    reference,
    tables,
    uksm,
    variants,
)
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


def test_the_table_of_reasons_is_current():
    """`make docs` mends it."""
    text = reasons.DOCUMENT.read_text()
    assert text == reasons.with_table(text)


@pytest.mark.parametrize("path", documents.TABLES, ids=lambda path: path.name)
def test_the_keys_of_documents_are_current(path):
    """`make docs` mends it."""
    text = path.read_text()
    assert text == documents.with_tables(path, text)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_schemas_are_current(name):
    """Where a number is to be raised, the first line says which; then `make docs` mends it. There
    is no file of another name."""
    assert documents.to_raise(json.loads(documents.path_of(name).read_text()), schema(name)) == ""
    assert documents.path_of(name).read_text() == documents.text_of(name)
    kept = {path.name for path in documents.FOLDER.iterdir()}
    assert {documents.path_of(name).name for name in DOCUMENTS} == kept


WAS = {
    "type": "object",
    "properties": {
        "a": {"type": "integer"},
        "b": {"type": ["string", "null"]},
        "c": {"enum": ["x", "y"]},
        "d": {"type": "array", "items": {"type": "number"}},
    },
    "required": ["a", "b"],
}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"a": {"type": "integer"}}, []),
        ({"e": {"type": "number"}}, []),
        ({"b": {"type": "string"}}, []),
        ({"c": {"enum": ["x"]}}, []),
        ({"a": None}, ["$.a is gone"]),
        ({"a": {"type": ["integer", "null"]}}, ["$.a may be null"]),
        ({"a": {"type": "number"}}, ["$.a may be number"]),
        ({"c": {"enum": ["x", "z"]}}, ["$.c may be another word"]),
        ({"d": {"type": "array", "items": {"type": "string"}}}, ["$.d[] may be string"]),
    ],
)
def test_what_breaks_a_reader_is_found(change, told):
    merged = {**WAS["properties"], **change}
    after = {**WAS, "properties": {key: value for key, value in merged.items() if value}}
    assert list(documents.breaking(WAS, after)) == told
    assert list(documents.breaking(WAS, {**WAS, "required": ["a"]})) == ["$.b may be missing"]


@pytest.mark.parametrize(
    ("change", "version", "told"),
    [
        ({}, "1.0", ""),
        ({"e": {"type": "number"}}, "1.0", "second"),
        ({"e": {"type": "number"}}, "1.1", ""),
        ({"d": {"type": "array", "items": {"properties": {"f": {}}}}}, "1.0", "second"),
        ({"a": {"type": "string"}}, "1.1", "first"),
        ({"a": {"type": "string"}, "e": {}}, "1.0", "first"),
        ({"a": {"type": "string"}}, "2.0", ""),
    ],
)
def test_a_new_key_raises_the_second_number_and_what_breaks_a_reader_the_first(
    change, version, told
):
    before = {**WAS, "$id": "urn:ksmtrace:it:1.0"}
    before["properties"] = {**WAS["properties"], "d": {"type": "array", "items": {}}}
    after = {**before, "$id": f"urn:ksmtrace:it:{version}"}
    after["properties"] = {**before["properties"], **change}
    said = documents.to_raise(before, after)
    assert (f"raise the {told} number" in said) if told else said == ""


@pytest.mark.parametrize("path", tables.MADE, ids=lambda path: path.name)
def test_the_tables_of_features_and_costs_are_current(path):
    """`make docs` mends it."""
    text = path.read_text()
    assert text == tables.with_table(path, text)


@pytest.mark.parametrize("made", [events, hooks], ids=["events", "hooks"])
def test_events_and_hooks_are_current(made):
    """`make docs` mends it."""
    assert made.DOCUMENT.read_text() == made.document()


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
