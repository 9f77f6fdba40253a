"""Analyzers by a probe that does not tell users' writes from the kernel's breaks: those are
null."""

import pytest

from ksmtrace.events import EventKind, Flag
from ksmtrace.session import Exactness, Knowledge, Probe
from support.runs import EMPTY, analyse, appended, process
from support.streams import session


def _analyzers(lacks):
    facts = session()
    facts.probes[EventKind.COW_FAULT] = Probe("test", Exactness.DERIVED, lacks=lacks)
    fault = {"kind": EventKind.COW_FAULT, "mm": 1, "address": 4096}
    rows = [
        *(*EMPTY, process(1, 7, b"writer"), appended(1, 9, new=True)),
        *(fault, fault, {**fault, "flags": Flag.BY_KERNEL}),
    ]
    return analyse(rows, "balance", "cow", "stable_tree", of=facts).document["analyzers"]


COUNTS = {
    "balance": lambda a: [
        (row["user_break_pages"], row["kernel_break_pages"])
        for row in (a["total"], *a["processes"])
    ],
    "cow": lambda a: [
        (row["user_pages"], row["kernel_pages"]) for row in (a, *a["processes"], *a["ranges"])
    ],
    "stable_tree": lambda a: [(a["cow_fault_pages"], a["kernel_break_pages"])],
}


@pytest.mark.parametrize("name", COUNTS)
def test_breaks_of_the_kernel_are_null_where_they_are_not_told_apart(name):
    found = COUNTS[name](_analyzers(frozenset())[name])
    assert found == [(2, 1)] * len(found)
    found = COUNTS[name](_analyzers(frozenset({Knowledge.WHO_BROKE}))[name])
    assert [kernel for _, kernel in found] == [None] * len(found)
