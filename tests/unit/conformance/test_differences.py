"""One changed outcome in a stream is found where it is, and under the right rule."""

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from unit.engine.machines import machine, region
from unit.engine.strategies import workloads

from ksmtrace.conformance.removals import Removals
from ksmtrace.conformance.shadow import Shadow
from ksmtrace.conformance.verdicts import Verdicts
from ksmtrace.engine.trace.emitter import Emitter
from ksmtrace.engine.trace.visibility import engine_session
from ksmtrace.engine.variants import KERNELS
from ksmtrace.events import EventBatch, EventKind, Flag, Gauge, empty_records
from ksmtrace.events.row import rows_of
from support.engine_streams import followed, recorded, without_writes
from support.workload_steps import workload

E = EventKind
AFTER = int(Flag.STABLE_AFTER | Flag.UNSTABLE_AFTER)


def where(records, kind, *, has=0, lacks=0, **columns):
    """Places of the records of a kind with these flags, without those, and with these values."""
    found = (records["kind"] == kind) & (records["flags"] & has == has)
    found &= records["flags"] & lacks == 0
    for name, value in columns.items():
        found &= records[name] == value
    return np.flatnonzero(found).tolist()


def left_out(records, at):
    return np.delete(records, at)


def changed(column, value):
    def change(records, at):
        records[column][at] = value(int(records[column][at]))
        return records

    return change


def as_skipped(records, at):
    records["kind"][at], records["flags"][at] = E.SKIPPED, 0
    return records


def swapped(records, at):
    """The page and the one after it the other way round."""
    first, second = records[at].copy(), records[at + 1].copy()
    records[at], records[at + 1] = second, first
    return records


def settled(records):
    """Settled candidates of the same process that follow each other."""
    both = int(Flag.STABLE_BEFORE | Flag.STABLE_AFTER)
    places = set(where(records, E.CMP_AND_MERGE_PAGE, has=both))
    return [
        at
        for at in sorted(places)
        if at + 1 in places
        and at - 1 in places
        and records["mm"][at] == records["mm"][at + 1]
        and records["address"][at] < records["address"][at + 1]
    ]


def changed_pages(records):
    moved = records["oldchecksum"] != records["checksum"]
    return [at for at in where(records, E.CMP_AND_MERGE_PAGE, lacks=AFTER) if moved[at]]


def unshared(records):
    return where(records, E.CMP_AND_MERGE_PAGE, has=Flag.UNSTABLE_AFTER, lacks=Flag.STABLE_AFTER)


def gauges_of_passes(records):
    return where(records, E.SAMPLE, has=Flag.AT_SCAN_STOP, address=Gauge.PAGES_SHARED)


def seen_again(records, at):
    """Whether ksmd comes back to the page: what is forgotten first cannot be found out."""
    later = records[at + 1 :]
    later = later[later["rmap_item"] == records["rmap_item"][at]]
    named = np.isin(later["kind"], (E.CMP_AND_MERGE_PAGE, E.REMOVE_RMAP_ITEM, E.SKIPPED))
    later = later[named]
    return len(later) > 0 and later["kind"][0] == E.CMP_AND_MERGE_PAGE


def removals(records):
    """Removals that nothing else explains: a stable node that goes takes its rmap_items along."""
    found = where(records, E.REMOVE_RMAP_ITEM, lacks=Flag.FREED)
    gone = where(records, E.REMOVE_STABLE_NODE)
    return [
        at for at in found if at + 1 not in gone or records["aux"][at] != records["aux"][at + 1]
    ]


