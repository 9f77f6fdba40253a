"""Kprobes at inlined functions, placed by a probe map, against the capture: event for event."""

import ctypes
import os
import tomllib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ksmtrace.capture.reader import open_capture
from ksmtrace.events import EventKind
from ksmtrace.kernel.btf import Btf
from ksmtrace.kernel.host import read_kernel
from ksmtrace.kernel.symbols import read_symbols
from ksmtrace.probemap.format import LocationKind, ProbeMap
from ksmtrace.resources import bpf_directory
from support.tracing import trace
from support.workloads import everything

pytestmark = pytest.mark.guest

MAPS = Path(__file__).parent.parent / "data/probemaps"
CANDIDATE, REPLACED, PAIR, MERGE = range(4)

TEXT = """
#include <uapi/linux/ptrace.h>
BPF_RINGBUF_OUTPUT(seen, 8192);
BPF_ARRAY(dropped, u64, 1);
BPF_ARRAY(replacing, u64, 3);
struct entry { u64 what, one, other; };
static __always_inline void put(u64 what, u64 one, u64 other)
{
    int zero = 0;
    struct entry entry = {what, one, other};
    u64 *count = dropped.lookup(&zero);
    if (seen.ringbuf_output(&entry, sizeof(entry), BPF_RB_NO_WAKEUP) && count)
        __sync_fetch_and_add(count, 1);
}
static __always_inline u64 get(u64 address, int size)
{
    u64 value = 0;
    bpf_probe_read_kernel(&value, size, (void *)address);
    return value;
}
static __always_inline u64 pfn(u64 page)
{
    return (page - get(VMEMMAP_BASE, 8)) / STRUCT_PAGE;
}
int cmp_and_merge_page(struct pt_regs *ctx)
{
    u64 rmap_item = AT_CMP_RMAP_ITEM;
    put(0, rmap_item, get(rmap_item + OLDCHECKSUM, 4));
    return 0;
}
int replace_page(struct pt_regs *ctx)
{
    int zero = 0, one = 1, two = 2;
    u64 yes = 1, page = AT_REPLACE_PAGE, kpage = AT_REPLACE_KPAGE;
    replacing.update(&zero, &yes);
    replacing.update(&one, &page);
    replacing.update(&two, &kpage);
    return 0;
}
int merge_one_return(struct pt_regs *ctx)
{
    int zero = 0, one = 1, two = 2;
    u64 no = 0;
    u64 *under_way = replacing.lookup(&zero);
    u64 *page = replacing.lookup(&one), *kpage = replacing.lookup(&two);
    if (!under_way || !page || !kpage || !*under_way)
        return 0;
    replacing.update(&zero, &no);
    if ((int)ctx->ax == 0)
        put(1, pfn(*page), pfn(*kpage));
    return 0;
}
int try_to_merge_two_pages(struct pt_regs *ctx)
{
    put(2, AT_PAIR_RMAP_ITEM, AT_PAIR_TREE_RMAP_ITEM);
    return 0;
}
int merge_with_ksm(struct pt_regs *ctx)
{
    put(3, ctx->di, ctx->dx);
    return 0;
}
"""
READ = {
    "AT_CMP_RMAP_ITEM": ("cmp_and_merge_page", "rmap_item"),
    "AT_REPLACE_PAGE": ("replace_page", "page"),
    "AT_REPLACE_KPAGE": ("replace_page", "kpage"),
    "AT_PAIR_RMAP_ITEM": ("try_to_merge_two_pages", "rmap_item"),
    "AT_PAIR_TREE_RMAP_ITEM": ("try_to_merge_two_pages", "tree_rmap_item"),
}


def map_of_this_kernel():
    """The bundled map of the running build; it must be there for kernels that CI boots."""
    kernel = read_kernel()
    for path in sorted(MAPS.glob("*.json")):
        probe_map = ProbeMap.load(path)
        if probe_map.build_id == kernel.build_id:
            probe_map.check(kernel.build_id)
            return probe_map
    table = tomllib.loads((Path(__file__).parent.parent / "vm/kernels.toml").read_text())
    needed = [row["name"] for row in table["kernel"] if row["ci"]]
    missing = (
        pytest.fail if kernel.release.startswith(tuple(f"{n}." for n in needed)) else pytest.skip
    )
    missing(
        f"no map in {MAPS} is of build {kernel.build_id}; "
        f"take vmlinux out of linux-image-{kernel.release}-dbg and run "
        f"`ksmtrace probemap vmlinux-{kernel.release} "
        f"-o tests/data/probemaps/debian-{kernel.release}.json`"
    )


def expression(location):
    """C that reads an argument from `ctx`."""
    value = f"(ctx->{location.register} + ({location.offset}))"
    return (
        value if location.kind is LocationKind.REGISTER else f"get({value}, {location.size_bytes})"
    )


