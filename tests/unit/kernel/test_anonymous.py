"""Spans of a process's private memory, of this process itself."""

import mmap
import os
from pathlib import Path

import pytest

from ksmtrace.kernel import anonymous
from ksmtrace.kernel.anonymous import present_spans, private_mappings

ROOT = Path("/")


@pytest.fixture
def pagemap():
    with Path("/proc/self/pagemap").open("rb", buffering=0) as file:
        yield file.fileno()


def spans_and_mappings(pagemap):
    spans = list(present_spans(ROOT, os.getpid(), pagemap))
    return spans, private_mappings(Path("/proc/self/maps").read_bytes())


@pytest.mark.parametrize("scans", [True, False], ids=["as here", "before 6.7"])
def test_what_is_touched_is_within_a_span_and_a_span_within_a_mapping(pagemap, monkeypatch, scans):
    """Between two mappings of a process lie files that all processes map: no page of theirs is
    looked at."""
    if not scans:
        monkeypatch.setattr(anonymous, "_PAGEMAP_SCAN", 0)
    size = 2000 * mmap.PAGESIZE
    with mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            memory.madvise(mmap.MADV_NOHUGEPAGE)
        for page in (3, 300, 1900):
            memory[page * mmap.PAGESIZE] = 1
        spans, mappings = spans_and_mappings(pagemap)
    assert len(mappings) > 5
    assert spans
    assert all(any(m.start <= s.start and s.end <= m.end for m in mappings) for s in spans)
    whole = [s for s in spans if s.most_present >= 3 and s.end - s.start <= size]
    assert whole
    assert all(s.most_present <= (s.end - s.start) // mmap.PAGESIZE for s in spans)


def test_spans_that_are_joined_may_be_present_as_a_whole():
    """A huge page between them is no page of KSM's, and is present all the same."""
    page = mmap.PAGESIZE
    one, other = anonymous._pages_of(0, 2 * page), anonymous._pages_of(300 * page, 301 * page)
    far = anonymous._pages_of(2000 * page, 2001 * page)
    assert list(anonymous._joined(iter([one, other, far]))) == [(0, 301 * page, 301), far]
