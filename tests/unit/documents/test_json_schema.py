"""The JSON Schema of documents: strict, of every document, and printed by a command."""

import copy
import json
import os
import subprocess
import sys

import jsonschema
import pytest

from ksmtrace import SCHEMA_VERSION
from ksmtrace.cli import main
from ksmtrace.cli import schema as verb
from ksmtrace.documents.json_schema import DOCUMENTS, schema
from ksmtrace.errors import KsmtraceError
from support.documents import assert_valid, documents_in, validator

OTHER = {"not": ["what", "it", "was"]}


@pytest.fixture(scope="module")
def printed(bundled_capture, repository, tmp_path_factory):
    """Every document as its verb prints it, and what more a run's may hold."""
    from support.command import ksmtrace

    workload = repository / "tests/data/workloads/rich-and-poor.toml"
    lines = {
        "run": ("replay", bundled_capture, "--engine"),
        "simulate": ("simulate", workload),
        "whatif": ("whatif", workload, "--sweep", "pages_to_scan=10,100"),
        "estimate": ("estimate", "--pid", os.getpid(), "--every", 0.1),
        "audit": ("audit", "--pid", os.getpid()),
        "why": ("why", os.getpid(), "--every", 0.1, "--pages"),
        "doctor": ("doctor",),
        "plugins": ("plugins",),
    }
    return {name: json.loads(ksmtrace(*line, "--json").stdout) for name, line in lines.items()}


def refused(name, document):
    return not validator(name).is_valid(document)


def places(found, kind, path=()):
    """(path, schema) of every object or leaf of the document that the schema has something of."""
    if found.get("type") in ("object", ["object", "null"]):
        if kind == "object":
            yield path, found
        for key, inner in found.get("properties", {}).items():
            yield from places(inner, kind, (*path, key))
        if isinstance(inner := found.get("additionalProperties"), dict):
            yield from places(inner, kind, (*path, None))
    elif "items" in found:
        yield from places(found["items"], kind, (*path, None))
    elif kind == "leaf":
        yield path, found


def reach(document, path):
    """Every (holder, key) at a path, in which None is any key or index."""
    for key in path[:1]:
        if not isinstance(document, (dict, list)):
            return
        every = list(document) if isinstance(document, dict) else range(len(document))
        for one in every if key is None else [key] if key in document else []:
            if len(path) == 1:
                yield document, one
            else:
                yield from reach(document[one], path[1:])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_it_is_a_schema_and_says_which(name):
    jsonschema.Draft202012Validator.check_schema(schema(name))
    assert schema(name)["$id"] == f"urn:ksmtrace:{name}:{SCHEMA_VERSION}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_it_takes_what_is_printed(name, printed):
    assert printed[name]["schema_version"] == SCHEMA_VERSION
    assert_valid(name, printed[name])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_wrong_type_anywhere_fails(name, printed):
    tried = 0
    document = copy.deepcopy(printed[name])
    for path, found in places(schema(name), "leaf"):
        for holder, key in list(reach(document, path))[:1]:
            was = holder[key]
            scalar = 7 if isinstance(was, str) else "seven"
            for other in (OTHER, scalar) if "string" not in found.get("type", ()) else (OTHER,):
                holder[key] = other
                assert refused(name, document), path
            holder[key] = was
            tried += 1
    assert tried >= 8


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_unknown_or_a_missing_key_anywhere_fails(name, printed):
    tried = 0
    document = copy.deepcopy(printed[name])
    for path, found in places(schema(name), "object"):
        if found.get("additionalProperties") is not False:
            continue
        holders = [document] if not path else [h[k] for h, k in reach(document, path)]
        for holder in [one for one in holders if isinstance(one, dict)][:1]:
            holder["unheard_of"] = 1
            assert refused(name, document), path
            del holder["unheard_of"]
            for key in found["required"][:2]:
                taken = holder.pop(key)
                assert refused(name, document), (path, key)
                holder[key] = taken
            tried += 1
    assert tried >= 2


def test_a_number_is_no_text_and_a_verdict_one_of_its_words(printed):
    document = copy.deepcopy(printed["run"])
    for value in ("worth it", "worth it!", None, 1):
        document["analyzers"]["balance"]["verdict"] = value
        assert refused("run", document) is (value != "worth it")
    document = copy.deepcopy(printed["run"])
    document["passes"] = "40"
    assert refused("run", document)


def test_a_plugin_of_another_package_has_keys_of_its_own(printed):
    document = copy.deepcopy(printed["run"])
    document["analyzers"]["theirs"] = {"anything": [1, "x", None]}
    assert_valid("run", document)
    document["analyzers"]["theirs"] = 3
    assert refused("run", document)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_command_prints_it(name, capsys):
    assert main(["schema", name]) == 0
    assert json.loads(capsys.readouterr().out) == schema(name)


def test_the_command_knows_every_document():
    assert tuple(DOCUMENTS) == verb.DOCUMENTS


def test_documents_that_tests_read_are_checked(bundled_capture, monkeypatch, capsys):
    """What holds every test's documents against the schema can fail."""
    monkeypatch.setattr("ksmtrace.pipeline.snapshot.SCHEMA_VERSION", 1.0)
    with pytest.raises((AssertionError, KsmtraceError), match="schema_version"):
        main(["replay", str(bundled_capture), "--json"])
    printed = 'import sys; print(\'{"schema_version": "1.0"}\')'
    for how in ({"text": True}, {}):
        with pytest.raises(AssertionError, match="is a required property"):
            subprocess.run(
                [sys.executable, "-c", printed, "doctor", "--json"],
                capture_output=True, check=True, **how,
            )  # fmt: skip
    assert documents_in('{"a": 1}\n{"b": 2}\n') == [{"a": 1}, {"b": 2}]
    assert documents_in("KSM saves nothing") == []
