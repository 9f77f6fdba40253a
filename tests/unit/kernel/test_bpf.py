"""Why a mechanism is out: what the kernel answers when a program is loaded, and what it lacks."""

import errno
from types import SimpleNamespace

import pytest

from ksmtrace.kernel import bpf
from ksmtrace.kernel.bpf import Outage, try_mechanisms
from ksmtrace.kernel.switches import refuse_while_ftrace_is_off

NAMES = ("fentry", "kprobe", "raw_tracepoint", "perf")


class Types:
    """BTF that has the function `there`."""

    def function(self, name):
        return (7, 1) if name == "there" else None


@pytest.fixture
def loading(monkeypatch, tmp_path):
    """Try the mechanisms on a kernel that answers so to programs of a kind, with kprobes or not."""

    def tried(refusals, *, kprobes=True, kprobe_refused=0, function="there", libbpf=1, ftrace=True):
        def load(kind, *_):
            if kind in refusals:
                raise OSError(refusals[kind], "")
            return 99

        def open_kprobe(*_, root, **__):
            refuse_while_ftrace_is_off(root)
            assert ftrace
            if kprobe_refused:
                raise OSError(kprobe_refused, "")
            return 98

        if kprobes:
            (tmp_path / "sys/bus/event_source/devices/kprobe").mkdir(parents=True)
        (tmp_path / "proc/sys/kernel").mkdir(parents=True)
        (tmp_path / "proc/sys/kernel/ftrace_enabled").write_text(f"{int(ftrace)}\n")
        library = SimpleNamespace(libbpf_major_version=lambda: libbpf)
        monkeypatch.setattr(bpf, "load_libbpf", lambda: library)
        monkeypatch.setattr(bpf, "_load", load)
        monkeypatch.setattr(bpf, "open_kprobe", open_kprobe)
        monkeypatch.setattr(bpf.os, "close", lambda _: None)
        return try_mechanisms(Types(), function, tmp_path)

    return tried


def test_a_kernel_that_allows_everything(loading):
    assert loading({}) == dict.fromkeys(NAMES)


def test_a_kernel_without_kprobes_names_the_option(loading):
    found = loading({}, kprobes=False)
    assert found["kprobe"] == Outage(
        "no kprobes: kernel built without CONFIG_KPROBES", option="CONFIG_KPROBES"
    )
    assert [name for name in NAMES if found[name] is None] == ["fentry", "raw_tracepoint", "perf"]


def test_refusals_are_told_from_lacks(loading):
    found = loading({bpf._TRACING: errno.EPERM})
    assert found["fentry"].refused
    assert found["fentry"].sentence.startswith("fentry is refused (EPERM")
    assert found["kprobe"] is None


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_a_kprobe_may_be_refused_where_programs_are_not(loading, number):
    found = loading({}, kprobe_refused=number)
    assert found["kprobe"].refused
    assert found["kprobe"].sentence.startswith(f"kprobe is refused ({errno.errorcode[number]}")
    assert [name for name in NAMES if found[name] is None] == ["fentry", "raw_tracepoint", "perf"]


def test_no_kprobe_is_tried_while_ftrace_is_off(loading):
    assert loading({}, ftrace=False)["kprobe"] is None


def test_a_function_that_no_kprobe_finds_is_no_refusal(loading):
    assert loading({}, kprobe_refused=errno.ENOENT)["kprobe"] is None


def test_a_function_that_btf_lacks_is_no_refusal(loading):
    assert loading({}, function="elsewhere")["fentry"] == Outage("BTF has no function elsewhere")


def test_where_bpf_is_refused_everything_is(loading):
    found = loading({bpf._RAW_TRACEPOINT: errno.EPERM})
    assert {name: outage.refused for name, outage in found.items()} == dict.fromkeys(NAMES, True)


def test_a_libbpf_that_is_too_old_is_not_tried(loading):
    found = loading({bpf._RAW_TRACEPOINT: errno.EPERM}, libbpf=0)
    assert found == {**dict.fromkeys(NAMES), "fentry": Outage("libbpf is older than 1.0")}
