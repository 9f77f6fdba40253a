"""Which variant follows a capture, and which captures cannot be followed."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.engine_replay.requirements import NEEDED, check_session, variant_of
from ksmtrace.errors import KsmtraceError
from ksmtrace.events import EventKind
from support.streams import session


def of(release, tunables=None):
    found = session()
    kernel = replace(found.kernel, release=release)
    return replace(found, kernel=kernel, tunables=tunables or {})


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ("ksm-5.10", "ksm-5.10"),
        ("6.1.0-50-amd64", "ksm-6.1"),
        ("5.10.0-32-amd64", "ksm-5.10"),
        ("5.15.0-101-generic", "ksm-5.10"),
        ("6.12.107+deb13-amd64", "ksm-6.12"),
        ("6.18.44", "ksm-6.18"),
        ("7.2.13+deb14-amd64", "ksm-6.18"),
        ("4.19.0-27-amd64", "ksm-4.4"),
        ("3.16.0", "ksm-4.4"),
        ("no number", "ksm-4.4"),
    ],
)
def test_the_variant_is_the_newest_that_is_not_newer(release, name):
    assert variant_of(of(release)).name == name


def test_between_two_variants_the_tunables_decide():
    """6.8 works in the order of 6.1, and has smart scan."""
    shown = {"smart_scan": "1", "use_zero_pages": "0", "max_page_sharing": "256"}
    variant = variant_of(of("6.8.0-45-generic", shown))
    assert not variant.checks_before_stable_tree
    assert "smart_scan" not in variant.absent_tunables
    assert "advisor_mode" in variant.absent_tunables


@given(st.text(max_size=20))
def test_every_release_has_a_variant(release):
    assert variant_of(of(release)).name.startswith("ksm-")


@pytest.mark.parametrize("kind", NEEDED)
def test_each_kind_is_needed(kind):
    with pytest.raises(KsmtraceError, match=kind.name.lower()) as caught:
        check_session(session(unseen=[kind]))
    assert "\n" not in str(caught.value)


def test_skips_are_needed_where_there_is_smart_scan():
    found = session(unseen=[EventKind.SKIPPED])
    check_session(found)
    with pytest.raises(KsmtraceError, match="skipped"):
        check_session(replace(found, tunables={"smart_scan": "1"}))


def test_a_capture_of_some_processes_cannot_be_followed():
    with pytest.raises(KsmtraceError, match="without --pid"):
        check_session(replace(session(), only_pids=(7,)))


def test_relatives_of_ksm_have_no_ksmd():
    with pytest.raises(KsmtraceError, match="pksm has no ksmd"):
        check_session(of("pksm"))
