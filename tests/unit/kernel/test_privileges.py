"""Lockdown and capabilities, read from trees of files made for the test."""

import errno
import os

import pytest

from ksmtrace.kernel.privileges import (
    CAPABILITIES,
    missing_capabilities,
    read_lockdown,
    why_refused,
    why_unprivileged,
)

ALL = (1 << 41) - 1


@pytest.fixture
def host(tmp_path):
    """A host whose answers the test chooses."""

    def made(lockdown=None, effective=None):
        if lockdown is not None:
            (tmp_path / "sys/kernel/security").mkdir(parents=True, exist_ok=True)
            (tmp_path / "sys/kernel/security/lockdown").write_text(lockdown)
        if effective is not None:
            (tmp_path / "proc/self").mkdir(parents=True, exist_ok=True)
            (tmp_path / "proc/self/status").write_text(
                f"Name:\tx\nCapPrm:\t{ALL:016x}\nCapEff:\t{effective:016x}\nSeccomp:\t0\n"
            )
        return tmp_path

    return made


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("[none] integrity confidentiality\n", "none"),
        ("none [integrity] confidentiality\n", "integrity"),
        ("none integrity [confidentiality]\n", "confidentiality"),
        ("", ""),
        (None, ""),
    ],
)
def test_lockdown(host, text, state):
    assert read_lockdown(host(lockdown=text)) == state


@pytest.mark.parametrize("name", CAPABILITIES)
def test_one_capability_is_missing(host, name):
    assert missing_capabilities(host(effective=ALL & ~(1 << CAPABILITIES[name]))) == [name]


def test_all_or_no_capabilities(host):
    assert missing_capabilities(host(effective=ALL)) == []
    assert missing_capabilities(host(effective=0)) == list(CAPABILITIES)
    # a container's usual set
    assert missing_capabilities(host(effective=0xA80425FB)) == list(CAPABILITIES)


def test_a_host_that_tells_nothing(tmp_path):
    assert missing_capabilities(tmp_path) == []
    assert why_refused("BPF", OSError(errno.EPERM, "")).startswith("BPF is refused (EPERM")
    assert why_refused("BPF", OSError(errno.EPERM, ""), tmp_path) == "BPF is refused (EPERM)"


def test_the_causes_are_named(host):
    root = host("none integrity [confidentiality]\n", ALL & ~(1 << 39))
    for number, name in ((errno.EPERM, "EPERM"), (errno.EACCES, "EACCES")):
        said = why_refused("fentry", OSError(number, ""), root)
        assert (
            said == f"fentry is refused ({name}; lockdown is confidentiality; "
            "this process lacks CAP_BPF)"
        )


def test_other_errors_are_not_blamed_on_privileges(host):
    root = host("none integrity [confidentiality]\n", 0)
    said = why_refused("fentry", OSError(errno.EINVAL, ""), root)
    assert said == f"fentry is refused (EINVAL: {os.strerror(errno.EINVAL)})"


@pytest.mark.parametrize(
    ("user", "names", "may"),
    [
        (0, (), True),
        (7, (), False),
        (7, ("CAP_BPF",), False),
        (7, ("CAP_PERFMON", "CAP_SYS_RESOURCE"), False),
        (7, ("CAP_BPF", "CAP_PERFMON"), True),
        (7, ("CAP_SYS_ADMIN",), True),
        (7, None, False),
    ],
)
def test_who_is_not_root_may_trace_by_capabilities(host, monkeypatch, user, names, may):
    monkeypatch.setattr(os, "geteuid", lambda: user)
    effective = None if names is None else sum(1 << CAPABILITIES[name] for name in names)
    assert (why_unprivileged(host(effective=effective)) == "") == may
