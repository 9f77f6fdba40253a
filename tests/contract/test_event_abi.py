"""bpf/ksm_event.h and ksmtrace/events define the same record, kinds and flags."""

import re

import numpy as np
import pytest

from ksmtrace.events import RECORD, EventKind, Flag, Gauge
from ksmtrace.sources.live.bpf_parts import PARTS, files_of
from ksmtrace.sources.live.probe_table import PROBES
from ksmtrace.sources.live.struct_offsets import OFFSETS

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


def every_probe():
    for kind, specs in PROBES.items():
        for spec in specs:
            yield kind, spec
            if spec.with_too is not None:
                yield kind, spec.with_too


def test_every_kind_has_a_probe():
    made_by_the_reader = {
        *(EventKind.LOST, EventKind.SNAPSHOT),
        *(EventKind.PROCESS_TEXT, EventKind.PROCESS_SAMPLE, EventKind.TOTAL),
        *(EventKind.PROBE_TIME, EventKind.STREAM_END),
    }
    assert set(PROBES) == set(EventKind) - made_by_the_reader
    for specs in PROBES.values():
        assert len({spec.name for spec in specs}) == len(specs)


def test_probes_require_what_is_decided_before_them():
    kinds = list(PROBES)
    for kind, spec in every_probe():
        for other, names in (*spec.requires.items(), *spec.conflicts.items()):
            assert kinds.index(other) < kinds.index(kind)
            assert set(names) <= {one.name for one in PROBES[other]} | {"inlined"}


def test_every_body_is_used_and_every_hook_has_one(repository):
    bodies = {}
    for path in (repository / "bpf").glob("*.c"):
        found = re.findall(
            r"^static __always_inline int (on_\w+)\(", path.read_text(), re.MULTILINE
        )
        assert not set(found) & bodies.keys()
        bodies |= dict.fromkeys(found, path.name)
    used = set()
    for _, spec in every_probe():
        for hook in spec.hooks:
            used.add(hook.body)
            assert bodies[hook.body] in files_of(spec), (spec, hook)
    assert used == bodies.keys()


def test_every_macro_of_the_text_is_known(repository):
    """What the text names comes from BTF, kallsyms, the plan, or the text itself."""
    text = "\n".join(path.read_text() for path in (repository / "bpf").glob("*.[ch]"))
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    words = set(re.findall(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b", text))
    own = set(re.findall(r"#define (\w+)", text)) | set(
        re.findall(r"^\s+(\w+) = ", text, re.MULTILINE)
    )
    defined = {macro for _, spec in every_probe() for macro in spec.defines}
    defined |= {extra.macro for part in PARTS for extra in part.extras}
    defined |= {f"END_{name.upper()}" for part in PARTS for name in part.functions}
    defined |= {f"TYPED_{body.upper()}" for part in PARTS for body in part.bodies}
    # of the features of BPF, by kernel/bpf_features.py
    defined |= {"KFUNC_CALL", "KFUNC_RDONLY_CAST", "TYPE_PT_REGS"}
    given = {"KSMD_PID", "TOTALS_ONLY", "RING_PAGES", "STRUCT_PAGE_SIZE", "PAGE_BYTES"}
    bcc = {w for w in words if w.startswith(("BPF_", "PT_REGS_"))}
    unknown = words - own - defined - given - bcc - OFFSETS.keys()
    assert {word for word in unknown if not word.startswith("SYM_")} == set()
    assert OFFSETS.keys() <= words
