"""A second count of what ksmd does, by a BPF program of its own that shares no code with ksmtrace.

It counts in the kernel, in an array, and looks at registers and return values only: no cursor, no
ring.
"""

from pathlib import Path
from typing import Any, Self

from ksmtrace.sources.live import program

TEXT = r"""
#include <uapi/linux/ptrace.h>
BPF_ARRAY(counts, u64, 8);
BPF_ARRAY(arguments, u64, 2);
static __always_inline void add(int which)
{
    u64 *value = counts.lookup(&which);
    if (value)
        __sync_fetch_and_add(value, 1);
}
int pmd_entry_return(struct pt_regs *ctx)
{
    if ((int)ctx->ax == 1)
        add(0);
    return 0;
}
int merge_one(struct pt_regs *ctx)
{
    int zero = 0, one = 1;
    u64 page = ctx->si, kpage = ctx->dx;
    arguments.update(&zero, &page);
    arguments.update(&one, &kpage);
    add(1);
    return 0;
}
int merge_one_return(struct pt_regs *ctx)
{
    int zero = 0, one = 1;
    u64 *page = arguments.lookup(&zero), *kpage = arguments.lookup(&one);
    if (page && kpage && (int)ctx->ax == 0 && *kpage && *kpage != *page)
        add(2);
    return 0;
}
int append(struct pt_regs *ctx) { add(3); return 0; }
int cow(struct pt_regs *ctx) { add(4); return 0; }
int node_removed(struct pt_regs *ctx) { add(5); return 0; }
"""


class Truth:
    """Counts while its context lasts."""

    def __enter__(self) -> Self:
        self._bpf = program.compile_text(TEXT, [])
        attach, attach_return = self._bpf.attach_kprobe, self._bpf.attach_kretprobe
        attach_return(event=b"ksm_next_page_pmd_entry", fn_name=b"pmd_entry_return")
        attach(event=b"try_to_merge_one_page", fn_name=b"merge_one")
        attach_return(event=b"try_to_merge_one_page", fn_name=b"merge_one_return")
        attach(event=b"stable_tree_append", fn_name=b"append")
        attach(event=b"break_cow", fn_name=b"cow")
        attach(event=b"remove_node_from_stable_tree", fn_name=b"node_removed")
        self._before = self._counters()
        return self

    def read(self) -> dict[str, int]:
        names = ("found", "attempts", "replaced", "appends", "break_cow", "removed_nodes")
        values = [
            value.value
            for _, value in sorted(self._bpf[b"counts"].items(), key=lambda kv: kv[0].value)
        ]
        counted = dict(zip(names, values, strict=False))
        for name, value in self._counters().items():
            counted[name] = value - self._before[name]
        return counted

    def __exit__(self, *error: object) -> None:
        self._bpf.cleanup()

    @staticmethod
    def _counters() -> dict[str, int]:
        """Counters that only grow, of those that this kernel has."""
        found = {}
        for name in ("pages_scanned", "pages_skipped"):
            path = Path("/sys/kernel/mm/ksm") / name
            if path.exists():
                found[name] = int(path.read_text())
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("cow_ksm "):
                found["cow_ksm"] = int(line.split()[1])
        return found


GAUGES = ("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile")

_COUNTED_BY = {
    "attempts": "TRY_TO_MERGE_ONE_PAGE",
    "replaced": "REPLACE_PAGE",
    "appends": "STABLE_APPEND",
    "break_cow": "BREAK_COW",
    "removed_nodes": "REMOVE_STABLE_NODE",
    "pages_scanned": "CMP_AND_MERGE_PAGE",
    "pages_skipped": "SKIPPED",
    "cow_ksm": "COW_FAULT",
}


def figures(
    document: dict[str, Any], counted: dict[str, int], ksm: Any
) -> dict[str, tuple[int, int]]:
    """(ours, the kernel's) of everything that this run saw one by one, and of the gauges that it
    reconstructed."""

    def sees(kind: str) -> bool:
        return document["probes"][kind.lower()]["exactness"] in ("exact", "derived")

    by_kind = document["events"]["by_kind"]
    found = {
        name: (by_kind[kind], counted[name])
        for name, kind in _COUNTED_BY.items()
        if name in counted and sees(kind)
    }
    if sees("CMP_AND_MERGE_PAGE"):
        found["found"] = by_kind["CMP_AND_MERGE_PAGE"] + by_kind["SKIPPED"], counted["found"]
    for gauge in GAUGES:
        row = document["reconciliation"][gauge]
        if row["reconstructed"] is not None:
            found[gauge] = row["reconstructed"], ksm.counter(gauge)
        assert row["kernel"] == ksm.counter(gauge)
    return found


def differences(found: dict[str, tuple[int, int]]) -> dict[str, int]:
    """What does not agree."""
    return {name: ours - theirs for name, (ours, theirs) in found.items() if ours != theirs}
