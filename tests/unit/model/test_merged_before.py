"""What was merged before the first event, where removals are not seen: against a plain account."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.events import EventKind, Flag, Gauge, ProcessGauge
from ksmtrace.events.readings import Reading
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.model.shares import shares_of
from support.streams import events, session

PAGE = 4096
UNSEEN = (EventKind.CMP_AND_MERGE_PAGE, EventKind.REMOVE_RMAP_ITEM)
MMS = (64, 128, 192)

pages = st.tuples(st.sampled_from(MMS), st.integers(1, 8).map(lambda n: n * PAGE))
steps = st.one_of(
    st.tuples(st.just("append"), pages, st.integers(1, 9), st.booleans()),
    st.tuples(st.just("exit"), st.sampled_from(MMS)),
    st.tuples(st.just("remove"), st.integers(1, 9)),
)


def found(mm, address, pfn, pid=1):
    kind = EventKind.SNAPSHOT
    return {"kind": kind, "mm": mm, "address": address, "pfn": pfn, "aux": pid}


def reconstruction():
    return Reconstruction(session(tier="tracepoint", unseen=UNSEEN))


def merged(ours):
    """Merged pages by mm."""
    mms = {process.number: process.mm for process in ours.processes.known()}
    shares = shares_of(ours)
    rows = zip(shares.number.tolist(), shares.merged_pages.tolist(), strict=True)
    return {mms[number]: count for number, count in rows if count}


class Plain:
    """The same kept by page, one thing at a time."""

    def __init__(self, before):
        self.node = dict(before)  # a node is its frame, and how often that was a first one
        self.again = Counter()
        self.pointers = {}
        self.gauges = self.counted()

    def counted(self):
        shared = len(set(self.node.values()))
        return shared, len(self.node) - shared

    def event(self, step):
        match step:
            case ("append", (mm, address), pfn, new):
                # a frame that gets a first sharer is another node than before
                self.again[pfn] += new
                self.node[mm, address] = (pfn, self.again[pfn])
                pointer = self.pointers.setdefault((mm, address), 64 * (1 + len(self.pointers)))
                return {
                    "kind": EventKind.STABLE_APPEND, "mm": mm, "address": address, "pfn": pfn,
                    "rmap_item": pointer, "flags": Flag.NEW_NODE if new else 0,
                }  # fmt: skip
            case ("exit", mm):
                self.node = {page: node for page, node in self.node.items() if page[0] != mm}
                for page in [page for page in self.pointers if page[0] == mm]:
                    # the slab may hand out the address again: not to the same page
                    self.pointers[page[0], page[1], len(self.pointers)] = self.pointers.pop(page)
                return {"kind": EventKind.MM_EXIT, "mm": mm}
            case ("remove", pfn):
                gone = (pfn, self.again[pfn])
                self.node = {page: node for page, node in self.node.items() if node != gone}
                self.again[pfn] += 1
                return {"kind": EventKind.REMOVE_STABLE_NODE, "pfn": pfn}


@given(
    st.dictionaries(pages, st.integers(1, 9)),
    st.lists(steps, max_size=30),
    st.tuples(st.integers(0, 5), st.integers(0, 5)),
    st.integers(1, 7),
)
def test_pages_found_are_followed_as_if_their_merges_had_been_seen(before, after, unknown, cut):
    plain = Plain({page: (pfn, 0) for page, pfn in before.items()})
    ours = reconstruction()
    ours.apply(events(*(found(*page, pfn) for page, pfn in before.items())))
    shared, sharing = plain.gauges
    ours.start({
        Gauge.PAGES_SHARED: shared + unknown[0], Gauge.PAGES_SHARING: sharing + unknown[1]
    })  # fmt: skip
    rows = [plain.event(step) for step in after]
    for at in range(0, len(rows), cut):
        ours.apply(events(*rows[at : at + cut]))
    assert merged(ours) == dict(Counter(mm for mm, _ in plain.node))
    assert Counter(ours.sharers().tolist()) == Counter(Counter(plain.node.values()).values())
    now = plain.counted()
    both = ours.pages_shared + ours.pages_sharing
    assert both == sum(now) + sum(unknown)
    if not unknown[0]:
        assert (ours.pages_shared, ours.pages_sharing) == (now[0], now[1] + unknown[1])


def sampled(mm, pages):
    gauge = ProcessGauge.KSM_MERGING_PAGES
    return {"kind": EventKind.PROCESS_SAMPLE, "mm": mm, "address": gauge, "aux": pages}


def test_a_process_has_no_more_than_the_kernel_counts_of_it():
    """Ten pages of two; the kernel counts 4 of one of them, which exits, and is told of late."""
    ours = reconstruction()
    ours.apply(events(*(found(mm, n * PAGE, n) for mm in MMS[:2] for n in range(1, 11))))
    ours.start({Gauge.PAGES_SHARED: 10, Gauge.PAGES_SHARING: 10})
    assert shares_of(ours).saved_bytes.tolist() == [5 * PAGE, 5 * PAGE]
    ours.apply(events(sampled(MMS[0], 4), sampled(MMS[1], 12)))
    assert merged(ours) == {MMS[0]: 4, MMS[1]: 10}
    assert shares_of(ours).saved_bytes.tolist() == [2 * PAGE, 5 * PAGE]
    ours.read(Reading({Gauge.PAGES_SHARING: 4}, 1, at_scan_stop=False))
    assert int(shares_of(ours).saved_bytes.sum()) == 4 * PAGE
    ours.apply(events({"kind": EventKind.MM_EXIT, "mm": MMS[0]}))
    assert merged(ours) == {MMS[1]: 10}
    ours.apply(events(sampled(MMS[0], 9), sampled(MMS[2], 9)))
    assert merged(ours) == {MMS[1]: 10}


def test_without_an_mm_they_are_nobodys_as_in_older_captures():
    ours = reconstruction()
    ours.apply(events(*(found(0, n * PAGE, n) for n in range(1, 4))))
    ours.start({Gauge.PAGES_SHARED: 3, Gauge.PAGES_SHARING: 6})
    assert merged(ours) == {}
    assert (ours.pages_shared, ours.pages_sharing) == (3, 6)


def test_where_removals_are_seen_passes_tell_of_them():
    ours = Reconstruction(session())
    ours.apply(events(found(64, PAGE, 1), found(128, PAGE, 1)))
    assert len(ours.items) == 0


def test_an_rmap_item_used_anew_is_its_new_owners():
    """Freed unseen, it joins a node as another process's page."""
    ours = reconstruction()
    ours.start({Gauge.PAGES_SHARED: 0, Gauge.PAGES_SHARING: 0})
    append = {"kind": EventKind.STABLE_APPEND, "rmap_item": 6400, "address": PAGE, "pfn": 5}
    ours.apply(events({**append, "mm": 64, "flags": Flag.NEW_NODE}))
    ours.apply(events({**append, "mm": 128, "address": 2 * PAGE}))
    assert merged(ours) == {128: 1}
    ours.apply(events({"kind": EventKind.MM_EXIT, "mm": 64}))
    assert merged(ours) == {128: 1}
