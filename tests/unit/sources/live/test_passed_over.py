"""What the kernel did not run of our programs: losses, with their cause."""

from types import SimpleNamespace

import pytest

from ksmtrace.events import EventBatch, EventKind, Gauge
from ksmtrace.events.losses import lost_by_cause
from ksmtrace.kernel import bpf_stats
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.sources.live import passed_over
from ksmtrace.sources.live.passed_over import PassedOver
from support.runs import EMPTY, analyse
from support.streams import events, session

HOOKS = {
    name: SimpleNamespace(target=name)
    for name in ("stable_tree_append", "do_wp_page", "sysfs_kf_write")
}


@pytest.fixture
def kernel(monkeypatch):
    """The kernel's counts by descriptor, to be changed; an OSError for one that it refuses."""
    counts = {"program": {}, "link": {}}

    def read(of):
        def one(descriptor):
            value = counts[of][descriptor]
            if isinstance(value, OSError):
                raise value
            return value

        return one

    monkeypatch.setattr(passed_over, "read_recursion_misses", read("program"))
    monkeypatch.setattr(passed_over, "read_missed_kprobes", read("link"))
    return counts


def program():
    loaded = {
        f"on_{name}": SimpleNamespace(descriptor=number, hook=hook)
        for number, (name, hook) in enumerate(HOOKS.items())
    }
    return SimpleNamespace(
        loaded=loaded, links=[(HOOKS["do_wp_page"], 8), (HOOKS["do_wp_page"], 9)]
    )


def found(over):
    records = over.records()
    return records[["aux", "address", "pfn"]].tolist()


def test_each_count_is_told_once_by_cause_and_kind(kernel):
    kernel["program"] |= {0: 0, 1: 0, 2: 0}
    kernel["link"] |= {8: 0, 9: 0}
    over = PassedOver(program())
    assert found(over) == []
    kernel["program"] |= {0: 3, 2: 4}
    kernel["link"] |= {8: 5, 9: 6}
    cow, tunable = int(EventKind.COW_FAULT), int(EventKind.TUNABLE)
    assert found(over) == [(3, 1, 0), (4, 1, tunable), (11, 2, cow)]
    assert found(over) == []
    kernel["program"][0] = 4
    assert found(over) == [(1, 1, 0)]


def test_what_every_thread_passes_is_missed_by_others(kernel):
    """As in the first run on 6.12: twelve of __msecs_to_jiffies, and every count the kernel's."""
    shared = SimpleNamespace(target="__msecs_to_jiffies")
    kernel["program"] |= {0: 3}
    kernel["link"] |= {8: 12}
    loaded = {"on_sleep": SimpleNamespace(descriptor=0, hook=shared)}
    assert found(PassedOver(SimpleNamespace(loaded=loaded, links=[(shared, 8)]))) == []


def test_what_the_kernel_does_not_tell_or_refuses_is_no_loss(kernel):
    kernel["program"] |= {0: None, 1: OSError(1, "refused"), 2: 7}
    kernel["link"] |= {8: None, 9: OSError(9, "closed")}
    over = PassedOver(program())
    assert [lost for lost, _, _ in found(over)] == [7]
    assert found(PassedOver(None)) == []


def test_what_was_passed_over_before_the_first_look_is_told_by_it(kernel):
    """The run's first reading leaves it out, as all that precedes it."""
    kernel["program"] |= {0: 2, 1: 0, 2: 0}
    kernel["link"] |= {8: 0, 9: 0}
    over = PassedOver(program())
    assert found(over) == [(2, 1, 0)]
    assert found(over) == []


def lost(count, cause, kind=0):
    return {"kind": EventKind.LOST, "aux": count, "address": cause, "pfn": kind}


def test_causes_are_told_apart_and_sum_up():
    rows = [*EMPTY, lost(3, 0), lost(4, 1), lost(5, 2, EventKind.COW_FAULT), lost(6, 99)]
    document = analyse(rows, "stable_tree").document
    assert document["events"]["lost"] == 18
    assert document["events"]["lost_by_cause"] == {
        "ring": 3, "recursion": 4, "missed": 5, "gathering": 0, "silent": 0
    }  # fmt: skip
    assert lost_by_cause(events(*rows[-1:])) == {"unknown": 6}
    assert lost_by_cause(EventBatch(events().events)) == {}


@pytest.mark.parametrize(
    ("kind", "whole"),
    [(0, False), (EventKind.COW_FAULT, True), (EventKind.TUNABLE, True)],
)
def test_the_trees_stay_known_where_what_is_lost_is_not_of_them(kind, whole):
    ours = Reconstruction(session())
    ours.start(dict.fromkeys(Gauge, 0))
    append = {"kind": EventKind.STABLE_APPEND, "mm": 1, "rmap_item": 64, "aux": 9, "pfn": 5}
    ours.apply(events(append, lost(3, 2, kind)))
    assert ours.complete == whole
    assert len(ours.items) == int(whole)


@pytest.mark.parametrize(
    ("size", "kind", "expected"), [(64, 4, 77), (64, 3, 77), (48, 4, None), (64, 1, None)]
)
def test_a_link_of_an_older_kernel_or_of_no_kprobe_tells_nothing(monkeypatch, size, kind, expected):
    raw = bytearray(64)
    raw[16:20] = kind.to_bytes(4, "little")
    raw[48:56] = (77).to_bytes(8, "little")
    monkeypatch.setattr(bpf_stats, "_info", lambda *_: bytes(raw[:size]))
    assert bpf_stats.read_missed_kprobes(3) == expected


@pytest.mark.parametrize(("size", "expected"), [(232, 5), (216, 5), (208, None)])
def test_a_program_of_an_older_kernel_tells_no_misses(monkeypatch, size, expected):
    raw = bytearray(232)
    raw[208:216] = (5).to_bytes(8, "little")
    monkeypatch.setattr(bpf_stats, "_info", lambda *_: bytes(raw[:size]))
    assert bpf_stats.read_recursion_misses(3) == expected
    assert bpf_stats.read_runs(3) == (0, 0)
