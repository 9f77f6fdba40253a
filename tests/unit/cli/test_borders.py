"""Files of every other kind that the program reads: whatever is in them, the error is one line."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.errors import KsmtraceError
from ksmtrace.probemap.format import FORMAT, MACHINE, ProbeMap
from ksmtrace.workload.file import parse_workload

WORKLOAD = {
    "name": "w", "variant": "ksm-6.12", "nodes": 1, "tunables": {"pages_to_scan": 100},
    "step": [
        {"op": "spawn", "process": "a"},
        {"op": "map", "process": "a", "region": "r", "pages": 4, "huge": False},
        {"op": "fill", "process": "a", "region": "r", "content": "twin:3"},
        {"op": "mergeable", "process": "a", "region": "r"},
        {"op": "poke", "process": "a", "region": "r", "first": 0, "pages": 1, "offset": 0,
         "value": 7},
        {"op": "set", "tunables": {"smart_scan": 1}},
        {"op": "scan", "passes": 1},
        {"op": "snapshot", "name": "end"},
    ],
}  # fmt: skip

MAP = {
    "format": FORMAT, "version": 1, "build_id": "ab" * 20, "release": "6.1.0", "machine": MACHINE,
    "functions": {"replace_page": [{
        "symbol": "try_to_merge_one_page", "offset": 64, "inlined": True,
        "arguments": {"vma": {"kind": "register", "register": "di", "offset": 0, "size_bytes": 8}},
    }]},
}  # fmt: skip

ODD = [
    *("true", "false", "nan", "inf", "-inf", "1e400", "-1", "9223372036854775807", "0.5", '""'),
    *(
        '"\\u0000"',
        '"\\u001b[31m"',
        '"é"',
        "[]",
        "[[[]]]",
        "{}",
        "{a = 1}",
        "1979-05-27",
        "07:32:00",
    ),
    *("1" * 400, f'"{"x" * 3000}"', "9" * 5000, "[" * 3000 + "]" * 3000),
]
"""Values of TOML, few of which are right anywhere."""


def places(value, at=()):
    """Every place of a nested value that can be replaced."""
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in items if isinstance(value, (dict, list)) else ():
        if isinstance(one, (dict, list)):
            yield from places(one, (*at, key))
        else:
            yield (*at, key)


def toml(value, at=(), odd_at=None, odd=""):
    """A value as inline TOML, with `odd` in one place."""
    if at == odd_at:
        return odd
    if isinstance(value, dict):
        inside = (f"{key} = {toml(one, (*at, key), odd_at, odd)}" for key, one in value.items())
        return "{" + ", ".join(inside) + "}"
    if isinstance(value, list):
        inside = (toml(one, (*at, n), odd_at, odd) for n, one in enumerate(value))
        return "[" + ", ".join(inside) + "]"
    return json.dumps(value)


def taken(read, *arguments):
    """(what was read, None) or (None, the line with which it is refused)."""
    try:
        return read(*arguments), None
    except KsmtraceError as error:
        line = str(error)
    assert "\n" not in line
    assert len(line) < 600
    return None, line


def document(odd_at, odd):
    return "\n".join(
        f"{key} = {toml(value, (key,), odd_at, odd)}" for key, value in WORKLOAD.items()
    ).encode()


def test_the_usual_files_are_taken(tmp_path):
    assert len(parse_workload(document(None, ""), "w").steps) == len(WORKLOAD["step"])
    (tmp_path / "m").write_text(json.dumps(MAP))
    assert ProbeMap.load(tmp_path / "m").build_id == MAP["build_id"]


@pytest.mark.parametrize("at", [at for at in places(WORKLOAD) if at], ids=repr)
def test_a_workload_with_one_odd_value(at):
    for odd in ODD:
        found, refused = taken(parse_workload, document(at, odd), "w.toml")
        assert refused is None or refused.startswith("w.toml: ")
        values = found.tunables.values() if found is not None else ()
        assert all(not isinstance(value, float) or math.isfinite(value) for value in values)


@given(st.data())
def test_a_probe_map_with_one_odd_value(tmp_path_factory, data):
    at = data.draw(st.sampled_from([at for at in places(MAP) if at]))
    odd = data.draw(
        st.sampled_from(
            [
                None,
                True,
                -1,
                2**70,
                10**300,
                1.5,
                math.nan,
                math.inf,
                "",
                "\x00",
                "x" * 10**5,
                [],
                {},
            ]
        )
    )
    changed = json.loads(json.dumps(MAP))
    inner = changed
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = odd
    path = tmp_path_factory.mktemp("maps") / "m"
    path.write_text(json.dumps(changed))
    found, refused = taken(ProbeMap.load, path)
    assert refused is None or refused.startswith(f"{path}: ")
    assert found is None or isinstance(found.release, str)


@pytest.mark.parametrize("text", ["[" * 10**5, '{"a":' * 10**5, "NaN", "9" * 5000, "\ud800", ""])
def test_probe_maps_that_are_deep_or_none(tmp_path, text):
    (tmp_path / "m").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(KsmtraceError, match="not a usable probe map"):
        ProbeMap.load(tmp_path / "m")
