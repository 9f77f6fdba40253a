"""The stream as text: every event once, as it is, and the chosen ones alone."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ksmtrace.events import RECORD, EventBatch, EventKind, Flag
from ksmtrace.listing.choice import Choice, Span, kind_named
from ksmtrace.listing.lines import HEAD, event_lines
from ksmtrace.listing.unseen import unseen_lines
from ksmtrace.listing.words import FUNCTIONS, READINGS, words_of
from ksmtrace.session import Exactness, Knowledge, Probe
from support.streams import events, session

MMS = (0, 0x1000, 0x2000, 0x3000)
EVERYTHING = tuple(EventKind)

PLAIN = st.fixed_dictionaries(
    {
        "kind": st.sampled_from((*EventKind, 200)).map(int),
        "mm": st.sampled_from(MMS),
        "address": st.integers(0, 9).map(lambda page: page << 12),
        "aux": st.integers(0, 5),
        "flags": st.integers(0, 255),
        "err": st.sampled_from((0, -14, -4095)),
    }
)


def lines(batches, **choice):
    head, *found = event_lines(batches, Choice(**choice), session())
    assert head == HEAD
    return found


def function_of(line):
    return line.split()[2]


def naive(rows):
    """(function, pid, pass) of each event, followed one by one."""
    pids, number, found = {}, None, []
    for row in rows:
        kind, mm = row["kind"], row["mm"]
        if kind == EventKind.PROCESS:
            pids[mm] = row["aux"]
        if kind == EventKind.SCAN_START:
            number = row["aux"]
        found.append((kind, row["aux"] if kind == EventKind.SNAPSHOT else pids.get(mm), number))
        if kind == EventKind.SCAN_STOP:
            number = None
    return found


@settings(max_examples=500)
@given(st.lists(PLAIN, max_size=40), st.integers(0, 40))
def test_a_line_an_event_wherever_the_stream_is_cut(rows, cut):
    whole = lines([events(*rows)], kinds=EVERYTHING)
    known = [row for row in rows if row["kind"] != 200]
    assert [function_of(line) for line in whole] == [FUNCTIONS[row["kind"]] for row in known]
    batch = events(*rows).events
    halves = [EventBatch(batch[:cut]), EventBatch(batch[cut:])]
    assert [line.split()[1:] for line in lines(halves, kinds=EVERYTHING)] == [
        line.split()[1:] for line in whole
    ]


@settings(max_examples=500)
@given(
    st.lists(PLAIN, max_size=40),
    st.sets(st.sampled_from(EVERYTHING)),
    st.sets(st.sampled_from(MMS[1:])),
    st.sets(st.integers(1, 5)),
    st.none() | st.tuples(st.integers(0, 5), st.integers(0, 5)).map(sorted),
)
def test_what_is_chosen(rows, kinds, mms, pids, passes):
    # an exit and a registration between two names make two processes of an mm
    rows = [row for row in rows if row["kind"] not in (EventKind.MM_ENTER, EventKind.MM_EXIT, 200)]
    found = lines(
        [events(*rows)],
        kinds=tuple(kinds) or EVERYTHING,
        mms=tuple(mms),
        pids=tuple(pids),
        passes=() if passes is None else (Span(*passes),),
    )
    wanted = [
        FUNCTIONS[kind]
        for row, (kind, pid, number) in zip(rows, naive(rows), strict=True)
        if not kinds or kind in kinds
        if not mms or row["mm"] in mms
        if not pids or (pid in pids and (row["mm"] or kind == EventKind.SNAPSHOT))
        if passes is None or (number is not None and passes[0] <= number <= passes[1])
    ]
    assert [function_of(line) for line in found] == wanted


def test_a_page_is_named_by_any_of_its_addresses():
    rows = [
        {"kind": EventKind.CMP_AND_MERGE_PAGE, "mm": 0x1000, "address": page << 12}
        for page in range(1, 6)
    ]
    rows.append({"kind": EventKind.SAMPLE, "address": 2 << 12})
    found = lines([events(*rows)], addresses=(Span(0x2ABC, 0x3000),))
    assert [line.split("address=")[1].split()[0] for line in found] == ["0x2000", "0x3000"]


def test_readings_are_left_out_unless_asked_for():
    rows = [{"kind": kind, "mm": 0x1000} for kind in EventKind]
    assert {function_of(line) for line in lines([events(*rows)])} == {
        FUNCTIONS[kind] for kind in set(EventKind) - READINGS
    }


def test_every_kind_is_called_something_and_found_by_it():
    assert set(FUNCTIONS) == set(EventKind)
    assert max(Counter(FUNCTIONS.values()).values()) == 1
    for kind, function in FUNCTIONS.items():
        assert kind_named(function) is kind_named(kind.name) is kind
    with pytest.raises(ValueError, match="'madvise' is no kind of event"):
        kind_named("madvise")


@given(st.binary(min_size=RECORD.itemsize, max_size=RECORD.itemsize))
@example(events({"kind": EventKind.TUNABLE, "mm": 1 << 56}).events.tobytes())
@example(events({"kind": EventKind.TUNABLE, "mm": 0x20, "rmap_item": 0x1B}).events.tobytes())
def test_any_record_has_words_on_one_line(raw):
    (event,) = np.frombuffer(raw, dtype=RECORD)
    text = " ".join(map(str, words_of(event)))
    assert text.isprintable()
    assert all("=" in word for word in text.split())


def test_what_is_not_seen_of_what_is_chosen():
    """As a capture by tracepoints has it, one by windows, and one whose stream has ended."""
    full = session(unseen=[EventKind.BREAK_COW, EventKind.SAMPLE])
    probes = {
        **full.probes,
        EventKind.SKIPPED: Probe("x", Exactness.SAMPLED, "", "pages_skipped"),
        EventKind.COW_FAULT: Probe("x", Exactness.SAMPLED, share=0.025),
        EventKind.STABLE_APPEND: Probe("x", Exactness.EXACT, counted=True),
        EventKind.REPLACE_PAGE: Probe("x", Exactness.DERIVED, "by its result"),
        EventKind.MM_ENTER: Probe("x", Exactness.EXACT, "at its entry"),
    }
    of = replace(full, probes=probes)
    assert list(unseen_lines(of, Choice())) == [
        "# replace_page: derived: by its result",
        "# break_cow: not seen: test",
        "# stable_tree_append: counted, not shown one by one: see --kind total",
        "# should_skip_rmap_item: not seen one by one: its counter is pages_skipped",
        "# do_wp_page: seen 2.5% of the time, in windows",
    ]
    assert list(unseen_lines(of, Choice(kinds=(EventKind.SAMPLE,)))) == ["# sample: not seen: test"]
    assert not list(unseen_lines(of, Choice(kinds=(EventKind.MM_ENTER, EventKind.LOST))))


def test_what_has_no_trees_shows_none_and_what_is_called_otherwise_is_told():
    """Of zero-page, a checksum would be one that nobody made; PKSM's functions are others."""
    row = {"kind": EventKind.CMP_AND_MERGE_PAGE, "mm": 0x1000, "address": 0x5000}
    facts = session()
    for lacks, shown in (({Knowledge.TREES}, False), ({Knowledge.CHECKSUMS}, True)):
        probe = Probe("engine:scan_batch", Exactness.EXACT, lacks=frozenset(lacks))
        probes = {**facts.probes, EventKind.CMP_AND_MERGE_PAGE: probe}
        found = list(event_lines([events(row)], Choice(), replace(facts, probes=probes)))
        assert ("checksum=" in found[-1], "tree=" in found[-1]) == (shown, shown)
        assert not [line for line in found if "here" in line]
    others = replace(probe, lacks=frozenset({Knowledge.KSM_FILES}))
    probes = {**facts.probes, EventKind.CMP_AND_MERGE_PAGE: others}
    told = list(unseen_lines(replace(facts, probes=probes), Choice()))
    assert "# cmp_and_merge_page: here scan_batch" in told
    same = replace(others, via="engine:cmp_and_merge_page")
    probes = {**facts.probes, EventKind.CMP_AND_MERGE_PAGE: same}
    told = list(unseen_lines(replace(facts, probes=probes), Choice()))
    assert not [line for line in told if line.startswith("# cmp_and_merge_page")]


def test_a_zero_page_that_is_written_to_is_told_as_one():
    for flags, words in ((0, []), (Flag.ZERO_PAGE, ["zero_page=1"])):
        row = {"kind": EventKind.COW_FAULT, "mm": 0x1000, "address": 0x5000, "flags": flags}
        (line,) = lines([events(row)])
        assert line.split()[5:] == words
