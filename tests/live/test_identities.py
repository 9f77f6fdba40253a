"""Names, cgroups and counters of processes in a trace, against /proc itself."""

import pytest

from ksmtrace.events import EventBatch, EventKind, ProcessGauge, empty_records
from ksmtrace.kernel.processes import read_cgroup, read_ksm_stat
from ksmtrace.model.processes import ProcessTable
from ksmtrace.sources.live.identities import Identities
from ksmtrace.sources.live.opening import LiveOptions
from ksmtrace.sources.live.source import LiveSource
from support.tracing import Gated

pytestmark = pytest.mark.live


def test_names_cgroups_and_shares_are_those_of_proc(ksm, processes):
    """Two processes with twins: whatever the tier, each is named, placed and counted as /proc
    does."""
    truth = {}

    def workload():
        for name in ("one", "two"):
            processes.spawn(name)
            processes.do(name, "map", region="r", pages=300)
            processes.do(name, "fill", region="r", content="twin:3")
            processes.do(name, "mergeable", region="r")
        ksm.start_stepping()
        ksm.scan(4)
        for pid in processes.pids.values():
            truth[pid] = (read_cgroup(pid), read_ksm_stat(pid))

    source = Gated(LiveSource.open(LiveOptions(give_up=900.0)), workload)
    table = ProcessTable()
    for batch in source.batches():
        for part in table.parts(batch):
            table.apply(part)
    source.close()
    found = {process.pid: process for process in table.known()}
    assert len(truth) == 2
    assert {found[pid].comm for pid in truth} == {"one", "two"}
    for pid, (cgroup, stat) in truth.items():
        assert found[pid].cgroup == cgroup
        assert found[pid].vm == ""
        assert found[pid].gauges == stat
        assert stat.get(ProcessGauge.KSM_MERGING_PAGES, 300) == 300  # 5.10 does not count them


def test_a_forks_child_never_has_its_parents_name(ksm, processes):
    """It is registered while it has its parent's number still: no name is better than that one."""

    def workload():
        processes.spawn("parent")
        processes.do("parent", "map", region="r", pages=30)
        processes.do("parent", "fill", region="r", content="twin:3")
        processes.do("parent", "mergeable", region="r")
        processes.do("parent", "fork", child="child")
        ksm.start_stepping()
        ksm.scan(3)

    source = Gated(LiveSource.open(LiveOptions(give_up=900.0)), workload)
    pids = {}
    for batch in source.batches():
        for event in batch.of(EventKind.PROCESS):
            pids.setdefault(int(event["mm"]), set()).add(int(event["aux"]))
    source.close()
    assert sorted(map(sorted, pids.values())) == sorted([pid] for pid in processes.pids.values())


def test_a_process_that_is_gone_is_told_by_nothing():
    """Its name comes late, its /proc is gone: no text, no sample, no error."""
    identities = Identities()
    records = empty_records(1)
    records["kind"], records["mm"], records["aux"] = EventKind.PROCESS, 5, 2**22 + 1
    assert len(identities.follow(EventBatch(records).events)) == 0
    assert sum(map(len, identities.sample(at_end=True))) == 0
