"""JSON Schema (draft 2020-12) of the documents, made from the declarations of their keys."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ksmtrace import SCHEMA_VERSION
from ksmtrace.documents.audit import AUDIT
from ksmtrace.documents.estimate import ESTIMATE
from ksmtrace.documents.host import DOCTOR, PLUGINS
from ksmtrace.documents.run import RUN
from ksmtrace.documents.simulations import SIMULATE, WHATIF
from ksmtrace.documents.why import WHY
from ksmtrace.figures import FigureSpec, Specs
from ksmtrace.plugins import BUILTINS, Role

Schema = dict[str, Any]

DOCUMENTS: dict[str, tuple[str, Specs]] = {
    "run": ("live, record, demo, replay and report --json", RUN),
    "simulate": ("simulate --json", SIMULATE),
    "whatif": ("whatif --json", WHATIF),
    "estimate": ("estimate --json", ESTIMATE),
    "why": ("why --json", WHY),
    "audit": ("audit --json", AUDIT),
    "doctor": ("doctor --json", DOCTOR),
    "plugins": ("plugins --json", PLUGINS),
}
"""Every document by its name: what prints it, and its keys."""

_TYPES: dict[str, list[str]] = {
    "": ["number"],
    "pages": ["integer"],
    "bytes": ["integer"],
    "count": ["integer"],
    "object": ["object"],
    "seconds": ["number"],
    "ratio": ["number"],
    "text": ["string"],
    "flag": ["boolean"],
    "number or text": ["integer", "string"],
}
"""JSON's types by unit."""


def analyzers() -> dict[str, Specs]:
    """The figures of the analyzers that come with ksmtrace, by name."""
    return {
        builtin.name: import_module(f"ksmtrace.plugins.{builtin.name}.figures").FIGURES
        for builtin in BUILTINS
        if builtin.role is Role.ANALYZER
    }


def schema(name: str) -> Schema:
    """The JSON Schema of the document of this name.

    Raises:
        KeyError: there is none.
    """
    printed_by, specs = DOCUMENTS[name]
    whole = _object(specs)
    if name == "run":
        whole["properties"]["analyzers"] = _analyzers()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:ksmtrace:{name}:{SCHEMA_VERSION}",
        "title": f"ksmtrace {printed_by}",
        **whole,
    }


def _analyzers() -> Schema:
    """Those that come with ksmtrace as they are declared, others as they are."""
    return {
        "type": "object",
        "properties": {name: _object(specs) for name, specs in analyzers().items()},
        "additionalProperties": {"type": "object"},
    }


def _object(specs: Specs) -> Schema:
    """An object with these keys and no others."""
    return {
        "type": "object",
        "properties": {spec.name: _value(spec) for spec in specs},
        "required": [spec.name for spec in specs if not spec.optional],
        "additionalProperties": False,
    }


def _value(spec: FigureSpec) -> Schema:
    """The value of a key, with its help."""
    inner = _object(spec.of) if spec.of else _leaf(spec)
    path = spec.key.removeprefix(spec.name)
    if path.startswith("."):
        entry = _nullable(inner) if spec.null else inner
        inner = {"type": "object", "additionalProperties": entry}
    while path.endswith("[]"):
        inner, path = {"type": "array", "items": inner}, path.removesuffix("[]")
    return {"description": spec.help, **(_nullable(inner) if spec.null else inner)}


def _leaf(spec: FigureSpec) -> Schema:
    types = _TYPES[spec.unit]
    if spec.one_of:
        return {"enum": list(spec.one_of)}
    return {"type": types[0] if len(types) == 1 else types}


def _nullable(found: Schema) -> Schema:
    """The same, or null."""
    if "enum" in found:
        return {**found, "enum": [*found["enum"], None]}
    types = found["type"] if isinstance(found["type"], list) else [found["type"]]
    return {**found, "type": [*types, "null"]}
