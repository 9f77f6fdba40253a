"""What the kernel takes and refuses in /sys/kernel/mm/ksm, and the advisor."""

import errno

import pytest
from unit.engine.machines import machine, region

from ksmtrace.engine.engine import Engine
from ksmtrace.engine.ksm.advisor import Advisor
from ksmtrace.engine.ksm.tunables import DEFAULTS
from ksmtrace.errors import KsmtraceError
from ksmtrace.workload import tunables as workload_tunables


@pytest.mark.parametrize(
    ("name", "value", "number"),
    [
        ("max_page_sharing", 1, errno.EINVAL),
        ("max_page_sharing", -5, errno.EINVAL),
        ("max_page_sharing", 2**31, errno.ERANGE),
        ("max_page_sharing", "many", errno.EINVAL),
        ("merge_across_nodes", 2, errno.EINVAL),
        ("use_zero_pages", 2, errno.EINVAL),
        ("smart_scan", "maybe", errno.EINVAL),
        ("pages_to_scan", -1, errno.EINVAL),
        ("pages_to_scan", 2**32, errno.EINVAL),
        ("sleep_millisecs", "x", errno.EINVAL),
        ("stable_node_chains_prune_millisecs", 2**32, errno.EINVAL),
        ("advisor_mode", "fast", errno.EINVAL),
        ("advisor_target_scan_time", 0, errno.EINVAL),
        ("pages_shared", 1, errno.ENOENT),
        ("no_such_file", 1, errno.ENOENT),
    ],
)
def test_refused(name, value, number):
    engine = machine()
    before = dict(engine.ksm.tunables)
    with pytest.raises(
        OSError, match=f"{errno.errorcode[number]} on writing {value} to {name}"
    ) as e:
        engine.write_tunable(name, value)
    assert e.value.errno == number
    assert engine.ksm.tunables == before


@pytest.mark.parametrize("value", [3, -1])
def test_run_takes_0_1_and_2(value):
    with pytest.raises(OSError, match="EINVAL"):
        machine().write_run(value)


@pytest.mark.parametrize(
    ("variant", "name"),
    [
        ("ksm-4.4", "use_zero_pages"),
        ("ksm-4.4", "max_page_sharing"),
        ("ksm-5.10", "smart_scan"),
        ("ksm-6.1", "advisor_mode"),
    ],
)
def test_files_that_came_later(variant, name):
    with pytest.raises(OSError, match="ENOENT"):
        machine(variant).write_tunable(name, 1)
    machine("ksm-6.12").write_tunable(
        name, "none" if name == "advisor_mode" else 2 - 1 + (name == "max_page_sharing")
    )


@pytest.mark.parametrize(("text", "value"), [("on", 1), ("off", 0), ("Y", 1), ("n", 0), ("1", 1)])
def test_booleans_as_kstrtobool_reads_them(text, value):
    engine = machine()
    engine.write_tunable("use_zero_pages", text)
    assert engine.ksm.tunables["use_zero_pages"] == value


def test_max_page_sharing_is_busy_while_pages_are_merged_but_for_the_same_value():
    engine = machine(max_page_sharing=5)
    region(engine, "p", "r", [7] * 2)
    engine.scan_passes(2)
    with pytest.raises(OSError, match="EBUSY on writing 6 to max_page_sharing") as refused:
        engine.write_tunable("max_page_sharing", 6)
    assert refused.value.errno == errno.EBUSY
    engine.write_tunable("max_page_sharing", 5)
    engine.write_run(2)
    engine.write_tunable("max_page_sharing", 6)


def test_a_write_drops_nodes_whose_pages_are_gone():
    engine = machine()
    region(engine, "p", "r", [7] * 2 + [8])
    engine.scan_passes(2)
    engine.write_run(2)
    engine.write_run(0)
    engine.scan_passes(2)
    engine.unmergeable("p", "r", 0, 3)
    engine.scan_passes(1)
    assert engine.ksm.counters.pages_shared == 0
    engine.write_tunable("max_page_sharing", 3)
    assert engine.ksm.stable_roots[0].rb_node is None


def test_pages_to_scan_0_would_never_end():
    engine = machine(pages_to_scan=0)
    region(engine, "p", "r", [7])
    with pytest.raises(KsmtraceError, match="no pass ever ends"):
        engine.scan_passes(1)
    assert engine.scan_batches(3) == 3
    assert engine.ksm.counters.rmap_items == 0


def test_an_unknown_variant_is_named():
    with pytest.raises(KsmtraceError, match=r"unknown variant .ksm-9. \(known: ksm-4\.4, "):
        Engine("ksm-9")


def test_defaults_are_those_of_workload_files():
    text = {**DEFAULTS, "advisor_mode": "none"}
    assert text == dict(workload_tunables.DEFAULTS)


def test_the_advisor_takes_pages_to_scan_over():
    engine = machine(pages_to_scan=7)
    engine.write_tunable("advisor_mode", "scan-time")
    assert engine.ksm.tunables["pages_to_scan"] == 500
    with pytest.raises(OSError, match="EINVAL"):
        engine.write_tunable("pages_to_scan", 8)
    engine.write_tunable("advisor_mode", "none")
    assert engine.ksm.tunables["pages_to_scan"] == 100


def test_the_advisors_first_and_second_advice():
    # Worked by hand. First pass: 10 s at 100 % CPU; change 30 (the average begins at 0), factor
    # 2000, so 500 pages become 25, then 7; a page costs 5 per percent: at least 50, at most 350.
    advisor, tunables = Advisor(), {**DEFAULTS, "pages_to_scan": 500}
    assert advisor.advise(tunables, 10_000, 10_000_000_000) == 50
    assert advisor.change == 30
    # Second: 400 s at 1 %; change (70 * 30 + 30 * 4000) / 100 = 1221, factor 50: 100 pages, then
    # 1221; 50 per percent.
    tunables["pages_to_scan"] = 50
    assert advisor.advise(tunables, 400_000, 14_000_000_000) == 1221
    assert (advisor.change, advisor.prev_scan_time) == (1221, 400)


def test_the_advisor_works_at_the_end_of_each_pass_and_has_no_lower_bound():
    engine = machine(advisor_min_pages_to_scan=700)
    region(engine, "p", "r", [7])
    engine.write_tunable("advisor_mode", "scan-time")
    assert engine.ksm.tunables["pages_to_scan"] == 700
    engine.ksm.now_ms = 50
    engine.scan_passes(1)
    # scan_time 1, factor 20000, cost 700 a percent: 700 * 100 / 20000 = 3, but at least 7000
    assert engine.ksm.tunables["pages_to_scan"] == 7000
    engine.write_tunable("advisor_max_pages_to_scan", 20)
    engine.scan_passes(1)
    assert engine.ksm.tunables["pages_to_scan"] == 20
