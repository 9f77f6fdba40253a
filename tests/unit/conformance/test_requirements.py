"""Which captures cannot be compared with the engine."""

from dataclasses import replace

import pytest

from ksmtrace.conformance.requirements import NEEDED, check_session
from ksmtrace.errors import KsmtraceError
from ksmtrace.events import EventKind
from support.streams import session


def of(release):
    found = session()
    return replace(found, kernel=replace(found.kernel, release=release))


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
    with pytest.raises(KsmtraceError, match="pksm is no version of KSM"):
        check_session(of("pksm"))
