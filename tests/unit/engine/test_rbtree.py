"""The red-black tree: in order, balanced, and of the kernel's shape."""

from bisect import insort

from hypothesis import given, settings
from hypothesis import strategies as st

from ksmtrace.engine.machine.rbtree import (
    RbNode,
    RbRoot,
    rb_erase,
    rb_insert_color,
    rb_link_node,
    rb_replace_node,
)


class Node(RbNode):
    __slots__ = ("key",)

    def __init__(self, key):
        super().__init__()
        self.key = key


def insert(root, key):
    node, parent, left, current = Node(key), None, False, root.rb_node
    while current is not None:
        parent, left = current, key < current.key
        current = current.rb_left if left else current.rb_right
    rb_link_node(root, node, parent, left=left)
    rb_insert_color(root, node)
    return node


def keys(node):
    return [] if node is None else [*keys(node.rb_left), node.key, *keys(node.rb_right)]


def black_height(node):
    """Black nodes down to a leaf; checks that all paths have the same, and no red a red child."""
    if node is None:
        return 1
    for child in (node.rb_left, node.rb_right):
        assert child is None or child.rb_parent is node
        assert child is None or not (node.rb_red and child.rb_red)
    heights = {black_height(node.rb_left), black_height(node.rb_right)}
    assert len(heights) == 1
    return heights.pop() + (not node.rb_red)


def check(root, expected):
    assert keys(root.rb_node) == expected
    assert root.rb_node is None or (root.rb_node.rb_parent is None and not root.rb_node.rb_red)
    black_height(root.rb_node)


def shape(node):
    """A tree as text: "(left key right)", red keys with an r."""
    if node is None:
        return "."
    return f"({shape(node.rb_left)}{node.key}{'r' if node.rb_red else ''}{shape(node.rb_right)})"


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("iiied"), st.integers(0, 1000)), max_size=120))
def test_equals_a_sorted_list(operations):
    root, nodes, expected = RbRoot(), [], []
    for operation, number in operations:
        if operation == "i":
            nodes.append(insert(root, number))
            insort(expected, number)
        elif nodes:
            node = nodes.pop(number % len(nodes))
            if operation == "e":
                rb_erase(root, node)
                expected.remove(node.key)
            else:
                twin = Node(node.key)
                rb_replace_node(root, node, twin)
                nodes.append(twin)
        check(root, expected)


@settings(deadline=None)
@given(st.permutations(range(40)), st.permutations(range(40)))
def test_erasing_all_leaves_nothing(order, erased):
    root = RbRoot()
    nodes = {key: insert(root, key) for key in order}
    left = sorted(order)
    for key in erased:
        rb_erase(root, nodes[key])
        left.remove(key)
        check(root, left)
    assert root.rb_node is None


def test_shape_of_ascending_keys():
    # Worked by hand after lib/rbtree.c: recolouring at 4, 6 and 8, rotations at 3, 5, 7.
    root = RbRoot()
    for key in range(1, 9):
        insert(root, key)
    assert shape(root.rb_node) == "(((.1.)2r(.3.))4((.5.)6r(.7(.8r.))))"


def test_erased_node_with_two_children_gives_way_to_its_successor():
    root = RbRoot()
    nodes = {key: insert(root, key) for key in range(1, 9)}
    rb_erase(root, nodes[4])
    assert root.rb_node is nodes[5]
    rb_erase(root, nodes[6])
    assert root.rb_node.rb_right is nodes[7]
    check(root, [1, 2, 3, 5, 7, 8])