FLIPS = {
    "a changed page put into the unstable tree": (
        changed_pages,
        changed("flags", lambda flags: flags | Flag.UNSTABLE_AFTER),
        {"checksum"},
    ),
    "a changed page with another checksum": (
        changed_pages,
        changed("checksum", lambda _: 0xBADC0DE),
        {"state", "stable_search"},
    ),
    "an unshared page left out of the unstable tree": (
        unshared,
        changed("flags", lambda flags: flags & ~Flag.UNSTABLE_AFTER),
        {"state", "gauges", "removal", "unstable_search", "two_halves", "order"},
    ),
    "an unshared page said to be stable": (
        unshared,
        changed("flags", lambda flags: flags | Flag.STABLE_AFTER),
        {"outcome"},
    ),
    "an append left out": (lambda r: where(r, E.STABLE_APPEND), left_out, {"append"}),
    "the first append of a node called a later one": (
        lambda r: where(r, E.STABLE_APPEND, has=Flag.NEW_NODE),
        changed("flags", lambda _: 0),
        {"append"},
    ),
    "a later append called the first": (
        lambda r: where(r, E.STABLE_APPEND, lacks=Flag.NEW_NODE),
        changed("flags", lambda _: int(Flag.NEW_NODE)),
        {"append"},
    ),
    "a merge said to have failed": (
        lambda r: where(
            r, E.TRY_TO_MERGE_ONE_PAGE, has=Flag.HAS_KPAGE, lacks=Flag.ZERO_PAGE, err=0
        ),
        changed("err", lambda _: -14),
        {"order", "two_halves"},
    ),
    "a replacement left out": (
        lambda r: where(r, E.REPLACE_PAGE),
        left_out,
        {"order", "two_halves", "zero_page"},
    ),
    "a removal left out": (
        removals,
        left_out,
        {"order", "two_halves", "state", "removal", "gauges"},
    ),
    "a removal from the other tree": (
        lambda r: where(r, E.REMOVE_RMAP_ITEM, has=Flag.UNSTABLE_BEFORE),
        changed("flags", lambda flags: flags ^ (Flag.UNSTABLE_BEFORE | Flag.STABLE_BEFORE)),
        {"removal"},
    ),
    "a freed rmap_item kept": (
        lambda r: where(r, E.REMOVE_RMAP_ITEM, has=Flag.FREED),
        left_out,
        {
            *("scan_order", "whole_pass", "gauges", "state"),
            *("removal", "stable_search", "sharing_limit", "append"),
        },
    ),
    "two pages in the other order": (settled, swapped, {"scan_order"}),
    "a page examined twice": (settled, lambda r, at: np.insert(r, at, r[at]), {"scan_order"}),
    "a KSM page passed over": (settled, as_skipped, {"smart_scan", "removal"}),
    "a settled page with another node": (
        settled,
        changed("aux", lambda node: node + 64),
        {"settled"},
    ),
    "a page left out": (settled, left_out, {"scan_order", "whole_pass"}),
    "a gauge": (gauges_of_passes, changed("aux", lambda value: value + 1), {"gauges"}),
}  # fmt: skip
"""What is flipped: where it can be, how, and the rules that may find it first."""

SHOWS_LATER = {
    "a changed page with another checksum",
    "a removal left out",
    "a KSM page passed over",
}


