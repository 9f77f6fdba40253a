"""What an event says, in words of `name=value`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from errno import errorcode
from typing import NamedTuple

import numpy as np

from ksmtrace.events.kinds import EventKind, Flag, Gauge, ProcessGauge, ProcessText
from ksmtrace.events.result import result_name
from ksmtrace.events.tunable import tunable_writes

_E, _F = EventKind, Flag

FUNCTIONS: Mapping[EventKind, str] = {
    _E.CMP_AND_MERGE_PAGE: "cmp_and_merge_page",
    _E.TRY_TO_MERGE_ONE_PAGE: "try_to_merge_one_page",
    _E.REPLACE_PAGE: "replace_page",
    _E.BREAK_COW: "break_cow",
    _E.STABLE_APPEND: "stable_tree_append",
    _E.REMOVE_RMAP_ITEM: "remove_rmap_item_from_tree",
    _E.REMOVE_STABLE_NODE: "remove_node_from_stable_tree",
    _E.SCAN_START: "ksm_start_scan",
    _E.SCAN_STOP: "ksm_stop_scan",
    _E.MM_ENTER: "__ksm_enter",
    _E.MM_EXIT: "__ksm_exit",
    _E.PROCESS: "process",
    _E.SAMPLE: "sample",
    _E.LOST: "lost",
    _E.SKIPPED: "should_skip_rmap_item",
    _E.COW_FAULT: "do_wp_page",
    _E.SNAPSHOT: "snapshot",
    _E.TUNABLE: "sysfs_kf_write",
    _E.PROCESS_TEXT: "process_text",
    _E.PROCESS_SAMPLE: "process_sample",
    _E.TOTAL: "total",
    _E.PROBE_TIME: "probe_time",
    _E.STREAM_END: "stream_end",
}
"""What each kind of event is called: functions and tracepoints of mm/ksm.c, do_wp_page of
mm/memory.c, sysfs_kf_write of fs/sysfs/file.c; lower-case names of the kind for what ksmtrace reads
or notes itself."""

READINGS = frozenset({_E.SAMPLE, _E.PROCESS_TEXT, _E.PROCESS_SAMPLE, _E.TOTAL, _E.PROBE_TIME})
"""Kinds that are read from time to time, and are no events of ksmd or of a process."""

_TREES = {0: "none", _F.STABLE_BEFORE: "stable", _F.UNSTABLE_BEFORE: "unstable"}


_OF_TREES = frozenset({"checksum", "tree"})


class Word(NamedTuple):
    """A field: its name, and its value as text."""

    name: str
    value: str

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


def words_of(event: np.void, *, trees: bool = True) -> list[Word]:
    """The fields that an event of its kind fills, mm and process excepted.

    Unknown ones are left out; numbers of frames and addresses are hexadecimal.

    Args:
        event: a record.
        trees: whether pages have checksums and stand in trees (`Knowledge.TREES`).
    """
    try:
        kind = EventKind(int(event["kind"]))
    except ValueError:
        return [Word("kind", str(int(event["kind"])))]
    words = list(_WORDS[kind](event)) if kind in _WORDS else []
    return words if trees else [word for word in words if word.name not in _OF_TREES]


def _hex(name: str, value: int) -> list[Word]:
    return [Word(name, f"{value:#x}")] if value else []


def _place(event: np.void) -> list[Word]:
    return [
        Word("address", f"{int(event['address']):#x}"),
        *_hex("rmap_item", int(event["rmap_item"])),
    ]


def _result(event: np.void) -> list[Word]:
    err = int(event["err"])
    return [Word("err", errno_word(err))]


def errno_word(err: int) -> str:
    """0, or the result's name: -EFAULT, PKSM_FAULT_DROP; the number of one that has none here."""
    name = result_name(err)
    return f"-{name}" if -err in errorcode else name


def _tree(flags: int) -> str:
    return _TREES.get(flags & int(_F.STABLE_BEFORE | _F.UNSTABLE_BEFORE), "both")


def _flags(event: np.void, **named: Flag) -> list[Word]:
    return [Word(name, "1") for name, flag in named.items() if event["flags"] & flag]


def _candidate(event: np.void) -> list[Word]:
    flags = int(event["flags"])
    before, after = int(event["oldchecksum"]), int(event["checksum"])
    changed = f"{before:#010x}->{after:#010x}" if before != after else f"{after:#010x}"
    return [
        *_place(event),
        *_hex("pfn", int(event["pfn"])),
        Word("checksum", changed),
        Word("tree", f"{_tree(flags)}->{_tree(flags >> 2)}"),
        *_hex("stable_node", int(event["aux"])),
    ]


