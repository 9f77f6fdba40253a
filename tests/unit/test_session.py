"""The facts of a run: what its probes know, read from headers of this version and of the first."""

import pytest

from ksmtrace.events import EventKind
from ksmtrace.session import Exactness, Knowledge, Probe, Session
from ksmtrace.sources.live.probe_spec import ProbeSpec
from ksmtrace.sources.live.probe_table import PROBES
from support.runs import EMPTY, analyse, process, series
from support.streams import sample, session

(UNATTRIBUTED,) = (spec for spec in PROBES[EventKind.COW_FAULT] if spec.name == "unattributed")


def probe_by(spec: ProbeSpec) -> Probe:
    return Probe("kprobe do_wp_page", spec.exactness, spec.note, lacks=spec.lacks)


def with_faults_by(probe: Probe) -> Session:
    facts = session()
    facts.probes[EventKind.COW_FAULT] = probe
    return facts


def header(facts: Session, *, first_version: bool = False) -> dict:
    """The session as a capture has it; the first version knew a probe's via, exactness and note."""
    written = facts.to_json()
    if first_version:
        for probe in written["probes"].values():
            probe.pop("counter", None)
            probe.pop("lacks", None)
    return written


FAULTS = [
    {"kind": EventKind.COW_FAULT, "mm": 1, "address": page << 12, "ts": 5 + page, "aux": 900}
    for page in range(5)
]
ROWS = [*EMPTY, process(1, 11, b"java"), *FAULTS, *sample(20, full_scans=1)]


def in_cow(found):
    cow = found["cow"]
    (row,) = cow["processes"]
    return [
        (cow["user_pages"], cow["kernel_pages"]),
        (sum(cow["user_per_second"]), cow["kernel_per_second"]),
        *((one["user_pages"], one["kernel_pages"]) for one in (row, *cow["ranges"])),
    ]


def in_balance(found):
    balance = found["balance"]
    rows = (balance["total"], *balance["processes"])
    return [
        *((row["user_break_pages"], row["kernel_break_pages"]) for row in rows),
        *((row["user_break_seconds"] / 900e-9, row["kernel_break_seconds"]) for row in rows),
    ]


def in_groups(found):
    groups = found["groups"]
    rows = [row for row in (*groups["groups"], groups["other"]) if row["user_break_pages"]]
    return [(row["user_break_pages"], row["kernel_break_pages"]) for row in rows]


def in_stable_tree(found):
    return [(found["stable_tree"]["cow_fault_pages"], found["stable_tree"]["kernel_break_pages"])]


@pytest.mark.parametrize("read_back", ["not at all", "from this version", "from the first"])
@pytest.mark.parametrize("broken_in", [in_cow, in_balance, in_groups, in_stable_tree])
def test_who_broke_is_unknown_where_the_probe_does_not_tell(broken_in, read_back):
    """The faults are all put down to users, and nothing is said of the kernel's."""
    facts = with_faults_by(probe_by(UNATTRIBUTED))
    if read_back != "not at all":
        written = header(facts, first_version=read_back == "from the first")
        facts = Session.from_json(written, "capture")
    assert not facts.sees_who_broke
    names = ("cow", "balance", "groups", "stable_tree")
    found = broken_in(analyse(ROWS, *names, of=facts).document["analyzers"])
    assert found
    assert found == [(pytest.approx(5), None)] * len(found)


def test_metrics_have_no_series_of_a_breaker_that_is_unknown():
    facts = with_faults_by(probe_by(UNATTRIBUTED))
    names = ("cow", "balance", "groups", "stable_tree")
    shown = [
        (name, dict(labels)["by"])
        for name, labels in series(analyse(ROWS, *names, of=facts).metrics)
        if "cow" in name and "by" in dict(labels)
    ]
    assert len(shown) == 4
    assert {by for _, by in shown} == {"user"}


@pytest.mark.parametrize("first_version", [False, True])
def test_a_header_is_read_with_what_its_probes_know(first_version):
    facts = session(unseen=[EventKind.REPLACE_PAGE])
    facts.probes.update(
        {
            EventKind.COW_FAULT: probe_by(UNATTRIBUTED),
            EventKind.SCAN_STOP: Probe(
                "/sys/kernel/mm/ksm full_scans", Exactness.SAMPLED, counter="full_scans"
            ),
            EventKind.TUNABLE: Probe("/sys/kernel/mm/ksm", Exactness.SAMPLED),
        }
    )
    again = Session.from_json(header(facts, first_version=first_version), facts.source)
    assert again == facts
    assert again.counters == {"scan_stop": "full_scans"}


def test_what_a_newer_version_lacks_besides_is_passed_over():
    probe = Probe("x", Exactness.EXACT, lacks=frozenset({Knowledge.WHO_BROKE}))
    written = probe.to_json()
    written["lacks"].append("tomorrow's")
    assert Probe.from_json(written) == probe


def test_the_first_version_reads_what_this_one_writes():
    """It takes these three of each probe, and passes over the rest."""
    written = header(with_faults_by(probe_by(UNATTRIBUTED)))
    for probe in written["probes"].values():
        assert {type(probe[key]) for key in ("via", "exactness", "note")} == {str}


def test_a_probe_by_windows_is_read_back_and_shows_no_count():
    probe = Probe("x", Exactness.SAMPLED, "note", share=0.02)
    assert Probe.from_json(probe.to_json()) == probe
    assert "share" not in Probe("x", Exactness.EXACT).to_json()
    facts = session()
    facts.probes[EventKind.COW_FAULT] = probe
    assert not facts.sees(EventKind.COW_FAULT)
    assert facts.faults_by_windows
    assert facts.derives_writes
    assert not facts.sees_who_broke
