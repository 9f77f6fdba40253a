"""What is declared of the files of bpf/ is what is in them."""

import re

import pytest

from ksmtrace.resources import bpf_source
from ksmtrace.session import Exactness
from ksmtrace.sources.live.bpf_parts import PARTS, files_of, needs_of, program_parts
from ksmtrace.sources.live.probe_spec import ProbeSpec
from ksmtrace.sources.live.probe_table import PROBES
from ksmtrace.sources.live.struct_offsets import OFFSETS

FILES = [part.file for part in PARTS]
each_part = pytest.mark.parametrize("part", PARTS, ids=FILES)


def text_of(file):
    return re.sub(r"/\*.*?\*/", "", bpf_source(file), flags=re.DOTALL)


def split(part):
    """The text outside of the part's extras, and that of each of them."""
    text, inside = text_of(part.file), {}
    for extra in part.extras:
        block = re.compile(rf"#ifdef {extra.macro}\n(.*?)#(?:else|endif)", re.DOTALL)
        inside[extra] = "\n".join(block.findall(text))
        text = block.sub("", text)
    return text, inside


def members(text):
    return set(re.findall(r"\w+", text)) & OFFSETS.keys()


def symbols(text):
    return {name.lower() for name in re.findall(r"\bSYM_(\w+)", text)}


def defined_in(file):
    return set(
        re.findall(r"^static __always_inline [\w ]+[ *](\w+)\(", text_of(file), re.MULTILINE)
    )


def called_by(part):
    """Files whose functions a part calls."""
    called = set(re.findall(r"\b(\w+)\(", text_of(part.file))) - defined_in(part.file)
    return {file for file in FILES if called & defined_in(file)}


def test_every_file_is_a_part(repository):
    found = [path.name for path in (repository / "bpf").glob("*.[ch]")]
    assert sorted(found) == sorted(FILES)


@each_part
def test_bodies(part):
    pattern = r"^static __always_inline int (on_\w+)\((.*?)\)$"
    found = re.findall(pattern, text_of(part.file), re.MULTILINE | re.DOTALL)
    assert part.bodies == {
        name: 0 if given == "void" else given.count(",") + 1 for name, given in found
    }


@each_part
def test_members_and_symbols(part):
    outside, inside = split(part)
    assert set(part.offsets) == members(outside)
    assert {*part.symbols, *part.functions} == symbols(outside)
    ends = re.findall(r"\bEND_(\w+)", outside)
    assert set(part.functions) == {name.lower() for name in ends}
    for extra, text in inside.items():
        assert set(extra.offsets) == members(text)
        assert set(extra.symbols) == symbols(text)


@each_part
def test_uses(part):
    """Every function that it calls is in the program, and above it in the text."""
    unasked = {one.file for one in PARTS if one.in_every_program}
    unasked |= {one.instead_of for one in PARTS}
    assert set(part.uses) <= called_by(part)
    there = files_of(ProbeSpec("test", Exactness.EXACT, parts=(part.file,)))
    assert called_by(part) <= there | unasked
    for file in called_by(part):
        assert FILES.index(file) < FILES.index(part.file)


def test_a_part_makes_way_for_the_one_that_it_replaces():
    assert [p.file for p in program_parts(["mm.c"])] == [
        *("ksm_event.h", "common.h", "process_unknown.c", "marks_none.c", "skips_none.c", "mm.c"),
    ]
    assert [p.file for p in program_parts(["mm.c", "process.c"])] == [
        *("ksm_event.h", "common.h", "process.c", "marks_none.c", "skips_none.c", "mm.c"),
    ]


def test_a_probe_without_parts_needs_nothing():
    totals = [s for specs in PROBES.values() for s in specs if s.counter]
    assert totals
    for spec in totals:
        assert files_of(spec) == frozenset()
        assert needs_of(spec) == needs_of(ProbeSpec("nothing", Exactness.EXACT))