def _attempt(event: np.void) -> list[Word]:
    flags = event["flags"]
    found = [*_place(event), *_hex("pfn", int(event["pfn"]))]
    if flags & _F.HAS_KPAGE:
        found += _hex("kpage_pfn", int(event["aux"]))
    found += _flags(event, same_page=_F.SAME_PAGE, zero_page=_F.ZERO_PAGE)
    found += _flags(event, was_compound=_F.WAS_COMPOUND) + _result(event)
    if flags & _F.PAGE_STATE:
        found += [
            Word("references", str(int(event["oldchecksum"]))),
            Word("mappings", str(int(event["checksum"]))),
            *_flags(event, locked=_F.LOCKED, compound=_F.COMPOUND),
        ]
    return found


def _replaced(event: np.void) -> list[Word]:
    frames = _hex("pfn", int(event["pfn"])) + _hex("kpage_pfn", int(event["aux"]))
    return _place(event) + frames + _flags(event, zero_page=_F.ZERO_PAGE)


def _appended(event: np.void) -> list[Word]:
    node = _hex("stable_node", int(event["aux"])) + _hex("kpfn", int(event["pfn"]))
    return _place(event) + node + _flags(event, new_node=_F.NEW_NODE)


def _removed(event: np.void) -> list[Word]:
    tree = Word("tree", _tree(int(event["flags"])))
    return [
        *_place(event),
        tree,
        *_flags(event, freed=_F.FREED),
        *_hex("stable_node", int(event["aux"])),
    ]


def _node(event: np.void) -> list[Word]:
    return _hex("stable_node", int(event["aux"])) + _hex("kpfn", int(event["pfn"]))


def _fault(event: np.void) -> list[Word]:
    address = [Word("address", f"{int(event['address']):#x}")]
    spent = [Word("nanoseconds", str(int(event["aux"])))] if event["aux"] else []
    return (
        address
        + _hex("pfn", int(event["pfn"]))
        + spent
        + _flags(event, zero_page=_F.ZERO_PAGE, by_kernel=_F.BY_KERNEL)
    )


def _snapshot(event: np.void) -> list[Word]:
    address = [Word("address", f"{int(event['address']):#x}")]
    return [*address, *_hex("pfn", int(event["pfn"])), Word("pid", str(int(event["aux"])))]


def _tunable(event: np.void) -> list[Word]:
    (write,) = tunable_writes(event.reshape(1))
    text = _one_word(write.text) + ("" if write.complete else "...")
    return [Word(_one_word(write.name), text), *_result(event)]


def _one_word(text: str) -> str:
    return "".join(c if c.isprintable() and c != " " else "?" for c in text)


def _signed(event: np.void) -> str:
    return str(int(event["aux"].astype("<i8")))


def _sample(event: np.void) -> list[Word]:
    return [Word(_member(Gauge, int(event["address"])), _signed(event))]


def _process_sample(event: np.void) -> list[Word]:
    return [Word(_member(ProcessGauge, int(event["address"])), _signed(event))]


def _process_text(event: np.void) -> list[Word]:
    which, offset = divmod(int(event["address"]), 1 << 32)
    return [Word("text", _member(ProcessText, which)), Word("offset", str(offset))]


def _total(event: np.void) -> list[Word]:
    kind = int(event["address"])
    known = kind in EventKind.__members__.values()
    name = FUNCTIONS[EventKind(kind)] if known else str(kind)
    return [Word(name, str(int(event["aux"]))), *_result(event)]


def _member(kind: type[Gauge | ProcessGauge | ProcessText], number: int) -> str:
    known = number in kind.__members__.values()
    return kind(number).name.lower() if known else str(number)


def _probe_time(event: np.void) -> list[Word]:
    return [
        Word("sampled_ns", str(int(event["address"]))),
        Word("ksmd_ns", str(int(event["pfn"]))),
        Word("probes_ns", str(int(event["aux"]))),
        *_result(event),
    ]


_WORDS: Mapping[EventKind, Callable[[np.void], list[Word]]] = {
    _E.CMP_AND_MERGE_PAGE: _candidate,
    _E.TRY_TO_MERGE_ONE_PAGE: _attempt,
    _E.REPLACE_PAGE: _replaced,
    _E.BREAK_COW: _place,
    _E.STABLE_APPEND: _appended,
    _E.REMOVE_RMAP_ITEM: _removed,
    _E.REMOVE_STABLE_NODE: _node,
    _E.SCAN_START: lambda event: [Word("seqnr", str(int(event["aux"])))],
    _E.SCAN_STOP: lambda event: [Word("seqnr", str(int(event["aux"])))],
    _E.SAMPLE: _sample,
    _E.LOST: lambda event: [Word("events", str(int(event["aux"])))],
    _E.SKIPPED: _place,
    _E.COW_FAULT: _fault,
    _E.SNAPSHOT: _snapshot,
    _E.TUNABLE: _tunable,
    _E.PROCESS_TEXT: _process_text,
    _E.PROCESS_SAMPLE: _process_sample,
    _E.TOTAL: _total,
    _E.PROBE_TIME: _probe_time,
    _E.STREAM_END: lambda event: [Word("probes_ratio", f"{int(event['aux']) / 1e6:.4f}")],
}
