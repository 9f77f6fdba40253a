"""The kernel's red-black tree: the same rotations, hence the same shape."""

from __future__ import annotations

from typing import NamedTuple


class RbNode:
    """A node that others extend; a new node is red, and linked by `rb_link_node`.

    Attributes:
        rb_key: `PageData.unit` of the content by which the node found its place.
    """

    __slots__ = ("rb_key", "rb_left", "rb_parent", "rb_red", "rb_right")

    rb_left: RbNode | None
    rb_right: RbNode | None
    rb_parent: RbNode | None
    rb_red: bool
    rb_key: bytes

    def __init__(self) -> None:
        self.rb_key = b""
        self.rb_left = None
        self.rb_right = None
        self.rb_parent = None
        self.rb_red = True


class RbRoot:
    """A tree; an empty one has no `rb_node`.

    Attributes:
        changes: how often a node has been linked, replaced or taken out.
    """

    __slots__ = ("changes", "rb_node")

    def __init__(self) -> None:
        self.rb_node: RbNode | None = None
        self.changes = 0


class Leaf(NamedTuple):
    """The place of a new node: below `parent`, on its left or right; the root without a parent."""

    parent: RbNode | None
    left: bool


def rb_link_node(root: RbRoot, node: RbNode, parent: RbNode | None, *, left: bool) -> None:
    """Hang `node` under `parent` as a red leaf (rb_link_node); `rb_insert_color` must follow."""
    root.changes += 1
    node.rb_left = node.rb_right = None
    node.rb_parent = parent
    node.rb_red = True
    if parent is None:
        root.rb_node = node
    elif left:
        parent.rb_left = node
    else:
        parent.rb_right = node


def rb_insert_color(root: RbRoot, node: RbNode) -> None:
    """Restore the balance after `node` was linked (lib/rbtree.c: rb_insert_color)."""
    while True:
        parent = node.rb_parent
        if parent is None:
            node.rb_red = False
            return
        if not parent.rb_red:
            return
        grandparent = parent.rb_parent
        assert grandparent is not None, "a red node has a parent"
        on_left = parent is grandparent.rb_left
        uncle = grandparent.rb_right if on_left else grandparent.rb_left
        if uncle is not None and uncle.rb_red:
            parent.rb_red = uncle.rb_red = False
            grandparent.rb_red = True
            node = grandparent
            continue
        inner = parent.rb_right if on_left else parent.rb_left
        if node is inner:
            _rotate(root, parent, left=on_left)
            parent = node
        parent.rb_red = False
        grandparent.rb_red = True
        _rotate(root, grandparent, left=not on_left)
        return


def rb_erase(root: RbRoot, node: RbNode) -> None:
    """Take `node` out (rb_erase); with two children, its successor takes its place."""
    root.changes += 1
    if node.rb_left is not None and node.rb_right is not None:
        successor = node.rb_right
        while successor.rb_left is not None:
            successor = successor.rb_left
        black_lost = not successor.rb_red
        child = successor.rb_right
        if successor.rb_parent is node:
            parent: RbNode | None = successor
        else:
            parent = successor.rb_parent
            _replace_child(root, successor, child)
            successor.rb_right = node.rb_right
            successor.rb_right.rb_parent = successor
        successor.rb_left = node.rb_left
        successor.rb_left.rb_parent = successor
        successor.rb_red = node.rb_red
        _replace_child(root, node, successor)
    else:
        child = node.rb_left if node.rb_left is not None else node.rb_right
        parent = node.rb_parent
        black_lost = not node.rb_red
        _replace_child(root, node, child)
    node.rb_left = node.rb_right = node.rb_parent = None
    if not black_lost:
        return
    if child is not None and child.rb_red:
        child.rb_red = False
    elif parent is not None:
        _erase_color(root, child, parent)


def rb_replace_node(root: RbRoot, victim: RbNode, new: RbNode) -> None:
    """Put `new` in the place of `victim`, without a look at the order.

    lib/rbtree.c: rb_replace_node.
    """
    root.changes += 1
    new.rb_left, new.rb_right, new.rb_red = victim.rb_left, victim.rb_right, victim.rb_red
    for child in (new.rb_left, new.rb_right):
        if child is not None:
            child.rb_parent = new
    _replace_child(root, victim, new)
    victim.rb_left = victim.rb_right = victim.rb_parent = None


def _erase_color(root: RbRoot, node: RbNode | None, parent: RbNode) -> None:
    # The subtree of `node` is short of one black node.
    while True:
        on_left = node is parent.rb_left
        sibling = parent.rb_right if on_left else parent.rb_left
        assert sibling is not None, "a black node has a sibling"
        if sibling.rb_red:
            sibling.rb_red = False
            parent.rb_red = True
            _rotate(root, parent, left=on_left)
            sibling = parent.rb_right if on_left else parent.rb_left
            assert sibling is not None, "so has its nephew's parent"
        far = sibling.rb_right if on_left else sibling.rb_left
        near = sibling.rb_left if on_left else sibling.rb_right
        if far is None or not far.rb_red:
            if near is None or not near.rb_red:
                sibling.rb_red = True
                if parent.rb_red:
                    parent.rb_red = False
                    return
                node = parent
                if node.rb_parent is None:
                    return
                parent = node.rb_parent
                continue
            near.rb_red = False
            sibling.rb_red = True
            _rotate(root, sibling, left=not on_left)
            far, sibling = sibling, near
        sibling.rb_red = parent.rb_red
        parent.rb_red = False
        far.rb_red = False
        _rotate(root, parent, left=on_left)
        return


def _rotate(root: RbRoot, node: RbNode, *, left: bool) -> None:
    if left:
        up = node.rb_right
        assert up is not None, "a left rotation lifts the right child"
        node.rb_right = up.rb_left
        moved = up.rb_left
        up.rb_left = node
    else:
        up = node.rb_left
        assert up is not None, "a right rotation lifts the left child"
        node.rb_left = up.rb_right
        moved = up.rb_right
        up.rb_right = node
    if moved is not None:
        moved.rb_parent = node
    _replace_child(root, node, up)
    node.rb_parent = up


def _replace_child(root: RbRoot, old: RbNode, new: RbNode | None) -> None:
    parent = old.rb_parent
    if new is not None:
        new.rb_parent = parent
    if parent is None:
        root.rb_node = new
    elif parent.rb_left is old:
        parent.rb_left = new
    else:
        parent.rb_right = new
