"""Pages a second that the expander takes, and what a small batch costs, alone and with others.

PYTHONPATH=tests:. python tests/bench/expander.py
"""

import time

import numpy as np

from ksmtrace.events import EventKind, empty_records
from ksmtrace.sources.live.gathered.chunk import GATHERED, ChunkFlag, Tag
from ksmtrace.sources.live.gathered.expander import Expander
from support.chunks import Item, WordWriter

MM, FIRST = 0xFFFF888000000000, 0x100000
ITEM, NODE = 0xFFFF888100000000, 0xFFFF888200000000


class Kernel:
    """Writes passes over one mm."""

    def __init__(self, pages):
        self.pages = pages
        self.batch, self.now = 0, 1

    def chunk(self, items, flags, behind=None, *, ended=False, batch=None):
        """The header and words of a chunk."""
        writer = WordWriter()
        writer.mm(MM, behind)
        for item in items:
            writer.item(item)
        if ended:
            writer.end()
        header = empty_records(1)
        self.now += 10**6
        header["ts"], header["pfn"] = self.now, self.now - 10**6
        header["kind"], header["flags"], header["oldchecksum"] = GATHERED, flags, writer.items
        header["mm"] = self.batch
        return header, writer.finish()

    def one_pass(self, state, size, seed=0, rare=lambda first, stop: empty_records()):
        """The drains of a pass in batches of `size` pages."""
        for first in range(0, self.pages, size):
            stop = min(first + size, self.pages)
            items = [
                Item(FIRST + n, state, rmap_item=ITEM + 64 * n, checksum=seed + n & 0xFFFFFFFF)
                for n in range(first, stop)
            ]
            flags = ChunkFlag.FIRST | ChunkFlag.LAST
            flags |= ChunkFlag.FROM_HEAD if not first else 0
            flags |= ChunkFlag.PASS_ENDED if stop == self.pages else 0
            own = rare(first, stop)
            own["ts"] = self.now
            header, words = self.chunk(
                items, flags, FIRST + first - 1 if first else None, ended=stop == self.pages
            )
            self.batch += 1
            yield np.concatenate([own, header]), [words]


def merged(first, stop):
    """The records of pages that each join a node."""
    records = empty_records(2 * (stop - first))
    number = np.arange(first, stop, dtype=np.uint64)
    for step, kind in enumerate((EventKind.TRY_TO_MERGE_ONE_PAGE, EventKind.STABLE_APPEND)):
        records["kind"][step::2] = kind
        records["mm"] = MM
        records["address"][step::2] = (number + np.uint64(FIRST)) << np.uint64(12)
        records["rmap_item"][step::2] = number * np.uint64(64) + np.uint64(ITEM)
    records["flags"][::2] = 1
    records["aux"][1::2] = number // np.uint64(2) * np.uint64(64) + np.uint64(NODE)
    return records


def measure(name, expander, drains, pages, together=1):
    """Print what it takes, where so many batches are read out of the ring at a time."""
    drains = list(drains)
    drains = [
        (np.concatenate([head for head, _ in part]), [one for _, words in part for one in words])
        for part in (drains[at : at + together] for at in range(0, len(drains), together))
    ]
    began = time.process_time()
    events = sum(len(expander.feed(*drain)) for drain in drains)
    took = time.process_time() - began
    print(
        f"{name:44} {pages / took / 1e6:6.2f} M pages/s  {events / took / 1e6:6.2f} M events/s  "
        f"{took / len(drains) * 1e3:7.3f} ms a drain"
    )


def main(pages=200_000):
    """Print a line for each kind of pass."""
    for size in (100, 1000, 10_000):
        kernel, expander = Kernel(pages), Expander()
        header, words = kernel.chunk(
            [], ChunkFlag.INVENTORY | ChunkFlag.FIRST | ChunkFlag.LAST, ended=True
        )
        expander.feed(header, [words])
        for name, state, seed, rare in (
            ("new", Tag.PLAIN, 1, lambda *_: empty_records()),
            ("volatile", Tag.PLAIN, 2, lambda *_: empty_records()),
            ("waiting", Tag.UNSTABLE, 0, lambda *_: empty_records()),
            ("merging", Tag.STABLE, 0, merged),
            ("settled", Tag.STABLE, 0, lambda *_: empty_records()),
        ):
            for together in (1, 20):
                drains = kernel.one_pass(state, size, seed, rare)
                what = f"{name}, batches of {size}, {together} at a time"
                measure(what, expander, drains, pages, together)


if __name__ == "__main__":
    main()
