"""The unstable tree's shape, against the same tree walked step by step."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ksmtrace.engine.bulk_checksum import XXHASH
from ksmtrace.engine.bulk_comparisons import Depths
from ksmtrace.engine.content import PagePool
from ksmtrace.engine.ordered import find_in_order
from ksmtrace.engine.rbtree import RbNode, RbRoot, rb_erase, rb_insert_color, rb_link_node
from ksmtrace.engine.shape import Shape, words_of


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
    st.lists(WHICH, min_size=32, max_size=150) | st.lists(WHICH, max_size=9) | WHICH, max_size=12
)


@settings(max_examples=200, deadline=None)
@given(CHUNKS, st.booleans(), st.integers(0, 12))
def test_many_at_once_are_as_one_by_one(chunks, only_words, drop_at):
    """Contents that come in any order and size, also some that come again; one page may be no word."""
    pool, numbers = pool_of(300, None if only_words else bytes(range(256)) * 16)
    numbers = [*numbers, pool.zero.number]
    shape, walked = Shape(pool), Walked()
    for place, chunk in enumerate(chunks):
        if place == drop_at:
            shape.drop()
            walked = Walked()
        some = [numbers[which] for which in ([chunk] if isinstance(chunk, int) else chunk)]
        expected = sum(walked.join_or_leave(pool.contents[number].unit) for number in some)
        if isinstance(chunk, int):
            assert shape.join_or_leave(some[0]) == expected
        else:
            assert shape.join_or_leave_many(np.array(some, np.int32)) == expected
        assert drawn(shape.root.rb_node) == drawn(walked.root.rb_node)
    assert {number for number, _ in shape.standing()} == {
        number for number in numbers if pool.contents[number].unit in walked.nodes
    }
    for number, node in shape.standing():
        assert node.rb_key == pool.contents[number].unit
        spot = find_in_order(walked.root, node.rb_key, words=False)
        assert shape.comparisons(number) == spot.steps


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
