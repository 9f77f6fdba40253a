"""Captures of machines that are not like this one: pages, structs and CPUs of theirs, or a refusal.

They are written by the format's own writer, as a ksmtrace on such a machine would.
"""

import json
from dataclasses import replace

import pytest

from ksmtrace.capture.writer import CaptureWriter
from ksmtrace.events import EventKind
from ksmtrace.kernel.btf import VMLINUX
from ksmtrace.kernel.host import read_kernel
from ksmtrace.session import Kernel
from support.command import assert_one_line, ksmtrace
from support.story import story
from support.streams import events, session

X86 = Kernel("6.1.0-test", "ab" * 20, "x86_64", 4096)
MACHINES = [
    Kernel("6.1.0-test", "ab" * 20, "aarch64", 65536),
    Kernel("6.1.0-test", "ab" * 20, "aarch64", 16384, 56, 56),
    Kernel("6.1.0-test", "ab" * 20, "ppc64le", 65536, 64, 64),
]


def capture(path, kernel, cpus=1):
    """The story on a machine, with its addresses."""
    records = events(*story()).events.copy()
    paged = records["kind"] != EventKind.SAMPLE
    paged &= (records["kind"] != EventKind.TUNABLE) & (records["address"] % 4096 == 0)
    records["address"][paged] *= kernel.page_size_bytes // 4096
    records["cpu"] = [index % cpus for index in range(len(records))]
    for cpu in range(cpus):
        mine = records["cpu"] == cpu
        records["seq"][mine] = range(int(mine.sum()))
    with CaptureWriter(path, replace(session(), kernel=kernel)) as writer:
        writer.write(records)
    return path


def document(path, *more):
    ran = ksmtrace("replay", path, "--json", *more)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def sheet(answers):
    return answers["analyzers"]["balance"]["total"]


@pytest.mark.parametrize("kernel", MACHINES, ids=lambda k: f"{k.machine}-{k.page_size_bytes}")
def test_bytes_are_of_the_captures_pages(tmp_path, kernel):
    usual, other = document(capture(tmp_path / "a", X86)), document(capture(tmp_path / "b", kernel))
    assert other["counters"] == usual["counters"]
    assert other["reconciliation"] == usual["reconciliation"]
    assert other["counters"]["pages_sharing"] == 80
    times = kernel.page_size_bytes // 4096
    tree, usual_tree = (d["analyzers"]["stable_tree"] for d in (other, usual))
    assert tree["saved_bytes"] == 80 * kernel.page_size_bytes == times * usual_tree["saved_bytes"]
    text = ksmtrace("report", tmp_path / "b")
    assert text.returncode == 0, text.stderr
    items = kernel.stable_node_size_bytes
    assert items == kernel.rmap_item_size_bytes
    of_items, usual_items = (
        [one["metadata_bytes"] for one in d["analyzers"]["balance"]["processes"]]
        for d in (other, usual)
    )
    assert of_items == [one * items // 64 for one in usual_items]


@pytest.mark.parametrize("kernel", MACHINES, ids=lambda k: f"{k.machine}-{k.page_size_bytes}")
@pytest.mark.parametrize("verb", [("whatif",), ("replay", "--engine")])
def test_what_the_engine_does_not_model_is_refused(tmp_path, kernel, verb):
    path = capture(tmp_path / "a", kernel)
    ran = ksmtrace(verb[0], path, *verb[1:])
    size = f"{kernel.page_size_bytes} bytes"
    assert_one_line(ran, 2, kernel.machine, size, "those of the engine 4096")


def test_a_machine_of_many_cpus(tmp_path):
    """Their numbers are 16 bits; nothing is taken for lost that comes by another CPU."""
    few = document(capture(tmp_path / "a", X86))
    many = document(capture(tmp_path / "b", X86, cpus=500))
    assert many["events"] == few["events"]
    assert many["events"]["lost"] == 0


def test_the_size_of_an_rmap_item_is_this_kernels():
    if not VMLINUX.exists():
        pytest.skip("this kernel has no BTF")
    kernel = read_kernel()
    assert kernel.rmap_item_size_bytes in (56, 64)
    assert kernel.page_size_bytes in (4096, 16384, 65536)


def test_without_btf_it_is_the_usual_one(tmp_path):
    assert read_kernel(tmp_path).rmap_item_size_bytes == 64
