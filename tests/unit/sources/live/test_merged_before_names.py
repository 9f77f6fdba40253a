"""Records of what was merged before: names first, and each page once."""

import numpy as np
import pytest

from ksmtrace.errors import HostError
from ksmtrace.events import EventKind, empty_records
from ksmtrace.kernel.address_spaces import AddressSpace
from ksmtrace.kernel.pagemap import KsmPages
from ksmtrace.sources.live import merged_before
from ksmtrace.sources.live.merged_before import MergedBefore

SPACES = {
    7: AddressSpace(6400, b"seven".ljust(16, b"\0")),
    8: AddressSpace(6400, b"eight".ljust(16, b"\0")),
    9: AddressSpace(12800, b"nine\xff".ljust(16, b"\0")),
}


def piece(pid, *addresses):
    count = len(addresses)
    address = np.array(addresses, dtype=np.uint64)
    return KsmPages(np.full(count, pid, dtype=np.uint64), address, address // 4096, "kpageflags")


@pytest.fixture
def read(monkeypatch):
    """The records of a `MergedBefore` that finds these pieces."""

    class Reader:
        left_out = ()
        found = ()

        def pieces(self):
            yield from self.found

    class NoBtf:
        def close(self):
            pass

    def records(*pieces, spaces=lambda _: SPACES, named=True):
        Reader.found = pieces
        monkeypatch.setattr(merged_before, "KsmPageReader", Reader)
        monkeypatch.setattr(merged_before, "Btf", NoBtf)
        monkeypatch.setattr(merged_before, "read_address_spaces", spaces)
        before = MergedBefore(seen=True, named=named)
        batches = [batch.events for batch in before.batches()]
        return before, np.concatenate([empty_records(), *batches])

    return records


def test_a_process_is_named_before_its_pages_and_once(read):
    before, found = read(piece(9, 4096), piece(9, 8192), piece(9))
    assert found["kind"].tolist() == [EventKind.PROCESS, EventKind.SNAPSHOT, EventKind.SNAPSHOT]
    assert found["mm"].tolist() == [12800] * 3
    assert found["aux"].tolist() == [9] * 3
    exits = empty_records(3)
    exits["kind"], exits["mm"] = EventKind.MM_EXIT, [12800, 6400, 5]
    assert before.exits(exits).tolist() == [True, False, False]


def test_pages_of_two_processes_with_one_mm_are_read_once(read):
    _, found = read(piece(7, 4096), piece(8, 4096), piece(9, 4096))
    pages = found[found["kind"] == EventKind.SNAPSHOT]
    assert pages[["mm", "aux"]].tolist() == [(6400, 7), (12800, 9)]


def test_a_process_that_the_iterator_did_not_find_is_nobody(read):
    _, found = read(piece(10, 4096))
    assert found[["kind", "mm", "aux"]].tolist() == [(EventKind.SNAPSHOT, 0, 10)]


@pytest.mark.parametrize("error", [OSError(1, "refused"), HostError("no member")])
def test_an_iterator_that_is_refused_is_said(read, error):
    def refuse(_):
        raise error

    before, found = read(piece(9, 4096), spaces=refuse)
    assert found["mm"].tolist() == [0]
    (line,) = before.warnings
    assert str(error) in line


def test_without_names_no_iterator_is_asked(read):
    before, found = read(piece(9, 4096), spaces=None, named=False)
    assert found["mm"].tolist() == [0]
    assert before.warnings == []
