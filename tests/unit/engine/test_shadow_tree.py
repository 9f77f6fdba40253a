"""The shadow of the unstable tree and its log, against the same tree walked step by step."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from ksmtrace.engine.bulk.depths import Depths
from ksmtrace.engine.bulk.shadow_tree import ShadowTree, words_of
from ksmtrace.engine.bulk.tree_search import find_in_order
from ksmtrace.engine.bulk.unstable_log import UnstableLog
from ksmtrace.engine.machine.bulk_checksum import XXHASH
from ksmtrace.engine.machine.content import PagePool
from ksmtrace.engine.machine.rbtree import RbNode, RbRoot, rb_erase, rb_insert_color, rb_link_node


class Walked:
    """The same tree, by walks from the root."""

    def __init__(self):
        self.root, self.nodes = RbRoot(), {}

    def join_or_leave(self, unit):
        spot = find_in_order(self.root, unit, words=False)
        if spot.node is not None:
            rb_erase(self.root, self.nodes.pop(unit))
            return spot.steps
        node = self.nodes[unit] = RbNode()
        node.rb_key = unit
        rb_link_node(self.root, node, spot.parent, left=spot.left)
        rb_insert_color(self.root, node)
        return spot.steps


def drawn(node):
    return node and (drawn(node.rb_left), node.rb_key, node.rb_red, drawn(node.rb_right))


def pool_of(words, page=None):
    pool = PagePool(XXHASH)
    pool.number_contents()
    units = [(word * (2**64 // 301)).to_bytes(8, "big") for word in range(words)]
    numbers = [pool.page(unit * 512).number for unit in units]
    if page is not None:
        numbers.append(pool.page(page).number)
    return pool, numbers


WHICH = st.integers(0, 300)
CHUNKS = st.lists(
    st.lists(WHICH, min_size=32, max_size=150) | st.lists(WHICH, max_size=9), max_size=12
)


@settings(max_examples=200, deadline=None)
@given(CHUNKS, st.booleans(), st.integers(0, 12))
def test_many_at_once_are_as_one_by_one(chunks, only_words, drop_at):
    """Contents in any order and size, some of them twice; one page may be no word."""
    pool, numbers = pool_of(300, None if only_words else bytes(range(256)) * 16)
    numbers = [*numbers, pool.zero.number]
    tree, walked = ShadowTree(pool), Walked()
    for place, chunk in enumerate(chunks):
        if place == drop_at:
            tree.drop()
            walked = Walked()
        some = [numbers[which] for which in chunk]
        expected = [walked.join_or_leave(pool.contents[number].unit) for number in some]
        assert list(tree.join_or_leave(np.array(some, np.int32))) == expected
        assert drawn(tree.root.rb_node) == drawn(walked.root.rb_node)
    assert {number for number, _ in tree.members()} == {
        number for number in numbers if pool.contents[number].unit in walked.nodes
    }
    for number, node in tree.members():
        assert node.rb_key == pool.contents[number].unit
        spot = find_in_order(walked.root, node.rb_key, words=False)
        assert tree.comparisons(number) == spot.steps


class Passes(RuleBasedStateMachine):
    """The log of passes that begin as the one before them did, or do not, against walks of each."""

    def __init__(self):
        super().__init__()
        self.pool, self.numbers = pool_of(300)
        self.exact = UnstableLog(self.pool, counting=True)
        self.fast = UnstableLog(self.pool, counting=False)
        self.walked = Walked()
        self.steps, self.before = [], []

    def step(self, which, *, one):
        some = [self.numbers[index] for index in which]
        self.steps.append(which)
        expected = [self.walked.join_or_leave(self.pool.contents[number].unit) for number in some]
        for log in (self.exact, self.fast):
            if one:
                compared = sum(log.join_or_leave(number) for number in some)
            else:
                compared = log.join_or_leave_many(np.array(some, np.int32))
            assert compared == (sum(expected) if log is self.exact else 0)

    @rule(which=st.lists(WHICH.filter(lambda index: index < 300), max_size=60), one=st.booleans())
    def go_on(self, which, one):
        self.step(which, one=one)

    @rule(one=st.booleans(), count=st.integers(1, 5))
    def go_on_as_before(self, one, count):
        for which in self.before[len(self.steps) : len(self.steps) + count]:
            self.step(which, one=one)

    @rule(forgotten=st.lists(WHICH.filter(lambda index: index < 300), max_size=2))
    def begin(self, forgotten):
        """Another pass; a number may stand for another content afterwards."""
        if len(forgotten) == 2:
            one, other = (self.numbers[index] for index in forgotten)
            contents = self.pool.contents
            contents[one], contents[other] = contents[other], contents[one]
            self.pool.sweeps += 1
        for log in (self.exact, self.fast):
            log.drop()
        self.walked = Walked()
        self.before, self.steps = self.steps, []

    @rule(fast=st.booleans())
    def make_the_tree(self, fast):
        tree = (self.fast if fast else self.exact).tree()
        assert drawn(tree.root.rb_node) == drawn(self.walked.root.rb_node)


TestPasses = Passes.TestCase
TestPasses.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


@settings(deadline=None)
@given(
    st.lists(st.binary(min_size=8, max_size=8), unique=True),
    st.lists(st.binary(min_size=8, max_size=8), min_size=1),
)
def test_depths_are_what_walks_compare(units, asked):
    walked = Walked()
    for unit in units:
        walked.join_or_leave(unit)
    asked += units[::3]
    depths = Depths(walked.root, len(units))
    assert depths.pay(len(asked)) == (len(asked) >= len(units))
    depths.pay(len(units))
    assert depths.hold(walked.root)
    expected = sum(find_in_order(walked.root, unit, words=True).steps for unit in asked)
    assert depths.comparisons(words_of(asked)) == expected
    walked.join_or_leave(b"anything")
    assert not depths.hold(walked.root)
