"""WORKLOADS.md has the ops, limits and counters of the code."""

import re

import pytest

from ksmtrace.workload import file, footprint, steps
from ksmtrace.workload.file import parse_workload
from ksmtrace.workload.on_kernel_snapshot import GAUGES


@pytest.fixture
def text(repository):
    return (repository / "WORKLOADS.md").read_text()


def test_every_op_with_its_keys(text):
    steps_alone = text.partition("## The document")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \|", steps_alone, re.MULTILINE)
    said = {op: re.findall(r"`(\w+)`", keys) for op, keys in rows}
    assert said == {op: list(keys) for op, keys in steps.OPS.items()}


def test_every_limit(text):
    said = text.replace(" 000", "000").replace("1 MiB", "1048576").replace("4 194 304", "4194304")
    for limit in (file.MOST_BYTES, file.MOST_BYTES_A_LINE, file.MOST_STEPS, steps.MOST_SCANS,
                  footprint.MOST_PROCESSES, footprint.MOST_PAGES):  # fmt: skip
        assert re.search(rf"\b{limit}\b", said), limit


def test_every_counter(text):
    for gauge in GAUGES:
        assert f"`{gauge.name.lower()}`" in text


def test_the_example_is_a_workload(text):
    example = re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1]
    assert len(parse_workload(example.encode(), "example").steps) == 5
