"""The engine compared with its own runs: there is no difference, whatever the stream lacks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.engine.strategies import workloads

from ksmtrace.engine.variants import KERNELS
from ksmtrace.events import EventKind, Gauge, empty_records
from ksmtrace.events.tunable import tunable_writes
from support.engine_streams import followed, recorded, without_writes
from support.random_workloads import random_workloads, sample_workloads

streams = workloads(variants=tuple(KERNELS))


@settings(max_examples=40, deadline=None)
@given(streams)
def test_all_variants_agree_with_themselves(workload):
    replay = followed(*recorded(workload))
    found = replay.to_json()
    assert found["differences"] == []
    assert found["variant"] == workload.variant
    assert found["agreed"] > 2 * found["unknown"]


def with_writes(variant):
    """Runs whose steps write tunables."""
    absent = KERNELS[variant].absent_tunables
    for one in sample_workloads(12, number=5, without=absent):
        tunables = {name: value for name, value in one.tunables.items() if name not in absent}
        yield recorded(replace(one, variant=variant, tunables=tunables))


OF_TUNABLES = ("sharing_limit", "smart_scan", "zero_page")


@pytest.mark.parametrize("variant", KERNELS)
def test_writes_of_tunables_are_followed(variant):
    """Nothing that they explain is unknown, and at the end the tunables are the engine's own."""
    written = 0
    for session, records in with_writes(variant):
        writes = tunable_writes(records)
        written += len(writes)
        replay = followed(session, records)
        found = replay.to_json()
        assert found["differences"] == []
        assert [found["by_rule"][name]["unknown"] for name in OF_TUNABLES] == [0, 0, 0]
        for name, value in found["tunables"].items():
            last = [one.text for one in writes if one.name == name and not one.err]
            assert str(value) == [session.tunables[name], *last][-1]
    assert written > 10


@pytest.mark.parametrize("variant", KERNELS)
def test_without_the_records_what_a_write_explains_is_unknown(variant):
    agreed = unknown = 0
    for session, records in with_writes(variant):
        found = followed(*without_writes(session, records)).to_json()
        assert found["differences"] == []
        agreed += found["agreed"]
        unknown += found["unknown"]
    assert agreed > 20 * unknown


@settings(max_examples=10, deadline=None)
@given(random_workloads(huge=True, most_steps=12))
def test_huge_pages_make_no_difference(workload):
    assert followed(*recorded(workload)).to_json()["differences"] == []


@settings(max_examples=40, deadline=None)
@given(streams, st.data())
def test_joining_late_makes_no_difference(workload, data):
    session, records = recorded(workload)
    start = data.draw(st.integers(0, len(records) - 1))
    assert followed(session, records[start:]).to_json()["differences"] == []


@settings(max_examples=40, deadline=None)
@given(streams, st.data())
def test_lost_events_make_no_difference(workload, data):
    session, records = recorded(workload)
    start = data.draw(st.integers(0, len(records) - 1))
    lost = empty_records(1)
    lost["kind"], lost["aux"] = EventKind.LOST, data.draw(st.integers(1, 50))
    rest = records[start + int(lost["aux"][0]) :]
    assert (
        followed(session, np.concatenate([records[:start], lost, rest])).to_json()["differences"]
        == []
    )


@settings(max_examples=20, deadline=None)
@given(streams, st.lists(st.integers(0, 3000), max_size=12))
def test_how_the_stream_is_cut_does_not_matter(workload, cuts):
    session, records = recorded(workload)
    cut = [at for at in cuts if at < len(records)]
    assert followed(session, records, cuts=cut).to_json() == followed(session, records).to_json()


def test_every_rule_is_at_work():
    """Over some runs each rule judges, except what needs a kernel that fails."""
    judged = {}
    for variant in ("ksm-6.1", "ksm-6.18"):
        absent = KERNELS[variant].absent_tunables
        for one in sample_workloads(20, number=7, without=absent):
            tunables = {k: v for k, v in one.tunables.items() if k not in absent}
            workload = replace(one, variant=variant, tunables=tunables)
            for rule, row in followed(*recorded(workload)).to_json()["by_rule"].items():
                judged[rule] = judged.get(rule, 0) + row["agreed"]
    assert all(judged.values()), judged


def test_max_page_sharing_is_told_or_found_out():
    from support.workload_steps import workload

    rows = (
        *("spawn a", "map a r 9", "fill a r content=byte:97", "mergeable a r"),
        *("set tunables={max_page_sharing=3}", "scan 4"),
    )
    run = recorded(workload(*rows, smart_scan=0))
    assert run[0].tunables["max_page_sharing"] == "256"
    for (session, records), unknown in ((run, 0), (without_writes(*run), 1)):
        found = followed(session, records).to_json()
        assert found["differences"] == []
        assert found["tunables"]["max_page_sharing"] == 3
        assert found["by_rule"]["sharing_limit"]["unknown"] == unknown
        assert records["kind"][0] == EventKind.SAMPLE
        assert records["address"][0] == Gauge.FULL_SCANS
