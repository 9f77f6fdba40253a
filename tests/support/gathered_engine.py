"""What bpf/gather.c would write of an engine's run: a second, naive telling of the same events.

It watches ksmd, writes the records of rare hooks with their marks, and as a batch ends walks the
lists of rmap_items between the last cursor and the present one.
"""

import numpy as np

from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.engine.ksm.smart_scan import skip_age
from ksmtrace.engine.ksm.watcher import Watcher
from ksmtrace.engine.trace.emitter import Emitter
from ksmtrace.events import RECORD, EventKind, empty_records
from ksmtrace.sources.live.gathered.chunk import GATHERED, ChunkError, ChunkFlag, SmartScan, Tag
from support.chunks import Item, WordWriter

BETWEEN_PASSES = 1
NOT_AT_CURSOR, BETWEEN, FROM_REMOVAL, IN_TREE = 0x80, 0x80, 0x40, 0x20
MM_HEAD = 0xFFFFFFFF83000000
LINK = 8
"""Where in an mm_slot the link to its first rmap_item is: its address is no rmap_item's."""
OF_FIRST = ChunkFlag.FIRST | ChunkFlag.RESET | ChunkFlag.FROM_HEAD | ChunkFlag.GONE
OF_LAST = ChunkFlag.LAST | ChunkFlag.PASS_ENDED
WHOLE = ChunkFlag.FIRST | ChunkFlag.LAST
SEEN, NOTICED, UNSEEN = "seen", "noticed", "unseen"
"""How an mm leaves: passing __ksm_exit; ksmd, which is at it, has noticed before, so that it does
not, behind what is seen earlier; and ksmd has noticed before that, too."""
_TAGS = {Tree.NEITHER: Tag.PLAIN, Tree.UNSTABLE: Tag.UNSTABLE, Tree.STABLE: Tag.STABLE}


def rmap_items(mm):
    """The rmap_items of a process, by page."""
    for first in sorted(mm.ptes.blocks):
        yield from (item for item in mm.ptes.blocks[first].items if item is not None)


class Both(Watcher):
    """Tells two watchers everything."""

    def __init__(self, *watchers):
        self.watchers = watchers

    def __getattribute__(self, name):
        if name == "watchers" or not hasattr(Watcher, name) or name.startswith("__"):
            return object.__getattribute__(self, name)
        calls = [getattr(watcher, name) for watcher in self.watchers]

        def tell(*args, **kwargs):
            for call in calls:
                call(*args, **kwargs)

        return tell


