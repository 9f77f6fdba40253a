"""The scenarios that options ask for."""

import pytest

from ksmtrace.engine.variants import NEWEST, VARIANTS
from ksmtrace.errors import ExitStatus, KsmtraceError
from ksmtrace.whatif.grid import MOST_SCENARIOS, build_grid
from support.workload_steps import workload

FILE = workload("spawn p", pages_to_scan=50, smart_scan=0)


def grid(variants=(), settings=(), sweeps=()):
    return build_grid(FILE, variants, settings, sweeps)


def test_without_options_every_variant_the_files_own_first():
    found = grid()
    assert found[0].variant == NEWEST
    assert sorted(one.variant for one in found) == sorted(VARIANTS)


def test_a_grid_is_the_product_of_sweeps_and_variants():
    found = grid(
        ["ksm-6.12", NEWEST], ["use_zero_pages=1"], ["max_page_sharing=2,3", "smart_scan=0,1"]
    )
    assert len(found) == 1 + 2 * 2 * 2
    assert dict(found[0].tunables) == {"pages_to_scan": 50, "smart_scan": 0}
    assert dict(found[1].tunables) == {
        "max_page_sharing": 2, "pages_to_scan": 50, "smart_scan": 0, "use_zero_pages": 1,
    }  # fmt: skip


def test_scenarios_that_do_the_same_are_run_once():
    assert len(grid(sweeps=["smart_scan=0,1,1"])) == 2
    assert len(grid([NEWEST])) == 1
    # 256 is the kernel's default
    assert len(grid(settings=["max_page_sharing=256"])) == 1


def test_a_variant_without_a_tunable_runs_without_it_and_says_so():
    found = grid(["ksm-6.1", NEWEST], [], ["smart_scan=0,1"])
    assert [(one.variant, one.left_out) for one in found] == [
        (NEWEST, ()),
        ("ksm-6.1", ()),
        (NEWEST, ()),
    ]
    found = grid(["pksm"], [], ["pages_to_scan=5,6"])
    assert [dict(one.tunables) for one in found[1:]] == [{"pages_to_scan": 5}, {"pages_to_scan": 6}]
    assert grid(["ksm-6.1", NEWEST], ["smart_scan=1"])[1].left_out == ("smart_scan",)


def test_files_of_a_relative_are_left_out_elsewhere_and_kernels_files_there():
    found = grid(["uksm", "ksm-6.1"], ["page_time_ns=700"], ["cpu_governor=low,quiet"])
    assert [(one.variant, one.left_out, dict(one.tunables)) for one in found[1:]] == [
        ("uksm", ("pages_to_scan",), {"cpu_governor": "low", "page_time_ns": 700}),
        ("uksm", ("pages_to_scan",), {"cpu_governor": "quiet", "page_time_ns": 700}),
        ("ksm-6.1", ("cpu_governor", "page_time_ns"), {"pages_to_scan": 50}),
    ]
    assert len(grid(["uksm"], [], ["page_time_ns=700,700"])) == 2


@pytest.mark.parametrize(
    ("variants", "settings", "sweeps", "words"),
    [
        (["ksm-9"], [], [], ["--variant", "ksm-9", "known"]),
        ([], ["nonsense=1"], [], ["unknown tunable", "nonsense"]),
        ([], ["run=2"], [], ["run is no tunable"]),
        ([], ["max_page_sharing=1"], [], ["EINVAL"]),
        ([], ["max_page_sharing=2147483648"], [], ["ERANGE"]),
        ([], [], ["smart_scan=0,2"], ["--sweep", "EINVAL"]),
        ([], ["smart_scan=x"], [], ["not an integer"]),
        ([], ["advisor_mode=scan-time"], [], ["depends on time"]),
        ([], ["smart_scan"], [], ["--set", "not TUNABLE=VALUE"]),
        ([], [], ["smart_scan="], ["--sweep", "no value"]),
        ([], [], ["smart_scan=,"], ["--sweep", "no value"]),
        ([], [], ["smart_scan=0,,1"], ["not an integer"]),
        ([], ["smart_scan=0"], ["smart_scan=0,1"], ["twice"]),
        ([], [], ["smart_scan=0", "smart_scan=1"], ["twice"]),
        ([], ["pages_to_scan=0"], [], ["no pass ever ends"]),
        (["ksm-6.1"], ["smart_scan=1"], [], ["ENOENT", "smart_scan"]),
        (["ksm-4.4", "pksm"], [], ["max_page_sharing=2,3"], ["ENOENT"]),
    ],
)
def test_bad_options(variants, settings, sweeps, words):
    with pytest.raises(KsmtraceError) as e:
        grid(variants, settings, sweeps)
    assert e.value.status is ExitStatus.BAD_INPUT
    for word in words:
        assert word in str(e.value)


def test_there_is_a_limit():
    values = ",".join(map(str, range(1, MOST_SCENARIOS)))
    assert len(grid(sweeps=[f"pages_to_scan={values}"])) == MOST_SCENARIOS - 1
    with pytest.raises(KsmtraceError, match=f"{MOST_SCENARIOS + 1} scenarios: at most"):
        grid(sweeps=[f"pages_to_scan={values},{MOST_SCENARIOS}"])
