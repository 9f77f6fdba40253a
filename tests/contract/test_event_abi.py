"""bpf/ksm_event.h and ksmtrace/events say the same."""

import re

import numpy as np
import pytest

from ksmtrace.events import RECORD, EventKind, Flag, Gauge
from ksmtrace.sources.live.tiers import TIERS

WIDTHS = {"u8": "u1", "u16": "<u2", "s16": "<i2", "u32": "<u4", "u64": "<u8"}


@pytest.fixture
def header(repository):
    return (repository / "bpf/ksm_event.h").read_text()


def enum(header, name):
    body = re.search(rf"enum {name} {{(.*?)}};", header, re.DOTALL)[1]
    return {key: int(value, 0) for key, value in re.findall(r"(\w+) = (\w+)", body)}


def test_fields(header):
    body = re.search(r"struct ksm_event {(.*?)};", header, re.DOTALL)[1]
    fields = [
        (name, np.dtype(WIDTHS[kind])) for kind, name in re.findall(r"(u\d+|s\d+) (\w+);", body)
    ]
    assert fields == [(name, RECORD[name]) for name in RECORD.names]
    assert RECORD.itemsize == 64
    # aligned by its own width, so that a C compiler adds no padding
    for name in RECORD.names:
        assert RECORD.fields[name][1] % RECORD[name].itemsize == 0


def test_kinds(header):
    assert enum(header, "ksm_event_kind") == {kind.name: kind.value for kind in EventKind}


def test_flags(header):
    assert enum(header, "ksm_event_flag") == {n: f.value for n, f in Flag.__members__.items()}


def test_gauges_that_bpf_reads(header):
    for name, value in enum(header, "ksm_gauge").items():
        assert Gauge[name] == value


def test_every_tier_says_how_each_kind_is_seen():
    for tier in TIERS:
        assert set(tier.probes) == set(EventKind) - {EventKind.LOST, EventKind.SNAPSHOT}


def test_every_program_of_a_tier_exists(repository):
    for tier in TIERS:
        text = "".join((repository / "bpf" / name).read_text() for name in tier.sources)
        for attach in tier.attaches:
            assert re.search(rf"^int {attach.program}\(", text, re.MULTILINE), attach.program
        programs = set(re.findall(r"^int (\w+)\(", text, re.MULTILINE))
        assert programs == {attach.program for attach in tier.attaches}
