"""What is known of all rmap_items, and a batch expanded by it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ksmtrace.events import numbers as kinds
from ksmtrace.events.kinds import LossCause
from ksmtrace.events.record import Records, empty_records, joined, picked, true_rows
from ksmtrace.sources.live.gathered.batch import Batch, Header
from ksmtrace.sources.live.gathered.chunk import (
    FROM_START,
    IN_STABLE,
    NEITHER,
    ChunkFlag,
    Ints,
    Walk,
    Words,
    read_words,
)
from ksmtrace.sources.live.gathered.inventory import Inventory
from ksmtrace.sources.live.gathered.mm_list import HEAD, MmList
from ksmtrace.sources.live.gathered.names import Names
from ksmtrace.sources.live.gathered.own import Own, is_own, read_own, without_marks
from ksmtrace.sources.live.gathered.passage import Passage, Registration, registered, registrations
from ksmtrace.sources.live.gathered.places import FREED, PLACE_SHIFT, others_keys, times
from ksmtrace.sources.live.gathered.population import Population
from ksmtrace.sources.live.gathered.removed_nodes import RemovedNodes
from ksmtrace.sources.live.gathered.rows import Rows, add_freed, add_items, add_own
from ksmtrace.sources.live.gathered.shortfall import Shortfall, missing_before
from ksmtrace.sources.live.gathered.told_places import ToldPlaces, brought_on, told_places
from ksmtrace.sources.live.gathered.turns import (
    Removals,
    Turns,
    at_end,
    leave_stale,
    node_keys,
    removals,
    turns,
    without_stale,
)
from ksmtrace.sources.live.gathered.unmerge import freed_by_unmerge
from ksmtrace.sources.live.gathered.visit import Freed, Visit, in_order, visit
from ksmtrace.sources.live.gathered.written_tunables import SmartScanFollower

_FIRST = -(1 << 62)
"""A key before all others."""
_NOBODY = Population()

_RESET, _FROM_HEAD, _PASS_ENDED, _GONE = (
    int(ChunkFlag.RESET),
    int(ChunkFlag.FROM_HEAD),
    int(ChunkFlag.PASS_ENDED),
    int(ChunkFlag.GONE),
)
"""As plain numbers: to make an IntFlag takes longer than all that is done by it."""


class Expansion:
    """Follows ksmd batch by batch.

    Args:
        pages_to_scan: reads it; None where that fails.
    """

    def __init__(self, pages_to_scan: Callable[[], int | None] = lambda: None) -> None:
        self._pages_to_scan = pages_to_scan
        self._populations: dict[int, Population] = {}
        self._order = MmList()
        self._removed = RemovedNodes()
        self._inventory = Inventory(self._populations, self._order)
        self._names = Names()
        self._shortfall = Shortfall(self._pages_to_scan)
        self._smart_scan = SmartScanFollower()
        self._cursor = (HEAD, FROM_START)
        self._met = False
        self._clock = 1
        self._pass_began = 0
        self._ended = 0
        self._reset = False
        self._lingering: list[Registration] = []

    @property
    def wants_stock(self) -> bool:
        """Whether something was lost since the last inventory."""
        return self._shortfall.lossy

    def lose(self) -> None:
        """Records were lost, and have been counted."""
        self._shortfall.lossy = True
        self._inventory.lose()

    def take_stock(self, header: Header, words: Words) -> bool:
        """A chunk of an inventory; returns whether it makes good a loss."""
        self._smart_scan.note(header)
        ended = self._inventory.take(header.flags, read_words(words), self._clock)
        if (self._shortfall.lossy or not self._met) and header.batch in self._order:
            # Nothing has told it since the trace began, or what did may be among what was lost.
            self._cursor = (header.batch, FROM_START)
        self._clock += 1  # the first record of the next batch is later
        if not ended or not self._shortfall.lossy:
            return False
        self._shortfall = Shortfall(self._pages_to_scan)
        self._met = False
        return True

    def note(self, held: Records) -> None:
        """Records that are given out while no batch ends."""
        here = self._cursor[0]
        for mm, kind in registrations(held):
            if kind == kinds.MM_ENTER:
                self._populations.pop(mm, None)
                self._order.put_before(here, mm)
            elif mm != here:
                if self._populations.get(mm):
                    self._order.put_behind(here, mm)
                else:
                    self._order.remove(mm)

    def free_all(self, held: Records, write: Records) -> Records:
        """The events of a write of 2 to `run`: what was held, everything freed, the write itself.

        Args:
            held: records of the ring before that of the write.
            write: its TUNABLE record; none where nobody saw it.
        """
        self.note(held)
        known = []
        for mm in [*self._order, *(self._populations.keys() - set(self._order))]:
            items = self._populations.get(mm, _NOBODY).items.copy()
            without_stale(items, self._removed)
            known.append((mm, items))
        began = int(write["ts"][0]) if len(write) else self._ended
        ended = int(held["ts"].max()) if len(held) else began
        events = without_marks(held)
        if self._inventory.began:
            events = freed_by_unmerge(known, held, began, ended)
        self._populations.clear()
        self._removed.clear()
        self._names.clear()
        self._lingering = []
        self._cursor = (HEAD, FROM_START)
        self._reset = True
        return joined([events, write])

    def expand(self, batch: Batch, held: Records) -> Records:
        """The events of a batch, and of other tasks meanwhile."""
        header = batch.header
        rows = Rows()
        if header.flags & _RESET and not self._reset:
            events = self.free_all(empty_records(), empty_records())
            rows.add(events, np.full(len(events), _FIRST))
        self._reset = False
        if not self._met and batch.walk.stretches:
            self._meet(batch)
        skipped_over = missing_before(batch, self._cursor, self._order, self._populations)
        cursor = HEAD if header.flags & _FROM_HEAD else self._cursor[0]
        entered = [mm for mm, kind in registrations(held) if kind == kinds.MM_ENTER]
        former = self._former(entered)
        walked = self._passed(batch)
        walk, leaving = in_order(walked, batch.leaving, self._order, entered, cursor)
        visited = visit(walk, leaving, self._populations)
        without_stale(visited.before, self._removed)
        own_rows = true_rows(is_own(held))
        own = read_own(held, own_rows, visited)
        told = told_places(held, header, visited)
        own = brought_on(own, told, visited)
        when = self._when(batch, visited, own, told)
        others = ~self._names.take(held)
        others[own_rows] = False
        other_rows = true_rows(others)
        places = np.searchsorted(when, held["ts"][other_rows].astype(np.int64), "right")
        places[np.searchsorted(other_rows, told.row)] = told.place
        bounds = own.place, own.place + own.between
        other_keys = others_keys(other_rows, places, visited.last, own.row, bounds)
        self._smart_scan.tell(header, held, other_rows, other_keys, visited)
        passage = Passage(self._order, self._populations, former, visited, own, cursor)
        here = passage.go(
            [*self._lingering, *registered(held, other_rows, other_keys, visited)],
            pass_ended=bool(header.flags & _PASS_ENDED),
        )
        # What is not there need not be gone where the batch lacks something.
        gone_for_good = Freed() if batch.broken else visited.freed
        freed, freed_mm, freed_key = gone_for_good.sorted()
        without_stale(freed, self._removed)
        own_keys = node_keys(own, visited, freed, freed_key)
        gone = self._nodes_gone(held, own, own_keys, other_rows, other_keys)
        leave_stale(freed, freed_key, gone)
        turned = turns(own, visited, gone)
        known = visited.known
        strict = self._inventory.complete and not self._shortfall.lossy
        if strict:
            known = known | (turned.rmap_item != 0)
        add_items(rows, visited, turned, when, known)
        at = np.clip(freed_key >> PLACE_SHIFT, 0, len(when) - 1)
        add_freed(rows, freed, freed_mm, freed_key, when[at])
        add_own(rows, picked(held, own_rows), own, own_keys)
        rows.add(picked(held, other_rows), other_keys)
        self._names.add(rows, visited, when)
        if header.flags & _FROM_HEAD:
            rows.make(kinds.SCAN_START, np.array([FREED - 2]), ts=when[:1], aux=header.seqnr)
        self._update(held, own, visited, turned, passage)
        self._lingering = [Registration(0, kinds.MM_EXIT, mm) for mm in sorted(passage.lingered)]
        strange = int(np.count_nonzero(~known | turned.unexplained))
        lost = self._shortfall.count(
            *(batch, len(walk.vpn), skipped_over, strange),
            strict=strict,
            gone=passage.freed_any and not (held["kind"] == kinds.TUNABLE).any(),
        )
        if lost:
            # Behind the beginning of its pass, which is not seen whole.
            key = FREED - 1 if header.flags & _FROM_HEAD else _FIRST
            cause = LossCause.GATHERING
            rows.make(kinds.LOST, np.array([key]), ts=when[:1], aux=lost, address=cause)
        self._end(batch, visited, here)
        self._clock += len(held) + 1
        return rows.in_order() if self._inventory.began else picked(held, other_rows)

    def _passed(self, batch: Batch) -> Walk:
        """The walk, without mms that have registered in front of the cursor: ksmd is past them."""
        walk = batch.walk
        if not batch.header.flags & _GONE:
            return walk
        known = self._populations
        met = [one for one in walk.stretches if one.stop > one.first or known.get(one.mm)]
        return walk._replace(stretches=met)

    def _meet(self, batch: Batch) -> None:
        """The first batch: where it begins, ksmd was as the trace began."""
        self._met = True
        first, flags = batch.walk.stretches[0], batch.header.flags
        if flags & _FROM_HEAD:
            self._cursor = (HEAD, FROM_START)
        elif not flags & _GONE:
            self._cursor = (first.mm, first.behind)

    def _former(self, entered: list[int]) -> dict[int, Population]:
        """Populations of mms whose address another has registered with."""
        return {mm: self._populations.pop(mm) for mm in entered if mm in self._populations}

    def _when(self, batch: Batch, visited: Visit, own: Own, told: ToldPlaces) -> Ints:
        header, anchored = batch.header, own.place >= 0
        place, ts = [own.place[anchored], told.place], [own.ts[anchored], told.ts]
        if batch.slept:
            item, fell_asleep, went_on = np.array(batch.slept, dtype=np.int64).T
            item = np.minimum(item, len(visited.place) - 1)
            place += [visited.place[item - 1], visited.place[item]]
            ts += [fell_asleep, went_on]
        began = header.began or self._ended or header.ts
        return times(visited.last + 1, began, header.ts, np.concatenate(place), np.concatenate(ts))

    def _nodes_gone(
        self,
        held: Records,
        own: Own,
        own_keys: Ints,
        others: npt.NDArray[np.intp],
        other_keys: Ints,
    ) -> Removals:
        """The stable nodes that went in this batch."""
        mine = own.where(kinds.REMOVE_STABLE_NODE)
        theirs = held["kind"][others] == kinds.REMOVE_STABLE_NODE
        rows = np.concatenate([own.row[mine], others[theirs]])
        key = np.concatenate([own_keys[mine], other_keys[theirs]])
        order = np.argsort(rows)
        nodes = held["aux"][rows[order]]
        self._removed.add(nodes.tolist(), (self._clock + rows[order]).tolist())
        return removals(nodes, key[order])

    def _update(
        self, held: Records, own: Own, visited: Visit, turned: Turns, passage: Passage
    ) -> None:
        """Bring what is known up to date."""
        now = at_end(own, visited, self._clock, turned)
        named = now.rmap_item != 0
        whole = bool(named.all())
        for stretch, (low, high) in zip(visited.walk.stretches, visited.windows, strict=True):
            if stretch.mm in passage.gone:
                continue
            population = self._populations.setdefault(stretch.mm, Population())
            part = now.take(slice(stretch.first, stretch.stop))
            if not whole:
                part = part.take(named[stretch.first : stretch.stop])
            population.replace(low, high, part)
            self._inventory.visited(stretch.mm)
        elsewhere = true_rows(own.partner & (own.item < 0))
        if len(elsewhere):
            self._update_partners(held, own, elsewhere)

    def _update_partners(self, held: Records, own: Own, elsewhere: npt.NDArray[np.intp]) -> None:
        """Partners that were examined in an earlier batch."""
        mm = held["mm"][own.row[elsewhere]]
        for one in np.unique(mm).tolist():
            population = self._populations.get(one)
            if population is None:
                continue
            rows = elsewhere[mm == one]
            at = population.find(own.vpn[rows])
            items = population.items
            left = (at >= 0) & own.where(kinds.TRY_TO_MERGE_ONE_PAGE)[rows] & own.ok[rows]
            items.tree[at[left]], items.head[at[left]] = NEITHER, 0
            joins = (at >= 0) & own.where(kinds.STABLE_APPEND)[rows]
            items.tree[at[joins]] = IN_STABLE
            items.head[at[joins]] = own.aux[rows[joins]]
            items.since[at[joins]] = self._clock + own.row[rows[joins]]

    def _end(self, batch: Batch, visited: Visit, here: int) -> None:
        self._ended = batch.header.ts
        if batch.header.flags & _PASS_ENDED:
            self._cursor = (HEAD, FROM_START)
            self._names.clear()
            # Whoever named a node that went before this pass has been visited since.
            self._removed.forget(self._pass_began)
            self._pass_began = self._clock
        elif visited.walk.stretches:
            last = visited.walk.stretches[-1]
            vpn = int(visited.walk.vpn[last.stop - 1]) if last.stop > last.first else last.behind
            self._cursor = (here, vpn)
