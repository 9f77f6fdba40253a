"""Searches of a tree that is in order: the kernel's steps, without its look at each page."""

from __future__ import annotations

from typing import NamedTuple

from ksmtrace.engine.machine.content import compare_units
from ksmtrace.engine.machine.rbtree import RbNode, RbRoot, rb_insert_color, rb_link_node

_WORD = 8


class Spot(NamedTuple):
    """Where a walk has ended.

    Attributes:
        node: the node with the key that was looked for.
        parent: without one, the node below which it belongs.
        left: on which side.
        steps: nodes whose content was compared.
    """

    node: RbNode | None
    parent: RbNode | None
    left: bool
    steps: int


def find_in_order(root: RbRoot, key: bytes, *, words: bool) -> Spot:
    """Walk down to `key`, or to where it belongs.

    Args:
        root: the tree.
        key: what to find.
        words: this key and all in the tree are words, whose own order is that of the pages.
    """
    # Units have the order of their pages except where one begins with the other.
    size, begins = len(key), b"" if words else key[:_WORD]
    parent: RbNode | None = None
    left = False
    steps = 0
    node = root.rb_node
    while node is not None:
        steps += 1
        its = node.rb_key
        if not words and len(its) != size and its[:_WORD] == begins:
            less = compare_units(key, its) < 0
        else:
            less = key < its
        if less:
            parent, node, left = node, node.rb_left, True
        elif key == its:
            return Spot(node, parent, left, steps)
        else:
            parent, node, left = node, node.rb_right, False
    return Spot(None, parent, left, steps)


def insert_in_order(root: RbRoot, node: RbNode, *, words: bool) -> int:
    """Put `node`, whose `rb_key` is not in the tree, where it belongs.

    `words` as in `find_in_order`.

    Returns:
        How many nodes' contents were compared.
    """
    spot = find_in_order(root, node.rb_key, words=words)
    rb_link_node(root, node, spot.parent, left=spot.left)
    rb_insert_color(root, node)
    return spot.steps