class Gatherer(Emitter):
    """The raw records of a run: `take_raw` gives those since the last call.

    Attributes:
        chunk_items: items in a chunk at most.
        attached: whether anything is seen.
        most_items: of a batch that are gathered.
        slice_items: listed at once of an inventory that was asked for.
        leaves: how an mm at which ksmd is leaves.
    """

    def __init__(
        self,
        chunk_items=5,
        *,
        attached=True,
        most_items=1 << 18,
        slice_items=8192,
        leaves=lambda: SEEN,
    ):
        super().__init__(start_ns=10**9)
        self.chunk_items = chunk_items
        self.attached = attached
        self.most_items = most_items
        self.slice_items = slice_items
        self.leaves = leaves
        self._left = False
        self._left_in = {}
        self._looks = 1
        self._listing = None
        self._stream = []
        self._ksm = None
        self._at = None
        self._removing = None
        self._ksmd_runs = False
        self._last = None
        self._ended_pass = None
        self._gathered = set()
        self._named_mm = None
        self._reset = False
        self._batch = 0
        self._began = 0
        self._missed = False
        self._written = False
        self._write_began = 0
        self._preempted = {}

    def watch(self, engine):
        """Follow ksmd of this engine from here on."""
        self._ksm = engine.ksm
        scan = engine.scanner.scan_batch

        def scan_batch():
            if not self._missed:
                self._began = self._tick()
                self._written = False
            self._ksmd_runs = True
            scan()
            self._ksmd_runs = False

        write = engine.scanner.write_run

        def write_run(value):
            self._write_began = self._tick()
            write(value)

        engine.scanner.scan_batch = scan_batch
        engine.scanner.write_run = write_run
        if self.attached:
            self.attach()

    def attach(self):
        """Begin, with an inventory."""
        self._collect()
        self.attached = True
        self._take_cursor(self._cursor())
        self._named_mm = self._ended_pass = None
        self.inventory()

    def take_raw(self):
        """(records, words of the chunks among them) since the last call."""
        self._collect()
        stream, self._stream = self._stream, []
        records = [np.frombuffer(record, RECORD) for record, _ in stream]
        words = [words for _, words in stream if words is not None]
        return (np.concatenate(records) if records else empty_records()), words

    @property
    def listing(self):
        """Whether an inventory is under way."""
        return self._listing is not None

    # rare hooks

    def candidate(self, item, page):
        self._at = item
        self._removing = None

    def candidate_done(self):
        self._at = self._removing = None

    def skipped(self, item):
        self._removing = None

    def rmap_item_removed(self, item, *, freed):
        self._removing = item

    def replaced(self, item, page, kpage):
        """No hook."""

    def scan_start(self, seqnr):
        self._named_mm = None
        self._gathered = set()

    def scan_stop(self, seqnr, counters):
        self._ended_pass = seqnr, dict(counters)

    def merged_one(self, item, page, kpage, err, *, was_compound=False):
        with self._marked(item):
            super().merged_one(item, page, kpage, err, was_compound=was_compound)

    def appended(self, item, node):
        with self._marked(item):
            super().appended(item, node)

    def break_cow(self, item):
        with self._marked(item):
            super().break_cow(item)

    def stable_node_removed(self, node):
        flags, rmap_item = 0, 0
        if self._removing is not None and self._removing.head is node:
            flags |= FROM_REMOVAL
        if self._ksmd_runs:
            scan = self._ksm.scan
            flags |= BETWEEN if self._at is None else 0
            rmap_item = self._link()
            if scan.slot is not self._ksm.mm_head and scan.rmap_from:
                item = scan.slot.mm.ptes.item(scan.rmap_from - 1)
                flags |= IN_TREE if item.tree is not Tree.NEITHER else 0
        self._add(
            EventKind.REMOVE_STABLE_NODE,
            pfn=node.kpfn,
            aux=node.key,
            flags=flags,
            rmap_item=rmap_item,
        )

    def mm_enter(self, mm):
        at = len(self._records)
        super().mm_enter(mm)
        self._tell_place(at, "rmap_item")

    def preempt(self, mm):
        """It leaves from here on, but its task sleeps before ksmd's list is changed.

        Returns whether that can be: ksmd has done with it in this pass.
        """
        if mm.key not in self._gathered or self._ksm.scan.slot is mm.slot:
            return False
        self.mm_exit(mm)
        self._preempted[mm.key] = mm.slot
        return True

    def mm_exit(self, mm):
        if mm.key in self._preempted:
            return
        is_at = mm.slot is not None and self._ksm.scan.slot is mm.slot
        how = self.leaves() if is_at else SEEN
        if how != UNSEEN:
            self._leave(mm)
        if how != SEEN:
            return
        at = len(self._records)
        super().mm_exit(mm)
        self._tell_place(at, "rmap_item")

    def tunable_written(self, name, text, err):
        at = len(self._records)
        super().tunable_written(name, text, err)
        if name == "run":  # the time of such a record is when the write began
            self._records[at : at + 8] = self._write_began.to_bytes(8, "little")
        self._tell_place(at, "mm")
        self._written = True
        if name == "run" and text == "2" and not err and self.attached:
            self._take_cursor(self._cursor())
            self._reset = True

    # the walk

    def gather(self):
        """Ksmd goes to sleep."""
        if not self.attached:
            return
        self._looks += 1
        now = self._cursor()
        self._missed = False
        if now != self._last:
            self._gather_batch(now)
        if self._listing is not None:
            self._list_some(self.slice_items)

    def _gather_batch(self, now):
        slot, behind, seqnr = self._last
        from_head = slot is self._ksm.mm_head
        flags = (ChunkFlag.FROM_HEAD if from_head else 0) | (ChunkFlag.RESET if self._reset else 0)
        flags |= ChunkFlag.PASS_ENDED if now[2] != seqnr else 0
        stretches, unsure = [], False
        left = self._left
        if not (left and slot is now[0]):
            if not from_head and (left or not self._is_listed()):
                flags |= ChunkFlag.GONE
                unsure = not left
                slot, behind = self._ksm.mm_head, 0
            stretches = self._walked(slot, behind, now)
        for mm, *_ in stretches:
            if self._named_mm is not mm:
                self._named_mm = mm
                self._process(mm)
        err = ChunkError.UNSURE if unsure else 0
        if self._cut(stretches):
            err = ChunkError.CEILING
        self._chunks(stretches, flags | WHOLE, seqnr, self._batch, err, self._lingering())
        self._batch += 1
        self._take_cursor(now)
        self._reset = self._written = False
        if self._ended_pass is not None:
            super().scan_stop(*self._ended_pass)
            self._ended_pass = None

    def _walked(self, slot, behind, now):
        """Between the last cursor and this one: mm, first page, items, whether to the end."""
        head = self._ksm.mm_head
        stretches, begins = [], slot is not head
        if not begins:
            slot, behind = head.next, 0
        while slot is not head:
            here = slot is now[0]
            if begins or slot.mm.key not in self._gathered:
                end = now[1] if here else 1 << 60
                items = [one for one in rmap_items(slot.mm) if behind <= one.vpn < end]
                stretches.append((slot.mm, behind, items, not here))
                if not here:
                    self._gathered.add(slot.mm.key)
            if here:
                break
            slot, behind, begins = slot.next, 0, False
        return stretches

    def _cut(self, stretches):
        """Take away what is above the ceiling; returns whether anything is."""
        left = self.most_items
        for number, (mm, behind, items, _) in enumerate(stretches):
            if len(items) > left:
                stretches[number:] = [(mm, behind, items[:left], False)]
                return True
            left -= len(items)
        return False

    def miss(self):
        """Ksmd goes to sleep, and nobody notices; not as a pass ends."""
        if self._ended_pass is not None:
            self.gather()
        else:
            self._missed = True

    def inventory(self):
        """All items, as after an attach or a loss."""
        self.ask()
        while self._listing is not None:
            self._list_some(1 << 60)

    def ask(self):
        """An inventory is asked for, which begins when ksmd next sleeps."""
        self._listing = _Listing(self._ksm.mm_head)

    def _list_some(self, most):
        """A part of an inventory."""
        listing, head, stretches = self._listing, self._ksm.mm_head, []
        flags = ChunkFlag.INVENTORY | (ChunkFlag.FIRST if listing.listed is None else 0)
        listing.listed = listing.listed or set()
        slot, behind = listing.slot, 0
        if slot is head or slot.mm is None or slot.mm.slot is not slot:
            slot = head.next
        elif listing.last is not None and slot.mm.ptes.item(listing.last.vpn) is listing.last:
            behind = listing.last.vpn + 1
        while slot is not head:
            if slot.mm.key not in listing.listed:
                items = [one for one in rmap_items(slot.mm) if one.vpn >= behind]
                part = items[:most]
                ended = len(part) == len(items) < most
                stretches.append((slot.mm, behind, part, ended))
                most -= len(part)
                listing.slot, listing.last = slot, part[-1] if part else None
                if not ended:
                    break
                listing.listed.add(slot.mm.key)
            slot, behind = slot.next, 0
        if slot is head:
            self._listing = None
            flags |= ChunkFlag.LAST
        self._chunks(stretches, flags, 0, self._last_mm or 0)

    def _leave(self, mm):
        """What was examined of an mm since the last gathering, before it loses its items."""
        if not self.attached:
            return
        left = self._left
        self._left_in[mm.key] = self._looks
        if mm.key == self._last_mm:
            self._left = True
        slot, behind, seqnr = self._last
        scan, head = self._ksm.scan, self._ksm.mm_head
        if mm.key in self._gathered or self._cursor() == self._last:
            return
        first = slot
        if slot is not head and (left or not self._is_listed()):
            slot, behind, first = head, 0, None
        looked = False
        while slot is head or slot.mm is not mm:
            if slot is scan.slot and (slot is not head or looked):
                return
            looked = True
            slot, behind = slot.next, 0
        here = slot is scan.slot
        if here and not scan.rmap_from:
            return
        items = [one for one in rmap_items(mm) if one.vpn >= (behind if slot is first else 0)]
        if here:
            items = [one for one in items if one.vpn < scan.rmap_from]
        self._gathered.add(mm.key)
        stretch = mm, behind, items, not here
        self._chunks([stretch], ChunkFlag.LEAVING | WHOLE, seqnr, self._batch)

    def _lingering(self):
        """Those that left, and that are on ksmd's list as the batch ends."""
        slot, listed = self._ksm.mm_head.next, set()
        while slot is not self._ksm.mm_head:
            listed.add(slot)
            slot = slot.next
        self._preempted = {mm: slot for mm, slot in self._preempted.items() if slot in listed}
        return list(self._preempted)

    def _is_listed(self):
        """Whether the slot at which the last batch ended is still there, and of the same mm."""
        slot = self._last[0]
        return slot.mm.slot is slot and slot.mm.key == self._last_mm

    def _take_cursor(self, now):
        self._last = now
        self._last_mm = now[0].mm.key if now[0].mm is not None else None
        self._left = self._left_in.get(self._last_mm, -2) + 1 >= self._looks

    def _chunks(self, stretches, flags, seqnr, batch, err=0, lingering=()):
        self._collect()
        whole = bool(flags & ChunkFlag.INVENTORY)
        writers = [WordWriter()]
        for mm, behind, items, ended in stretches:
            writers[-1].mm(mm.key, behind - 1 if behind else None)
            last = None
            for item in items:
                if writers[-1].items == self.chunk_items:
                    writers.append(WordWriter())
                    writers[-1].mm(mm.key, last if whole else None)
                writers[-1].item(self._told(item, whole=whole))
                last = item.vpn
            if ended:
                writers[-1].end()
        for mm in lingering:
            writers[-1].lingers(mm)
        for number, writer in enumerate(writers):
            said = flags & ~OF_FIRST if number else flags
            last = number == len(writers) - 1
            self._header(writer, said if last else said & ~OF_LAST, seqnr, batch, err * last)

    def _header(self, writer, flags, seqnr, batch, err):
        absent = self._ksm.variant.absent_counters
        counters = self._ksm.counters
        header = empty_records(1)
        header["ts"], header["seq"] = self._tick(), self._seq
        self._seq = self._seq + 1 & 0xFFFF
        header["kind"], header["flags"] = GATHERED, int(flags)
        header["oldchecksum"], header["err"] = writer.items, err
        smart_scan = int(SmartScan.ON) if self._ksm.tunables["smart_scan"] else 0
        smart_scan |= SmartScan.TUNABLE_WRITTEN if self._written else 0
        header["checksum"] = smart_scan
        header["mm"], header["address"], header["pfn"] = batch, seqnr, self._began
        if "pages_skipped" not in absent:
            header["rmap_item"] = counters.pages_skipped
        if "pages_scanned" not in absent:
            header["aux"] = counters.pages_scanned
        self._stream.append((header.tobytes(), writer.finish()))

    def _told(self, item, *, whole):
        state = _TAGS[item.tree]
        age, skips = item.age, item.remaining_skips
        if (
            not whole
            and not self._written
            and state is Tag.PLAIN
            and self._ksm.tunables["smart_scan"]
            and age >= 4
            and skips != skip_age(age - 1)
        ):
            state = Tag.SKIPPED
        head = item.head.key if item.head is not None else 0
        return Item(item.vpn, state, item.key, item.oldchecksum, head, age, skips, whole)

    def _cursor(self):
        scan = self._ksm.scan
        return scan.slot, scan.rmap_from, scan.seqnr

    def _link(self):
        """What ksm_scan.rmap_list points at, by the address of what it is in."""
        scan = self._ksm.scan
        if scan.slot is self._ksm.mm_head:
            return MM_HEAD
        if not scan.rmap_from:
            return scan.slot.mm.key + LINK
        return scan.slot.mm.ptes.item(scan.rmap_from - 1).key

    def _tell_place(self, record, column):
        """Where ksmd is, in a column of the record that begins at this byte."""
        if self._ksm is None:
            return
        scan, place = self._ksm.scan, BETWEEN_PASSES
        if scan.slot is not self._ksm.mm_head:
            place = self._link() if scan.rmap_from else scan.slot.mm.key
        at = record + RECORD.fields[column][1]
        self._records[at : at + 8] = place.to_bytes(8, "little")

    def _tick(self):
        self._now += 1000
        return self._now

    def _collect(self):
        size = RECORD.itemsize
        for at in range(0, len(self._records), size):
            if self.attached:
                self._stream.append((bytes(self._records[at : at + size]), None))
        self._records = bytearray()

    def _marked(self, item):
        return _Marked(self, item is not self._at)


class _Listing:
    """An inventory under way: which mms are listed whole, and the last item of one that is not."""

    def __init__(self, head):
        self.slot = head
        self.last = None
        self.listed = None


class _Marked:
    """Puts a mark on the record that is added meanwhile."""

    def __init__(self, gatherer, marked):
        self._gatherer = gatherer
        self._marked = marked

    def __enter__(self):
        self._at = len(self._gatherer._records)

    def __exit__(self, *_):
        if self._marked:
            self._gatherer._records[self._at + RECORD.fields["flags"][1]] |= NOT_AT_CURSOR


def comparable(records):
    """What gathering and intercepting must agree on, one tuple a record."""
    records = records.copy()
    records["pfn"][records["kind"] == EventKind.CMP_AND_MERGE_PAGE] = 0
    names = [name for name in RECORD.names if name not in ("ts", "seq", "cpu")]
    kinds = [EventKind(kind).name for kind in records["kind"].tolist()]
    return list(
        zip(kinds, *(records[name].tolist() for name in names if name != "kind"), strict=True)
    )
