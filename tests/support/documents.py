"""Holds every JSON document that a test sees against its JSON Schema."""

import functools
import json
import subprocess
from collections.abc import Mapping

import jsonschema

from ksmtrace.cli import formats
from ksmtrace.documents.json_schema import schema
from ksmtrace.pipeline.snapshot import Snapshot

_OF_VERB = {
    **dict.fromkeys(("live", "record", "demo", "replay", "report"), "run"),
    **{verb: verb for verb in ("simulate", "whatif", "doctor", "plugins")},
}


@functools.cache
def validator(name):
    """Of the document of this name."""
    return jsonschema.Draft202012Validator(schema(name))


def assert_valid(name, document):
    """That the document is as the schema of this name says."""
    error = jsonschema.exceptions.best_match(validator(name).iter_errors(document))
    assert error is None, f"{name}: {error.json_path}: {error.message[:300]}"


def name_of(document):
    """Which document it is, by a key that only that one has; None for none."""
    keys = {"analyzers": "run", "snapshots": "simulate", "scenarios": "whatif"} | {
        "improvements": "doctor",
        "plugins": "plugins",
    }
    return next((name for key, name in keys.items() if key in document), None)


def watch(*, made):
    """Check documents from now on: what is printed, by commands that are run too, and snapshots'
    where `made` is true.

    Commands are lists of words, and their output is captured until they end.
    """
    document = Snapshot.__dict__["document"]
    if made:
        document.func = _checked(document.func)
    formats.json = _Json()
    subprocess.Popen = _Popen


def _checked(make):
    @functools.wraps(make)
    def made(snapshot):
        document = make(snapshot)
        # as a reader gets it: keys that are enums, and tuples, are texts and lists there
        read = json.loads(json.dumps(document))
        read["analyzers"] = {
            name: answer for name, answer in read["analyzers"].items() if _is_ours(snapshot, name)
        }
        assert_valid("run", read)
        return document

    return made


def _is_ours(snapshot, name):
    """Whether an analyzer is what it is called, and none that a test has put in its place."""
    plugin = snapshot._calls._manager.get_plugin(name)
    return type(plugin).__module__.startswith("ksmtrace.plugins.")


class _Json:
    """The module json, as far as `print_json` uses it."""

    @staticmethod
    def dumps(document, **how):
        text = json.dumps(document, **how)
        if (name := name_of(document)) is not None:
            assert_valid(name, json.loads(text))
        return text


class _Popen(subprocess.Popen):
    """A command whose output is checked where it is read to its end, as by `subprocess.run`."""

    def communicate(self, *arguments, **options):
        done = super().communicate(*arguments, **options)
        given = self.args if isinstance(self.args, (list, tuple)) else ()
        words = [str(word) for word in given]
        verb = next((_OF_VERB[word] for word in words if word in _OF_VERB), None)
        if verb is not None and "--json" in words and done[0]:
            text = done[0] if isinstance(done[0], str) else done[0].decode(errors="replace")
            for document in documents_in(text):
                if "schema_version" in document:
                    assert_valid(verb, document)
        return done


def documents_in(text):
    """The JSON objects in a text, one after another; none where it is something else."""
    decoder, at, found = json.JSONDecoder(), 0, []
    while at < len(text.rstrip()):
        try:
            document, at = decoder.raw_decode(text, at)
        except ValueError:
            return found
        if isinstance(document, Mapping):
            found.append(document)
        at += len(text[at:]) - len(text[at:].lstrip())
    return found
