"""Which variant a kernel is compared with, for `replay --engine` and for `whatif` alike."""

import re
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.conformance.comparison import Comparison
from ksmtrace.engine import variants
from ksmtrace.engine.ksm.variant import Variant
from ksmtrace.engine.machine.bulk_checksum import JHASH2, XXHASH
from ksmtrace.engine.variants import BUILT_IN, KERNELS, NEWEST, variant_of
from ksmtrace.events import EventBatch
from ksmtrace.whatif.capture_case import capture_case
from support.engine_streams import recorded
from support.recordings import write
from support.streams import ListSource
from support.workload_steps import workload


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ("ksm-5.10", "ksm-5.10"),
        ("pksm", "pksm"),
        ("3.16.0", "ksm-4.4"),
        ("4.9.0", "ksm-4.4"),
        ("4.12.14-lp151.28.91-default", "ksm-4.4"),
        ("4.13.0", "ksm-5.10"),
        ("4.19.0-27-amd64", "ksm-5.10"),
        ("5.4.0-216-generic", "ksm-5.10"),
        ("5.10.0-46-amd64", "ksm-5.10"),
        ("5.15.0-101-generic", "ksm-5.10"),
        ("5.19.0-50-generic", "ksm-6.1"),
        ("6.1.0-56-amd64", "ksm-6.1"),
        ("6.10.3", "ksm-6.1"),
        ("6.11.0", "ksm-6.12"),
        ("6.12.107+deb13-amd64", "ksm-6.12"),
        ("6.14.0-29-generic", "ksm-6.18"),
        ("6.17.0-8-generic", "ksm-6.18"),
        ("6.18.44", "ksm-6.18"),
        ("6.19.3", "ksm-7.2"),
        ("7.2.13+deb14-amd64", "ksm-7.2"),
        ("6.11-rc3", "ksm-6.12"),
        ("7-custom", "ksm-7.2"),
        ("no number", "ksm-4.4"),
    ],
)
def test_a_kernel_has_the_last_variant_that_came_before_it(release, name):
    assert variant_of(release).name == name


def test_a_kernel_later_than_all_has_the_newest():
    assert [*KERNELS][-1] == NEWEST
    assert variant_of("99.0.1").name == NEWEST


def test_variants_are_ordered_by_their_release():
    assert [*KERNELS.values()] == sorted(KERNELS.values(), key=lambda variant: variant.since)
    assert len({variant.since for variant in KERNELS.values()}) == len(KERNELS)


def test_every_version_is_in_the_list():
    """A row of variants.py that is not among `KERNELS` would be dead; the relatives' base
    has the name of the version that it is made from."""
    rows = {value.name for value in vars(variants).values() if isinstance(value, Variant)}
    assert rows == {*BUILT_IN}


def test_every_flag_of_a_variant_is_read(repository):
    text = "".join(path.read_text() for path in (repository / "ksmtrace").rglob("*.py"))
    read = set(re.findall(r"\.(\w+)", text))
    assert {flag.name for flag in fields(Variant)} - read == set()


def test_between_two_variants_the_tunables_decide():
    """6.8 works in the order of 6.1, and has smart scan."""
    variant = variant_of(
        "6.8.0-45-generic", {"smart_scan": "1", "use_zero_pages": "0", "max_page_sharing": "256"}
    )
    assert not variant.checks_before_stable_tree
    assert "smart_scan" not in variant.absent_tunables
    assert "advisor_mode" in variant.absent_tunables


def test_a_kernel_with_max_page_sharing_has_chains_whatever_its_number():
    """A distribution's 3.10 that took them over from 4.13."""
    variant = variant_of("3.10.0-1160.el7.x86_64", ["run", "max_page_sharing"])
    assert variant.chains
    assert variant.checksum is JHASH2
    assert "smart_scan" in variant.absent_tunables
    assert not variant_of("3.10.0-1160.el7.x86_64", ["run"]).chains


@given(st.text(max_size=20))
def test_every_release_has_a_variant(release):
    assert variant_of(release).name.startswith("ksm-")


LATE_EQUALS = (
    "spawn a", "map a r 60", "fill a r pages=20 content=byte:97",
    "fill a r first=40 pages=20 content=zero", "mergeable a r", "scan 3",
    "fill a r first=20 pages=20 content=byte:97", "scan 1", "scan 3",
)  # fmt: skip
"""Pages that equal a KSM page as soon as they have changed: from 6.11 on they wait for a pass."""


@pytest.mark.parametrize(
    ("release", "recorded_as", "tunables"),
    [
        ("4.4.0-210-generic", KERNELS["ksm-4.4"], {}),
        ("4.13.0-46-generic", replace(KERNELS["ksm-5.10"], checksum=JHASH2), {"use_zero_pages": 1}),
        ("5.4.0-216-generic", KERNELS["ksm-5.10"], {"use_zero_pages": 1, "max_page_sharing": 7}),
        ("5.15.0-139-generic", KERNELS["ksm-5.10"], {"max_page_sharing": 7}),
        ("6.8.0-60-generic", KERNELS["ksm-6.1"], {"use_zero_pages": 1}),
        ("6.11.0-29-generic", KERNELS["ksm-6.12"], {"smart_scan": 0, "max_page_sharing": 7}),
        ("6.14.0-29-generic", KERNELS["ksm-6.18"], {"smart_scan": 0, "use_zero_pages": 1}),
        ("6.17.0-8-generic", KERNELS["ksm-6.18"], {}),
    ],
)
def test_both_verbs_take_a_kernel_for_the_same_variant(tmp_path, release, recorded_as, tunables):
    rows = LATE_EQUALS
    session, records = recorded(workload(*rows, pages_to_scan=1000, **tunables), recorded_as)
    session = replace(session, kernel=replace(session.kernel, release=release))
    path = write(tmp_path / "c", ListSource(session, []), [EventBatch(records)])
    replay = Comparison(session)
    replay.apply(EventBatch(records))
    replay.end()
    found = replay.to_json()
    case, _ = capture_case(path)
    assert found["variant"] == case.workload.variant == recorded_as.name
    assert (found["parted"], found["agreed"] > 900) == (0, True)
    assert any(f"{release} is taken as the engine's" in line for line in case.assumptions)


def test_the_checksum_is_xxhash_since_5_0():
    assert variant_of("4.20.17").checksum is JHASH2
    assert variant_of("5.0.0").checksum is XXHASH
