"""An engine that gives addresses of what is gone to what comes next, as the kernel's slabs do."""

from ksmtrace.engine.ksm.state import Ksm
from ksmtrace.engine.ksm.watcher import Watcher


class Freed(Watcher):
    """Notes the addresses of rmap_items and stable nodes that are freed; the last is first reused.

    Attributes:
        keys: those that are free.
    """

    def __init__(self):
        self.keys = []

    def rmap_item_removed(self, item, *, freed):
        if freed:
            self.keys.append(item.key)

    def stable_node_removed(self, node):
        self.keys.append(node.key)


def reuse_addresses(engine, freed):
    """From now on, of this engine: those that `freed`, a watcher of it, notes, and those of mms."""

    class Reusing(Ksm):
        __slots__ = ()

        def new_key(self):
            return freed.keys.pop() if freed.keys else super().new_key()

    engine.ksm.__class__ = Reusing
    memory, new_mm, made = engine.memory, engine.memory.new_mm, []

    def reusing_new_mm(comm):
        mm = new_mm(comm)
        gone = next((one for one in made if one.exited and one.slot is None), None)
        if gone is not None:
            made.remove(gone)
            mm.key = gone.key
        made.append(mm)
        return mm

    memory.new_mm = reusing_new_mm
