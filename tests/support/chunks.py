"""Words of chunks, put together one by one: what bpf/gather.c writes, without its haste."""

from typing import NamedTuple

import numpy as np

from ksmtrace.sources.live.gathered.chunk import COUNT_MOST, Tag

_FLAGS = {Tag.UNSTABLE: 0x100, Tag.STABLE: 0x200}


class Item(NamedTuple):
    """An rmap_item on its list.

    Attributes:
        vpn: number of its page.
        state: PLAIN, UNSTABLE, STABLE or SKIPPED.
        baseline: whether all of it is written (LONG).
    """

    vpn: int
    state: Tag
    rmap_item: int = 0
    checksum: int = 0
    head: int = 0
    age: int = 0
    skips: int = 0
    baseline: bool = False

    @property
    def size(self):
        """Words that it takes on its own."""
        return 4 if self.baseline else 2 if self.state is Tag.PLAIN else 1


class WordWriter:
    """Writes the words of one chunk."""

    def __init__(self):
        self.words = []
        self.items = 0
        self._next = None
        self._run = None

    def mm(self, mm, behind=None):
        """An mm, from its list's start or from behind page `behind`."""
        self._end_run()
        self._next = None
        self.words += [int(Tag.MM), mm]
        if behind is not None:
            self.words.append(Tag.AT | 1 << 3 | behind << 19)

    def item(self, item):
        """The next item of the mm."""
        self.items += 1
        if item.baseline:
            self._end_run()
            word = item.vpn << 12 | _FLAGS.get(item.state, 0) | Tag.LONG
            self.words += [word, self._values(item), item.head, item.rmap_item]
        elif item.state is Tag.PLAIN:
            self._end_run()
            if item.vpn != self._next:
                self.words.append(Tag.AT | item.vpn << 19)
            self.words += [self._values(item), item.rmap_item]
        elif (
            self._run is not None
            and self._run[0] is item.state
            and item.vpn == self._next
            and self._run[2] < COUNT_MOST
        ):
            self._run[2] += 1
        else:
            self._end_run()
            self._run = [item.state, item.vpn, 1]
        self._next = item.vpn + 1

    def end(self):
        """The list was walked to its end."""
        self._end_run()
        self.words.append(int(Tag.END))

    def lingers(self, mm):
        """An mm that nobody uses any more, and that ksmd has not freed."""
        self._end_run()
        self.words += [int(Tag.MM) | 1 << 3, mm]

    def finish(self):
        """The words so far."""
        self._end_run()
        return np.array(self.words, dtype=np.uint64)

    def _values(self, item):
        return item.checksum << 32 | item.skips << 16 | item.age << 8

    def _end_run(self):
        if self._run is not None:
            tag, vpn, count = self._run
            self.words.append(tag | count << 3 | vpn << 19)
            self._run = None
