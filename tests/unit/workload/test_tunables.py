"""Tunables: the values that a kernel takes, and the errno with which it refuses others."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.errors import ExitStatus
from ksmtrace.kernel.sysfs import TUNABLES
from ksmtrace.workload.tunables import (
    DEFAULTS,
    RefusedError,
    check_tunables,
    defaults_of,
    is_default_without,
    own_defaults,
)


def test_every_tunable_of_a_kernel_has_a_default():
    assert set(DEFAULTS) == set(TUNABLES) - {"run"}
    assert next(iter(DEFAULTS)) == "advisor_mode"
    assert check_tunables(DEFAULTS) == DEFAULTS


def test_relatives_have_files_of_their_own():
    own = own_defaults()
    assert check_tunables(own) == own
    assert own.keys().isdisjoint(DEFAULTS)
    uksm = defaults_of("uksm")
    assert uksm["sleep_millisecs"] == 100  # KSM's is 20
    assert "pages_to_scan" not in uksm
    assert uksm.keys() - DEFAULTS.keys() <= own.keys()
    assert defaults_of("ksm-7.2") == DEFAULTS


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("max_page_sharing", 1, "EINVAL"),
        ("max_page_sharing", -1, "EINVAL"),
        ("max_page_sharing", 2**31, "ERANGE"),
        ("pages_to_scan", -1, "EINVAL"),
        ("pages_to_scan", 2**32, "EINVAL"),
        ("merge_across_nodes", 2, "EINVAL"),
        ("smart_scan", 2, "EINVAL"),
        ("advisor_target_scan_time", 0, "EINVAL"),
        ("advisor_mode", "nonsense", "EINVAL"),
        ("cpu_governor", "greedy", "EINVAL"),
        ("cpu_ratios", "20 40 MAX/0 MAX/1", "EINVAL"),
        ("eval_intervals", "1000 500 200", "EINVAL"),
        ("thrash_threshold", 100, "EINVAL"),
        ("page_time_ns", 0, "EINVAL"),
        ("seed", "one", "not an integer"),
        ("cpu_governor", 1, "not a string"),
    ],
)
def test_the_errno_is_named(name, value, word):
    with pytest.raises(ValueError, match=rf"{name} = .*{word}"):
        check_tunables({name: value})


@given(
    st.sampled_from(
        [name for name, value in {**DEFAULTS, **own_defaults()}.items() if value in range(10**6)]
    ),
    st.one_of(
        st.floats(), st.booleans(), st.text(), st.lists(st.integers()), st.integers(max_value=-1)
    ),
)
def test_anything_else_is_refused_in_one_line(name, value):
    with pytest.raises(ValueError, match=rf"\A{name} = [^\n]*\Z"):
        check_tunables({name: value})


def test_a_kernel_without_a_tunable_behaves_as_if_it_were_off():
    assert is_default_without("smart_scan", 0)
    assert not is_default_without("smart_scan", 1)
    assert not is_default_without("max_page_sharing", 256)


def test_a_refusal_names_everything():
    error = RefusedError(3, "max_page_sharing", 2, errno.EBUSY)
    assert str(error).startswith("step 3: the kernel refuses max_page_sharing = 2: EBUSY (")
    assert error.status == ExitStatus.FLAGGED
    assert str(RefusedError(None, "run", 2, errno.ENOMEM)).startswith("tunables: ")