class Sites:
    """Probes of our own at the sites of a map; they share no code with ksmtrace's."""

    def __init__(self, probe_map):
        self._map = probe_map

    def __enter__(self):
        from bcc import BPF

        btf = Btf()
        rmap_item = next(name for name in ("ksm_rmap_item", "rmap_item") if btf.has_struct(name))
        defines = {
            "OLDCHECKSUM": btf.offset(rmap_item, "oldchecksum"),
            "STRUCT_PAGE": btf.size("page"),
            "VMEMMAP_BASE": f"{read_symbols({'vmemmap_base'})['vmemmap_base']:#x}ULL",
        }
        for macro, (function, argument) in READ.items():
            (site,) = self._map.functions[function]
            assert site.inlined
            defines[macro] = expression(site.arguments[argument])
        head = "".join(f"#define {name} {value}\n" for name, value in defines.items())
        with bpf_directory() as directory:
            os.environ["BCC_KERNEL_SOURCE"] = str(directory)
            self._bpf = BPF(text=(head + TEXT).encode())
            del os.environ["BCC_KERNEL_SOURCE"]
        for function in ("cmp_and_merge_page", "replace_page", "try_to_merge_two_pages"):
            (site,) = self._map.functions[function]
            self._bpf.attach_kprobe(
                event=site.symbol.encode(), event_off=site.offset, fn_name=function.encode()
            )
        self._bpf.attach_kprobe(event=b"try_to_merge_with_ksm_page", fn_name=b"merge_with_ksm")
        self._bpf.attach_kretprobe(event=b"try_to_merge_one_page", fn_name=b"merge_one_return")
        return self

    def read(self):
        """Everything seen, in order: an array of (what, one, other)."""
        found = bytearray()

        def keep(_context, data, size):
            found.extend(ctypes.string_at(data, size)[:24])

        self._bpf[b"seen"].open_ring_buffer(keep)
        self._bpf.ring_buffer_consume()
        assert self._bpf[b"dropped"][ctypes.c_int(0)].value == 0
        return np.frombuffer(bytes(found), dtype="<u8").reshape(-1, 3)

    def __exit__(self, *error):
        self._bpf.cleanup()


def columns(batches, kind, *names):
    """Columns of all records of a kind in a capture, in stream order, side by side."""
    parts = [batch.of(kind) for batch in batches]
    return np.concatenate(
        [np.column_stack([part[name].astype("u8") for name in names]) for part in parts]
    )


def assert_same(recorded, seen):
    """Equal length, and equal row by row."""
    rows = min(len(recorded), len(seen))
    wrong = np.flatnonzero((recorded[:rows] != seen[:rows]).any(axis=1))
    if len(wrong):
        at = wrong[0]
        pytest.fail(f"event {at}: capture {recorded[at]}, probe {seen[at]}; {len(wrong)} differ")
    assert len(recorded) == len(seen) > 0


def pairs_that_agree(seen):
    """How many pairs went on to their second half; fails where that was not the rmap_item that the
    map found."""
    calls = seen[np.isin(seen[:, 0], (CANDIDATE, PAIR, MERGE))]
    agreed = 0
    for at in np.flatnonzero(calls[:, 0] == PAIR):
        _, rmap_item, tree_rmap_item = calls[at]
        first, second = calls[at + 1], calls[at + 2] if at + 2 < len(calls) else (CANDIDATE, 0, 0)
        assert tuple(first) == (MERGE, rmap_item, 0)
        if second[0] == MERGE:
            assert second[1] == tree_rmap_item
            agreed += 1
    return agreed


def test_the_capture_holds_what_the_functions_were_called_with(ksm, processes, tmp_path):
    """cmp_and_merge_page and replace_page: same arguments in the same order, none missing, none
    more."""
    capture = str(tmp_path / "c.ksmtrace")
    ksm.start_stepping()
    with Sites(map_of_this_kernel()) as sites:
        document = trace(lambda: everything(ksm, processes), record=capture, probes="kprobe")
        seen = sites.read()
    assert document["events"]["lost"] == 0
    with open_capture(capture) as read:
        batches = list(read.batches())
    agreed = pairs_that_agree(seen)
    print({"seen": Counter(seen[:, 0].tolist()), "pairs": agreed})
    candidates = columns(batches, EventKind.CMP_AND_MERGE_PAGE, "rmap_item", "oldchecksum")
    assert_same(candidates, seen[seen[:, 0] == CANDIDATE][:, 1:])
    assert_same(
        columns(batches, EventKind.REPLACE_PAGE, "pfn", "aux"), seen[seen[:, 0] == REPLACED][:, 1:]
    )
    assert len(candidates) > 10_000
    assert agreed > 50
