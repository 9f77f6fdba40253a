"""The reconstruction against a second implementation that keeps mm/ksm.c's counters by ++ and
--."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ksmtrace.events import EventKind, Flag, Gauge
from ksmtrace.model.reconstruction import Reconstruction
from support.streams import events, sample, session


class Kernel(RuleBasedStateMachine):
    """rmap_items and stable nodes as the kernel has them; every change emits what a probe would
    see."""

    def __init__(self):
        super().__init__()
        self.tree = {}  # rmap_item -> None, "unstable" or its node
        self.nodes = {}  # node -> list of rmap_items
        self.shared = self.sharing = self.unshared = 0
        self.fresh = 1
        self.reconstruction = Reconstruction(session())
        self.reconstruction.start(dict.fromkeys(Gauge, 0))
        self.pending = []

    def emit(self, kind, **columns):
        self.pending.append({"kind": kind, "mm": 5, **columns})

    def new_address(self):
        self.fresh += 1
        return self.fresh * 64

    def flags_before(self, item):
        state = self.tree[item]
        if state is None:
            return 0
        return Flag.UNSTABLE_BEFORE if state == "unstable" else Flag.STABLE_BEFORE

    def leave_tree(self, item, *, freed=False):
        """remove_rmap_item_from_tree"""
        flags = self.flags_before(item) | (Flag.FREED if freed else 0)
        node = self.tree[item]
        self.emit(
            EventKind.REMOVE_RMAP_ITEM,
            rmap_item=item,
            flags=flags,
            aux=0 if node in (None, "unstable") else node,
        )
        if node == "unstable":
            self.unshared -= 1
        elif node is not None:
            self.nodes[node].remove(item)
            if self.nodes[node]:
                self.sharing -= 1
            else:
                self.shared -= 1
        self.tree[item] = None

    def append(self, item, node):
        """stable_tree_append"""
        new = not self.nodes[node]
        self.emit(
            EventKind.STABLE_APPEND,
            rmap_item=item,
            aux=node,
            pfn=9,
            flags=Flag.NEW_NODE if new else 0,
        )
        self.nodes[node].append(item)
        self.tree[item] = node
        if new:
            self.shared += 1
        else:
            self.sharing += 1

    def examined(self, item, before):
        state = self.tree[item]
        after = 0
        if state is not None:
            after = Flag.UNSTABLE_AFTER if state == "unstable" else Flag.STABLE_AFTER
        node = state if after == Flag.STABLE_AFTER else 0
        self.emit(EventKind.CMP_AND_MERGE_PAGE, rmap_item=item, flags=before | after, aux=node)

    def pick(self, data, where):
        items = sorted(item for item, state in self.tree.items() if where(state))
        return data.draw(st.sampled_from(items)) if items else None

    @rule()
    def scan_new_page(self):
        item = self.new_address()
        self.tree[item] = None
        self.examined(item, 0)

    @rule(data=st.data())
    def insert_into_unstable_tree(self, data):
        item = self.pick(data, lambda state: state in (None, "unstable"))
        if item is None:
            return
        before = self.flags_before(item)
        if before:
            self.leave_tree(item)
        self.tree[item] = "unstable"
        self.unshared += 1
        self.examined(item, before)

    @rule(data=st.data())
    def merge_two_pages(self, data):
        other = self.pick(data, lambda state: state == "unstable")
        item = self.pick(data, lambda state: state is None)
        if other is None or item is None:
            return
        self.leave_tree(other)
        node = self.new_address()
        self.nodes[node] = []
        self.append(other, node)
        self.append(item, node)
        self.examined(item, 0)

    @precondition(lambda self: self.nodes)
    @rule(data=st.data())
    def merge_with_ksm_page(self, data):
        item = self.pick(data, lambda state: state in (None, "unstable"))
        if item is None:
            return
        before = self.flags_before(item)
        if before:
            self.leave_tree(item)
        self.append(item, data.draw(st.sampled_from(sorted(self.nodes))))
        self.examined(item, before)

    @rule(data=st.data())
    def examine_settled_page(self, data):
        item = self.pick(data, lambda state: state not in (None, "unstable"))
        if item is not None:
            self.examined(item, self.flags_before(item))

    @rule(data=st.data())
    def find_broken_page(self, data):
        item = self.pick(data, lambda state: state not in (None, "unstable"))
        if item is None:
            return
        before = self.flags_before(item)
        self.leave_tree(item)
        self.examined(item, before)

    @rule(data=st.data())
    def free_rmap_item(self, data):
        item = self.pick(data, lambda state: True)
        if item is not None:
            self.leave_tree(item, freed=True)
            del self.tree[item]

    @precondition(lambda self: self.nodes)
    @rule(data=st.data(), again=st.booleans())
    def remove_node_from_stable_tree(self, data, again):
        node = data.draw(st.sampled_from(sorted(self.nodes)))
        self.emit(EventKind.REMOVE_STABLE_NODE, aux=node, pfn=9)
        members = self.nodes.pop(node)
        if members:
            self.shared -= 1
            self.sharing -= len(members) - 1
        for item in members:
            self.tree[item] = None
        if again:
            self.nodes[node] = []  # the slab hands out the same address for another node

    @rule()
    def apply(self):
        self.reconstruction.apply(events(*self.pending))
        self.pending.clear()

    @invariant()
    def gauges_agree(self):
        if self.pending:
            return
        volatile = len(self.tree) - self.shared - self.sharing - self.unshared
        assert self.reconstruction.gauges() == {
            Gauge.PAGES_SHARED: self.shared,
            Gauge.PAGES_SHARING: self.sharing,
            Gauge.PAGES_UNSHARED: self.unshared,
            Gauge.PAGES_VOLATILE: volatile,
        }
        assert self.reconstruction.rmap_items == len(self.tree)

    def teardown(self):
        self.apply()
        self.gauges_agree()


TestKernel = Kernel.TestCase
TestKernel.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


def test_joining_late_is_incomplete_until_a_whole_pass():
    ours = Reconstruction(session())
    ours.start({Gauge.PAGES_SHARED: 1, Gauge.PAGES_SHARING: 1})
    assert not ours.complete
    assert set(ours.gauges().values()) == {None}
    ours.apply(events({"kind": EventKind.SCAN_STOP}))
    assert not ours.complete
    ours.apply(events({"kind": EventKind.SCAN_START}))
    for item in (64, 128):
        ours.apply(events({
            "kind": EventKind.CMP_AND_MERGE_PAGE, "rmap_item": item, "aux": 7,
            "flags": Flag.STABLE_BEFORE | Flag.STABLE_AFTER,
        }))  # fmt: skip
    assert not ours.complete
    ours.apply(events({"kind": EventKind.SCAN_STOP}))
    assert ours.complete
    assert ours.gauges()[Gauge.PAGES_SHARED] == 1
    assert ours.gauges()[Gauge.PAGES_SHARING] == 1


def test_a_pass_that_ends_before_the_first_reading_completes_nothing():
    ours = Reconstruction(session())
    ours.apply(events({"kind": EventKind.SCAN_START}, {"kind": EventKind.SCAN_STOP}))
    assert not ours.complete
    assert "no reading" in ours.reason


def test_a_loss_makes_it_incomplete_until_a_whole_pass():
    ours = Reconstruction(session())
    ours.start(dict.fromkeys(Gauge, 0))
    assert ours.complete
    ours.apply(events({"kind": EventKind.SCAN_START}, {"kind": EventKind.LOST, "aux": 3}))
    ours.apply(events({"kind": EventKind.SCAN_STOP}))
    assert not ours.complete
    assert "lost" in ours.reason
    ours.apply(events({"kind": EventKind.SCAN_START}, {"kind": EventKind.SCAN_STOP}))
    assert ours.complete


def test_tracepoint_tier_counts_from_what_was_there():
    unseen = (EventKind.CMP_AND_MERGE_PAGE, EventKind.REMOVE_RMAP_ITEM)
    ours = Reconstruction(session(tier="tracepoint", unseen=unseen))
    ours.start({Gauge.PAGES_SHARED: 10, Gauge.PAGES_SHARING: 90})
    append = {"kind": EventKind.STABLE_APPEND}
    ours.apply(events(
        {**append, "rmap_item": 64, "mm": 1, "pfn": 500},  # joins a node from before
        {**append, "rmap_item": 128, "mm": 1, "pfn": 600, "flags": Flag.NEW_NODE},
        {**append, "rmap_item": 192, "mm": 2, "pfn": 600},
    ))  # fmt: skip
    gauges = ours.gauges()
    assert gauges[Gauge.PAGES_SHARED] == 11
    assert gauges[Gauge.PAGES_SHARING] == 92
    assert gauges[Gauge.PAGES_UNSHARED] is None
    ours.apply(events({"kind": EventKind.MM_EXIT, "mm": 2}))
    assert ours.gauges()[Gauge.PAGES_SHARED] == 11
    assert ours.gauges()[Gauge.PAGES_SHARING] == 91


def test_more_nodes_from_before_than_were_read_are_no_fewer_pages():
    """A node may be merged between the reading and the first event."""
    unseen = (EventKind.CMP_AND_MERGE_PAGE, EventKind.REMOVE_RMAP_ITEM)
    ours = Reconstruction(session(tier="tracepoint", unseen=unseen))
    ours.start({Gauge.PAGES_SHARED: 1, Gauge.PAGES_SHARING: 1})
    append = {"kind": EventKind.STABLE_APPEND, "mm": 1}
    ours.apply(events(*[{**append, "rmap_item": 64 * n, "pfn": n} for n in range(1, 4)]))
    assert ours.gauges()[Gauge.PAGES_SHARED] == 3


def _joined_twice(**how):
    """A page frame gets its first sharer at 1 ns and again at 3 ns, with no removal in between."""
    ours = Reconstruction(session(**how))
    ours.start(dict.fromkeys(Gauge, 0))
    append = {"kind": EventKind.STABLE_APPEND, "mm": 1, "pfn": 500, "flags": Flag.NEW_NODE}
    ours.apply(events(
        {**append, "rmap_item": 64, "ts": 1},
        {**append, "rmap_item": 128, "ts": 2, "flags": 0},
        {**append, "rmap_item": 192, "ts": 3},
    ))  # fmt: skip
    return ours


def test_where_removals_are_not_seen_a_frame_with_a_first_sharer_again_is_another_node():
    unseen = (EventKind.CMP_AND_MERGE_PAGE, EventKind.REMOVE_RMAP_ITEM)
    ours = _joined_twice(tier="tracepoint", unseen=unseen)
    assert (ours.pages_shared, ours.pages_sharing) == (2, 1)
    assert sorted(ours.sharers().tolist()) == [1, 2]


def test_where_removals_are_seen_a_node_stays_the_same_until_it_is_removed():
    ours = _joined_twice()
    assert (ours.pages_shared, ours.pages_sharing) == (1, 2)
    assert ours.nodes.since_ns[ours.nodes.alive()].tolist() == [1]


def test_what_is_derived_of_one_state_is_derived_once():
    ours, asked = Reconstruction(session()), []

    def derive(reconstruction):
        asked.append(len(reconstruction.batch))
        return len(asked)

    assert [ours.once(derive), ours.once(derive)] == [1, 1]
    ours.apply(events({"kind": EventKind.SCAN_START}, {"kind": EventKind.SCAN_STOP}))
    assert [ours.once(derive), ours.once(derive)] == [2, 2]
    assert asked == [0, 2]


def test_sample_rows_are_a_reading():
    rows = sample(pages_shared=3, general_profit=-5)
    assert [row["aux"] for row in rows] == [3, 2**64 - 5]
