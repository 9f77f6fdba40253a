"""Numbers of rmap_items against a walk that handles one event after the other."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.events import EventKind, Flag
from ksmtrace.model.items import ItemTable
from support.streams import events

ROWS = st.lists(
    st.builds(
        lambda kind, item, flags: {
            "kind": kind,
            "rmap_item": 0x1000 * (item % 3) + 64 * item,
            "flags": flags,
            "mm": item + 7,
            "address": 4096 * item,
        },
        st.sampled_from(
            (
                EventKind.CMP_AND_MERGE_PAGE,
                EventKind.STABLE_APPEND,
                EventKind.REMOVE_RMAP_ITEM,
                EventKind.TRY_TO_MERGE_ONE_PAGE,
                EventKind.SKIPPED,
                EventKind.PROCESS,
            )
        ),
        st.integers(1, 8),
        st.sampled_from((0, 0, Flag.FREED)),
    ),
    max_size=30,
)


def lives(rows, alive, count):
    """For each row the life that its rmap_item is in, or None; `alive` maps rmap_item to life."""
    for row in rows:
        kind, item, freed = row["kind"], row["rmap_item"], row["flags"] & Flag.FREED
        if kind == EventKind.PROCESS:
            yield None
            continue
        shows = kind in (EventKind.STABLE_APPEND, EventKind.SKIPPED)
        shows |= kind == EventKind.CMP_AND_MERGE_PAGE and not freed
        if item not in alive and shows:
            alive[item] = next(count)
        yield alive.get(item)
        if kind == EventKind.REMOVE_RMAP_ITEM and freed:
            alive.pop(item, None)


@given(st.lists(ROWS, max_size=6))
def test_each_life_has_a_number_of_its_own_while_it_lasts(batches):
    table, alive, count = ItemTable(), {}, iter(range(10**6))
    number_of = {}  # life -> number
    for rows in batches:
        before = dict(alive)
        batch = events(*rows)
        ids = table.resolve(batch).tolist()
        in_use = {number_of[life] for life in before.values()}
        for row, life, number in zip(rows, lives(rows, alive, count), ids, strict=True):
            if life is None:
                assert number == -1
                continue
            if life not in number_of:
                assert number not in in_use
                assert number in table.born
                in_use.add(number)
                number_of[life] = number
            assert number == number_of[life]
            assert table.mm[number] == row["mm"]
            assert table.address[number] == row["address"]
        now = sorted(number_of[life] for life in alive.values())
        assert table.numbers().tolist() == now
        assert len(table) == len(now)


def test_memory_is_bounded_by_what_is_alive():
    table = ItemTable()
    for beat in range(50):
        base = 0x10000 * (beat + 1)
        rows = [
            {"kind": EventKind.CMP_AND_MERGE_PAGE, "rmap_item": base + 64 * i} for i in range(600)
        ]
        rows += [
            {"kind": EventKind.REMOVE_RMAP_ITEM, "rmap_item": base + 64 * i, "flags": Flag.FREED}
            for i in range(600)
        ]
        ids = table.resolve(events(*rows))
        assert ids.max() < 2 * 600
    assert len(table) == 0
    assert table.capacity <= 2048
    assert not np.any(table.alive)
