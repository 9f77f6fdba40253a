"""The tables of keys of JSON documents, and docs/schema, made from the declarations: `make docs`.

python -m tools.docs.documents                  refuses what another version has to be told by
python -m tools.docs.documents --unreleased     this version is in no release yet
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ksmtrace import SCHEMA_VERSION
from ksmtrace.documents.audit import AUDIT
from ksmtrace.documents.estimate import ESTIMATE
from ksmtrace.documents.host import DOCTOR, PLUGINS
from ksmtrace.documents.json_schema import DOCUMENTS, Schema, schema
from ksmtrace.documents.run import ENGINE, RUN
from ksmtrace.documents.simulations import SIMULATE, WHATIF
from ksmtrace.documents.why import WHY
from ksmtrace.figures import Specs
from tools.docs.marked import DOCS, with_part
from tools.docs.reference import key_rows, unit_of

FOLDER = DOCS / "schema"

TABLES: dict[Path, dict[str, Specs]] = {
    DOCS / "REFERENCE.md": {
        "keys of a run": tuple(one for one in RUN if one is not ENGINE),
        "keys of doctor": DOCTOR,
        "keys of plugins": PLUGINS,
    },
    DOCS / "ENGINE.md": {"keys of the comparison": (ENGINE,)},
    DOCS / "AUDIT.md": {"keys of audit": AUDIT},
    DOCS / "ESTIMATE.md": {"keys of estimate": ESTIMATE},
    DOCS / "WHATIF.md": {"keys of whatif": WHATIF},
    DOCS / "WHY.md": {"keys of why": WHY},
    DOCS.parent / "WORKLOADS.md": {"keys of simulate": SIMULATE},
}
"""By document: its tables, by their mark."""


def with_tables(path: Path, text: str) -> str:
    """The document of this path with the tables as they should be."""
    for name, specs in TABLES[path].items():
        text = with_part(text, name, _table(specs))
    return text


def _table(specs: Specs) -> str:
    lines = ["| key | type | what it is |", "|---|---|---|"]
    for path, spec, shared in key_rows(specs):
        words = f"One of {', '.join(_word(one) for one in spec.one_of)}." if spec.one_of else ""
        kinds = words if len(spec.one_of) < 10 else ""
        meaning = " ".join(filter(None, (spec.help, kinds, shared)))
        missing = ", may be missing" if spec.optional else ""
        lines.append(f"| `{path}` | {unit_of(spec)}{missing} | {meaning} |")
    return "\n".join(lines)


def _word(one: str) -> str:
    return f"`{one}`" if one else '""'


def path_of(name: str) -> Path:
    """The file of a document's schema."""
    return FOLDER / f"{name}-{SCHEMA_VERSION.partition('.')[0]}.json"


def text_of(name: str) -> str:
    """What is in that file."""
    return f"{json.dumps(schema(name), indent=1)}\n"


def breaking(before: Schema, after: Schema, where: str = "$") -> Iterator[str]:
    """What would break a reader who knows the first schema, where a document follows the second."""
    old, new = before.get("properties", {}), after.get("properties", {})
    for key in old.keys() - new.keys():
        yield f"{where}.{key} is gone"
    for key in before.get("required", ()):
        if key in new and key not in after.get("required", ()):
            yield f"{where}.{key} may be missing"
    for key in old.keys() & new.keys():
        yield from breaking(old[key], new[key], f"{where}.{key}")
    for inner in ("items", "additionalProperties"):
        if isinstance(before.get(inner), dict) and isinstance(after.get(inner), dict):
            yield from breaking(before[inner], after[inner], f"{where}[]")
    if more := _kinds(after) - _kinds(before):
        yield f"{where} may be {', '.join(sorted(more))}"
    words, more_words = before.get("enum"), after.get("enum")
    if words is not None and (more_words is None or not set(more_words) <= set(words)):
        yield f"{where} may be another word"


def added(before: Schema, after: Schema, where: str = "$") -> Iterator[str]:
    """Keys that the second schema has and the first has not."""
    old, new = before.get("properties", {}), after.get("properties", {})
    for key, inner in new.items():
        if key not in old:
            yield f"{where}.{key}"
        else:
            yield from added(old[key], inner, f"{where}.{key}")
    for inner in ("items", "additionalProperties"):
        if isinstance(before.get(inner), dict) and isinstance(after.get(inner), dict):
            yield from added(before[inner], after[inner], f"{where}[]")


def to_raise(before: Schema, after: Schema) -> str:
    """What differs, and which number of SCHEMA_VERSION is to be raised for it; "" for none."""
    was, now = (found["$id"].rpartition(":")[2].split(".") for found in (before, after))
    if was[0] == now[0] and (broken := list(breaking(before, after))):
        differs, number = "; ".join(broken), "first"
    elif was == now and (new := list(added(before, after))):
        differs, number = f"{', '.join(new)} not in {'.'.join(was)}", "second"
    else:
        return ""
    return (
        f"{differs}: raise the {number} number of SCHEMA_VERSION (ksmtrace/__init__.py), then "
        "`make docs`; while that version is in no release, python -m tools.docs.documents "
        "--unreleased will do instead"
    )


def _kinds(found: Schema) -> set[str]:
    """JSON's types that a value may have; a whole number is a number."""
    names = {str: "string", type(None): "null"}
    if "enum" in found:
        return {names[type(one)] for one in found["enum"]}
    kinds: Any = found.get("type", ())
    return {kinds} if isinstance(kinds, str) else set(kinds)


def main(arguments: list[str]) -> None:
    """Write the tables and the schemas.

    Raises:
        SystemExit: a schema differs by more than its version tells.
    """
    for path in TABLES:
        path.write_text(with_tables(path, path.read_text()))
    FOLDER.mkdir(exist_ok=True)
    for name in DOCUMENTS:
        path = path_of(name)
        if path.exists() and "--unreleased" not in arguments:
            wanted = to_raise(json.loads(path.read_text()), schema(name))
            if wanted:
                raise SystemExit(f"{name}: {wanted}")
        path.write_text(text_of(name))


if __name__ == "__main__":
    main(sys.argv[1:])
