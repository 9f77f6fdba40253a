"""The heat map: which state a cell shows, how maps coarsen, whose maps are kept."""

import io
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from unit.engine.machines import machine, repeated

from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.engine.trace.emitter import Emitter
from ksmtrace.events import EventKind
from ksmtrace.plugins.heat_map import MOST_PROCESSES
from ksmtrace.plugins.heat_map.grid import LEAST_ROW_SHIFT, MOST_COLUMNS, MOST_ROWS, Grid, State
from ksmtrace.plugins.heat_map.view import LETTERS
from support.runs import (
    EMPTY,
    FREED,
    IN_STABLE,
    IN_UNSTABLE,
    TO_STABLE,
    TO_UNSTABLE,
    analyse,
    any_row,
    appended,
    examined,
    exit_of,
    lost,
    plugin,
    process,
    removed,
    runner,
    series,
    start,
    stop,
)
from support.streams import events, session

M, C, V, S, X, U = (
    *(State.MERGED, State.CANDIDATE, State.VOLATILE),
    *(State.SKIPPED, State.GONE, State.UNKNOWN),
)


def told(rows, **how):
    return analyse([*EMPTY, *rows], "heat_map", **how).document["analyzers"]["heat_map"]


def grid_of(*passes, whole=True):
    """A grid after passes, each a dict of address to State."""
    grid = Grid()
    for pages in passes:
        grid.add(
            np.array(list(pages), dtype=np.uint64),
            np.array(list(pages.values()), dtype=np.uint8),
            whole=whole,
        )
    return grid


def test_a_cell_says_where_most_of_its_pages_are():
    page = 4096
    grid = grid_of(
        {0: V, page: V, 2 * page: M, 1 << 20: C},
        {0: M, page: V, 2 * page: M, 1 << 20: S},
        {0: M, 1 << 20: S},
        {},
    )
    assert grid.rows() == [0, 1 << 20]
    assert grid.cells().tolist() == [[V, M, X, X], [C, S, S, X]]


def test_a_pass_not_seen_whole_says_nothing():
    grid = grid_of({0: M})
    grid.add(np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.uint8), whole=False)
    grid.add(np.array([0], dtype=np.uint64), np.array([M], dtype=np.uint8), whole=True)
    assert grid.cells().tolist() == [[M, U, M]]


def test_columns_merge_two_by_two():
    passes = [
        {0: M, 4096: M, 8192: M} if beat < 127 else {0: C, 4096: C, 8192: C} for beat in range(129)
    ]
    grid = grid_of(*passes)
    assert (grid.passes_per_column, grid.columns) == (2, 65)
    assert grid.cells()[0].tolist() == [M] * 64 + [C]  # a tie in the 64th: the lower state