@pytest.mark.parametrize("name", FLIPS)
def test_a_flipped_outcome_is_found(name):
    places, flip, rules = FLIPS[name]
    tried = 0

    @settings(
        max_examples=12,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(workloads(variants=tuple(KERNELS)), st.data())
    def flipped(workload, data):
        nonlocal tried
        session, records = recorded(workload)
        stops = where(records, E.SCAN_STOP)
        found = [at for at in places(records) if at < stops[-1] or name == "a gauge"]
        if name == "a KSM page passed over":  # else smart_scan may have been switched on
            assume(session.tunables.get("smart_scan") != "0")
        if name in SHOWS_LATER:
            found = [at for at in found if seen_again(records, at)]
        assume(found)
        at = data.draw(st.sampled_from(found))
        replay = followed(session, flip(records.copy(), at))
        first = replay.to_json()["first_difference"]
        assert first is not None, at
        assert first["event"] >= at - 1
        assert first["rule"] in rules, first["sentence"]
        tried += 1

    flipped()
    assert tried


TWINS = ("spawn a", "map a r 5", "fill a r content=byte:97", "mergeable a r", "scan 3")


def first_sentence(records_of, flip, **tunables):
    session, records = recorded(workload(*records_of, **{"smart_scan": 0, **tunables}))
    return followed(session, flip(records.copy())).first_difference


def test_a_volatile_page_in_the_unstable_tree_is_explained():
    def flip(records):
        records["flags"][where(records, E.CMP_AND_MERGE_PAGE)[0]] = int(Flag.UNSTABLE_AFTER)
        return records

    said = first_sentence(TWINS, flip)
    assert "in pass 0" in said
    assert "put it into the unstable tree although its checksum had changed" in said
    assert "the engine expected it to be in neither tree until the next pass" in said
    assert "cmp_and_merge_page: a page whose checksum changed is left alone" in said


def test_a_failed_second_half_without_break_cow_is_explained():
    emitter = Emitter()
    engine = machine("ksm-6.1", watcher=emitter)
    session = engine_session(engine.variant, engine.scanner)
    emitter.take()
    emitter.sample(engine.scanner.readings())
    region(engine, "p", "r", [1, 1])
    engine.pin("p", "r", 0)
    engine.scan_passes(3)
    records = emitter.take().events
    undone = where(records, E.BREAK_COW)
    assert followed(session, records).first_difference is None
    said = followed(session, np.delete(records, undone[0])).first_difference
    assert "the engine expected BREAK_COW of rmap_item" in said
    assert "try_to_merge_two_pages" in said


def test_a_page_that_joins_another_node_than_its_partner_is_explained():
    rows = ("spawn a", "map a r 7", "fill a r content=byte:97", "mergeable a r", "scan 3")
    session, records = recorded(workload(*rows, smart_scan=0, max_page_sharing=2))
    assert followed(session, records).first_difference is None
    nodes = records["aux"][where(records, E.STABLE_APPEND, has=Flag.NEW_NODE)]
    last = where(records, E.STABLE_APPEND, lacks=Flag.NEW_NODE)[-1]
    item = records["rmap_item"][last]
    moved = records.copy()
    of_item = (records["rmap_item"] == item) & (records["aux"] == nodes[-1])
    moved["aux"][of_item] = nodes[0]
    assert "the node of its partner" in followed(session, moved).first_difference


def test_a_page_that_passes_over_a_ksm_page_with_room_is_explained():
    """The kernel puts a page into the unstable tree though an equal one is stable.

    Later another page joins that one.
    """
    rows = (
        *(*TWINS, "map a late 1", "fill a late content=byte:97", "mergeable a late", "scan 2"),
        *("map a later 1", "fill a later content=byte:97", "mergeable a later", "scan 2"),
    )
    session, records = recorded(workload(*rows, smart_scan=0))
    joined = where(records, E.STABLE_APPEND, lacks=Flag.NEW_NODE)[-2]
    closing = next(at for at in where(records, E.CMP_AND_MERGE_PAGE) if at > joined)
    records["flags"][closing] = int(Flag.UNSTABLE_AFTER)
    records["aux"][closing] = 0
    attempt = where(records, E.TRY_TO_MERGE_ONE_PAGE)[-2]
    flipped = np.delete(records, range(attempt, joined + 1))
    said = followed(session, flipped).first_difference
    assert "passed over node" in said
    assert "of 5 sharers" in said
    assert "the engine expected it to join that node (stable_tree_search" in said


@pytest.mark.parametrize(
    ("kernel", "engine", "rule"),
    [("ksm-6.1", "ksm-6.12", "checksum"), ("ksm-6.12", "ksm-6.1", "stable_search")],
)
def test_the_order_of_6_11_is_told_from_that_before(kernel, engine, rule):
    """A late twin's records, followed by the variant of the other order."""
    rows = (*TWINS, "map a late 1", "fill a late content=byte:97", "mergeable a late", "scan 2")
    settings = {} if kernel == "ksm-6.1" else {"smart_scan": 0}
    session, records = recorded(workload(*rows, **settings), kernel)
    assert followed(session, records).first_difference is None
    replay = followed(session, records, variant=KERNELS[engine])
    assert replay.to_json()["first_difference"]["rule"] == rule


def test_one_page_not_passed_over_is_a_difference_two_are_a_write():
    """Where the capture does not hold writes; where it does, each is a difference."""
    rows = ("spawn a", "map a r 6", "fill a r content=unique:1", "mergeable a r", "scan 12")
    session, records = recorded(workload(*rows, smart_scan=1))
    skips = where(records, E.SKIPPED)

    def examined(*places):
        # As a page that was looked at, and left alone for want of a mapping.
        changed = records.copy()
        for at in sorted(places, reverse=True):
            changed["kind"][at] = E.CMP_AND_MERGE_PAGE
            changed["flags"][at] = int(Flag.UNSTABLE_BEFORE)
            sums = records["checksum"][records["rmap_item"] == records["rmap_item"][at]]
            changed["oldchecksum"][at] = changed["checksum"][at] = sums.max()
            if records["kind"][at + 1] == E.REMOVE_RMAP_ITEM:
                changed[[at, at + 1]] = changed[[at + 1, at]]
        assert followed(session, changed).to_json()["by_rule"]["smart_scan"]["parted"] == len(
            places
        )
        return followed(*without_writes(session, changed)).to_json()

    one = examined(skips[0])
    assert one["first_difference"]["rule"] == "smart_scan"
    assert one["first_difference"]["kernel"] == "examined the page"
    two = examined(skips[0], skips[1])
    assert two["by_rule"]["smart_scan"]["parted"] == 0
    assert two["by_rule"]["smart_scan"]["unknown"] > 2


def test_two_pages_in_the_other_order_are_explained():
    def flip(records):
        return swapped(records, settled(records)[0])

    session, records = recorded(workload(*TWINS, smart_scan=0))
    first = followed(session, flip(records.copy())).to_json()["first_difference"]
    assert first["rule"] == "scan_order"
    assert first["kernel"] == "left 1 rmap_items on the way that have no page"
    rest = followed(session, flip(records.copy())).to_json()["differences"][1]
    assert rest["rule"] == "scan_order"
    assert re.fullmatch("came to it after 0x[0-9a-f]+", rest["kernel"])


def test_a_process_that_a_pass_comes_back_to_is_explained():
    rows = (*TWINS[:-1], "fork a child=b", "scan 3")
    session, records = recorded(workload(*rows, smart_scan=0))
    *_, named = where(records, E.PROCESS)  # between the last page of one and the first of another
    moved = np.concatenate(
        [
            records[: named - 1],
            records[named : named + 2],
            records[[named - 1]],
            records[named + 2 :],
        ]
    )
    found = followed(session, moved).to_json()["differences"]
    assert [(one["rule"], one["kernel"]) for one in found[:2]] == [
        ("scan_order", "left 1 rmap_items on the way that have no page"),
        ("scan_order", "came back to a process that this pass had left"),
    ]


@pytest.mark.parametrize(("flags", "complete"), [(0, False), (Flag.NEW_NODE, True)])
def test_a_node_of_which_a_late_stream_shows_an_append_is_complete_if_that_was_its_first(
    flags, complete
):
    """Otherwise earlier sharers are not known, and nothing is judged of its room."""
    append = empty_records(1)
    append["kind"], append["flags"] = E.STABLE_APPEND, flags
    append["rmap_item"], append["mm"], append["aux"] = 0x40, 0x1000, 0x9000
    shadow = Shadow(KERNELS["ksm-6.18"], complete=False)
    Removals(shadow, Verdicts()).apply(rows_of(EventBatch(append)))
    assert shadow.nodes[0x9000].complete == complete
    assert [item.key for item in shadow.nodes[0x9000].items] == [0x40]
