"""Workload files: what is read is what was written, and every corruption is one line."""

import re
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ksmtrace.engine.variants import NEWEST
from ksmtrace.errors import ExitStatus, KsmtraceError
from ksmtrace.workload.content import Content
from ksmtrace.workload.file import Step, load_workload, parse_workload
from ksmtrace.workload.steps import OPS
from support.random_workloads import random_workloads
from support.workload_text import to_toml, value

EXAMPLE = """
name = "ten equal pages"
[tunables]
pages_to_scan = 100000
[[step]]
op = "spawn"
process = "a"
[[step]]
op = "map"
process = "a"
region = "r"
pages = 12
[[step]]
op = "fill"
process = "a"
region = "r"
first = 2
content = "byte:97"
[[step]]
op = "scan"
passes = 2
[[step]]
op = "snapshot"
name = "end"
"""


def one_line(data, source="w.toml"):
    """The message with which `data` is refused."""
    with pytest.raises(KsmtraceError) as caught:
        parse_workload(data if isinstance(data, bytes) else data.encode(), source)
    message = str(caught.value)
    assert caught.value.status == ExitStatus.BAD_INPUT
    assert len(message.splitlines()) == 1
    assert len(message) < 600
    assert message.startswith(source)
    return message


MORE = ("pin", "pin", "prctl", "advise")


def test_example():
    workload = parse_workload(EXAMPLE.encode(), "w.toml")
    assert (workload.name, workload.variant) == ("ten equal pages", NEWEST)
    assert workload.tunables == {"pages_to_scan": 100000}
    assert workload.steps[1:3] == (
        Step("map", {"process": "a", "region": "r", "pages": 12, "huge": False}),
        Step(
            "fill",
            {"process": "a", "region": "r", "first": 2, "pages": 10}
            | {"content": Content("byte", 97)},
        ),
    )
    assert workload.steps[3:] == (
        Step("scan", {"passes": 2}),
        Step("snapshot", {"name": "end", "groups": False}),
    )


def test_settings_replace_tunables(tmp_path):
    path = tmp_path / "w.toml"
    path.write_text(EXAMPLE)
    workload = load_workload(path, {"pages_to_scan": 5, "smart_scan": 0})
    assert workload.tunables == {"pages_to_scan": 5, "smart_scan": 0}
    with pytest.raises(KsmtraceError, match=r"tunables: max_page_sharing = 1: .*EINVAL"):
        load_workload(path, {"max_page_sharing": 1})
    with pytest.raises(KsmtraceError, match=r"step 3 \(scan\): .*pages_to_scan = 0"):
        load_workload(path, {"pages_to_scan": 0})


@given(random_workloads(huge=True, more=MORE))
@settings(max_examples=100, deadline=None)
def test_round_trip(workload):
    assert parse_workload(to_toml(workload).encode(), "w.toml") == workload


def wrong_value(step, key):
    """What a key can never be."""
    if key == "tunables":
        return st.sampled_from([1, "x", {}, {"nonsense": 1}, {"smart_scan": 2}, {"run": 1}])
    odd = [-1, 1.5, [1], {"a": 1}, 2**40, True]
    if isinstance(step[key], str):
        odd += ["", "a/b", "x" * 200, "a\nb", "a\x00"]
    else:
        odd += ["1"]
    return st.sampled_from(
        [one for one in odd if not (isinstance(step[key], bool) and one is True)]
    )


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_every_corruption_of_a_step_is_one_line_with_its_number(data):
    """One key of one step taken away, added, or made wrong."""
    workload = data.draw(random_workloads(more=MORE))
    document = tomllib.loads(to_toml(workload))
    number = data.draw(st.integers(0, len(document["step"]) - 1))
    step = document["step"][number]
    required = {key for key, of in OPS[step["op"]].items() if of.required} | {"op"}
    match data.draw(st.sampled_from(["take", "add", "wrong"])):
        case "take" if step["op"] != "scan":
            del step[data.draw(st.sampled_from(sorted(required)))]
        case "wrong":
            key = data.draw(st.sampled_from(sorted(step)))
            step[key] = data.draw(wrong_value(step, key))
        case _:
            step["nonsense"] = 1
    text = f"name = {value(document['name'])}\n" + "".join(
        "[[step]]\n" + "".join(f"{key} = {any_value(of)}\n" for key, of in one.items())
        for one in document["step"]
    )
    message = one_line(text)
    assert re.search(rf"step {number}\b", message), message


def any_value(of):
    """A value in TOML, also one that no workload has."""
    if isinstance(of, float):
        return str(of)
    if isinstance(of, list):
        return "[" + ", ".join(map(str, of)) + "]"
    return value(of)


@given(random_workloads(most_steps=5), st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_text_is_read_or_refused_in_one_line(workload, data):
    text = to_toml(workload).encode()
    at = data.draw(st.integers(0, len(text)))
    junk = data.draw(
        st.one_of(st.binary(max_size=5), st.sampled_from([b"]", b'"', b"{", b"\n[[step]]"]))
    )
    gone = data.draw(st.integers(0, 10))
    damaged = text[:at] + junk + text[at + gone :]
    try:
        parse_workload(damaged, "w.toml")
    except KsmtraceError:
        one_line(damaged)