def test_rows_double_when_there_are_too_many():
    grid = grid_of({row << LEAST_ROW_SHIFT: M for row in range(MOST_ROWS)})
    assert len(grid.rows()) == MOST_ROWS
    grid.add(
        np.array([MOST_ROWS << LEAST_ROW_SHIFT], dtype=np.uint64),
        np.array([C], dtype=np.uint8),
        whole=True,
    )
    assert grid.row_shift == LEAST_ROW_SHIFT + 1
    assert grid.rows() == [row << LEAST_ROW_SHIFT + 1 for row in range(MOST_ROWS // 2 + 1)]
    assert grid.cells()[:, 0].tolist() == [M] * (MOST_ROWS // 2) + [U]
    assert grid.cells()[:, 1].tolist() == [X] * (MOST_ROWS // 2) + [C]


_pages = st.dictionaries(
    st.integers(0, 2**45).map(lambda page: page << 12) | st.integers(0, 200).map(lambda r: r << 16),
    st.sampled_from((M, C, V, S)),
    max_size=90,
)


@settings(deadline=None)
@given(st.lists(_pages, max_size=8), st.integers(0, 300))
def test_a_grid_is_bounded_and_forgets_no_page(passes, more):
    every = [*passes, *[passes[-1] if passes else {}] * more]
    grid = grid_of(*every)
    assert len(grid.rows()) <= MOST_ROWS
    assert grid.columns <= MOST_COLUMNS
    assert grid.rows() == sorted(set(grid.rows()))
    expected = Counter()
    for number, pages in enumerate(every):
        for address, state in pages.items():
            row = grid.rows().index(address >> grid.row_shift << grid.row_shift)
            expected[row, number // grid.passes_per_column, int(state)] += 1
    counts = grid._counts[:, :, : State.GONE]
    assert {tuple(at): int(counts[tuple(at)]) for at in np.argwhere(counts).tolist()} == expected
    assert grid.view(8, 22).shape[0] <= 8


def test_states_are_those_of_the_engine():
    """A region for each page, so that each has a row of its own; every pass against the engine's
    trees."""
    emitter = Emitter()
    engine = machine("ksm-6.12", watcher=emitter, smart_scan=1)
    emitter.sample(engine.scanner.readings())
    batches = [emitter.take()]
    engine.spawn("p")
    for number, byte in enumerate((1, 1, 1, 2, 3, 4, 4)):
        engine.map("p", f"r{number}", 1)
        engine.fill("p", f"r{number}", 0, 1, repeated(byte))
        engine.mergeable("p", f"r{number}", 0, 1)
    mm = engine.processes["p"].mm
    columns, skipped = [], set()
    for beat in range(9):
        engine.poke("p", "r3", 0, 1, 0, beat + 50)
        if beat == 6:
            engine.unmap("p", "r0", 0, 1)
        engine.scan_passes(1)
        batch = emitter.take()
        batches.append(batch)
        skipped = set(batch.of(EventKind.SKIPPED)["address"].tolist())
        columns.append(engine_states(mm, skipped))
    document = runner(batches, {"heat_map": plugin("heat_map")}, interval=3600).run().document
    (found,) = document["analyzers"]["heat_map"]["processes"]
    assert found["row_bytes"] == 1 << LEAST_ROW_SHIFT
    drawn = {int(row["start"], 16): row["cells"] for row in found["rows"]}
    assert set(drawn) == set(columns[0])
    for address, cells in drawn.items():
        assert cells == "".join(column.get(address, "x") for column in columns)
    letters = "".join(drawn.values())
    assert all(letter in letters for letter in "mcvsx")


def engine_states(mm, skipped):
    """The letter of each page that ksmd tracks, by address."""
    found = {}
    items = (item for block in mm.ptes.blocks.values() for item in block.items)
    for item in filter(None, items):
        address = item.vpn << 12
        outside = "s" if address in skipped else "v"
        found[address] = {Tree.STABLE: "m", Tree.UNSTABLE: "c", Tree.NEITHER: outside}[item.tree]
    return found


def test_the_largest_processes_have_maps():
    rows = [start(0)]
    item = 0
    for mm in range(1, MOST_PROCESSES + 4):
        rows.append(process(mm, mm, b"x"))
        for _ in range(mm):
            item += 1
            rows.append(examined(64 * item, mm=mm, old=0, new=1))
    rows.append(stop(0))
    found = told(rows)["processes"]
    assert [one["pid"] for one in found] == list(range(MOST_PROCESSES + 3, 3, -1))
    assert [one["rmap_items"] for one in found] == [one["pid"] for one in found]


def test_a_process_that_is_gone_keeps_its_map_while_there_is_room():
    rows = [process(1, 11, b"old"), start(0), examined(64, mm=1, new=1), stop(0)]
    rows += [removed(64, FREED, mm=1), exit_of(1), start(1), stop(1)]
    (old,) = told(rows)["processes"]
    assert (old["pid"], old["rmap_items"], old["rows"][0]["cells"]) == (11, 0, "vx")
    for mm in range(2, MOST_PROCESSES + 2):
        rows += [
            process(mm, 100 + mm, b"new"),
            start(mm),
            examined(64 * mm, mm=mm, new=1),
            stop(mm),
        ]
    assert 11 not in [one["pid"] for one in told(rows)["processes"]]


def test_after_a_loss_nothing_is_called_gone():
    rows = [start(0), examined(64, new=1), stop(0), start(1), lost(), stop(1)]
    rows += [start(2), examined(64, IN_UNSTABLE | TO_UNSTABLE, old=1, new=1), stop(2)]
    found = told(rows)["processes"]
    assert [row["cells"] for row in found[0]["rows"]] == ["v.c"]


def test_merged_pages_and_the_scale_are_told():
    rows = [process(1, 5, b"[b]x[/]\x1b[1m")]
    for beat in range(MOST_COLUMNS + 1):
        rows += [start(beat), appended(64, 7, new=True)] if not beat else [start(beat)]
        flags = TO_STABLE if not beat else IN_STABLE | TO_STABLE
        rows += [examined(64, flags, old=1, new=1, node=7), stop(beat)]
    snapshot = analyse([*EMPTY, *rows], "heat_map")
    section = dict(snapshot.sections)["heat_map"]
    assert section.lead == "Of 1 page that ksmd tracks: 100% merged. Most are of [b]x[/]?[1m 5."
    (chart,) = section.charts
    assert (chart.kind, chart.note) == ("heat", "one column = 2 passes, one row = 64 KiB")
    assert chart.series == {"0x0": [0.0] * 65}
    assert len(chart.x) == 65
    console = Console(file=io.StringIO(), width=26)
    for _, panel in snapshot.panels:
        console.print(panel)
    drawn = console.file.getvalue()
    assert "[b]x[/]?[1m 5" in drawn
    assert "█" * 22 in drawn
    assert "column 2 passes" in drawn
    assert "\x1b" not in drawn
    assert series(snapshot.metrics)["ksmtrace_rmap_item_pages", (("state", "merged"),)] == 1


def test_what_is_not_seen_is_null():
    snapshot = analyse(EMPTY, "heat_map", of=session(unseen=[EventKind.REMOVE_RMAP_ITEM]))
    assert set(snapshot.document["analyzers"]["heat_map"].values()) == {None}
    assert "no map" in dict(snapshot.sections)["heat_map"].lead
    assert not [name for name, _ in series(snapshot.metrics) if "rmap_item_pages" in name]


def placed(row):
    """The row with an address that its rmap_item alone has."""
    if row["kind"] == EventKind.PROCESS or "rmap_item" not in row:
        return row
    return {**row, "address": row["rmap_item"] << 15}


@st.composite
def streams(draw):
    row = any_row | st.builds(start) | st.builds(stop)
    rows = [*EMPTY, *map(placed, draw(st.lists(row, max_size=80)))]
    return rows, draw(st.lists(st.integers(1, len(rows)), max_size=12, unique=True))


@settings(deadline=None, max_examples=200)
@given(streams())
def test_the_way_batches_are_cut_changes_nothing(stream):
    rows, cuts = stream
    whole, cut = analyse(rows, "heat_map"), analyse(rows, "heat_map", cuts=cuts)
    assert cut.document["analyzers"] == whole.document["analyzers"]
    assert dict(cut.sections) == dict(whole.sections)


@pytest.mark.parametrize("times", [[9, 3, 1], [2**63, 1, 2**64 - 1]])
def test_a_clock_that_steps_back_does_no_harm(times):
    rows = []
    for beat, ts in enumerate(times):
        rows += [{**row, "ts": ts} for row in (start(beat), examined(64, new=1), stop(beat))]
    assert told(rows)["passes"] == 3


def test_letters_differ():
    assert len(set(LETTERS.values())) == len(State)


def test_memory_does_not_grow_with_passes():
    instance = plugin("heat_map")
    rows = [*EMPTY]
    for beat in range(600):
        rows += [process(beat + 1, beat, b"x"), start(beat)]
        rows += [examined(64 * beat + 64, mm=beat + 1, new=1), stop(beat)]
        rows += [removed(64 * beat + 64, FREED, mm=beat + 1), exit_of(beat + 1)]
    runner([events(*rows)], {"heat_map": instance}, interval=3600).run()
    assert len(instance._maps) == MOST_PROCESSES
    assert all(len(one.grid.rows()) <= MOST_ROWS for one in instance._maps.values())
