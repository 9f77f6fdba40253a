"""Switches of a host by which probes attach and never fire."""

import errno

import pytest

from ksmtrace.events import Gauge
from ksmtrace.events.switches import SWITCHES
from ksmtrace.kernel import bpf, kprobe
from ksmtrace.kernel.bpf import Outage
from ksmtrace.kernel.silence import without_silent
from ksmtrace.kernel.switches import refuse_while_ftrace_is_off, switched_off
from ksmtrace.sources.live.counter_samples import CounterSamples

FTRACE, KPROBES = SWITCHES[Gauge.FTRACE_ENABLED], SWITCHES[Gauge.KPROBES_ENABLED]
WORKING = dict.fromkeys(("fentry", "kprobe", "raw_tracepoint", "perf"))


@pytest.fixture
def host(tmp_path):
    """A host with its switches in these positions; None for a file that is not there."""

    def made(ftrace=b"1\n", kprobes=b"1\n"):
        for switch, content in ((FTRACE, ftrace), (KPROBES, kprobes)):
            path = tmp_path / switch.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            if content is not None:
                path.write_bytes(content)
        return tmp_path

    return made


@pytest.mark.parametrize(
    ("positions", "out"),
    [
        ({}, {}),
        ({"ftrace": None, "kprobes": None}, {}),
        ({"ftrace": b"junk", "kprobes": b""}, {}),
        ({"ftrace": b"0\n"}, {"kprobe": FTRACE, "fentry": FTRACE}),
        ({"kprobes": b"0\n"}, {"kprobe": KPROBES}),
        ({"ftrace": b"0\n", "kprobes": b"0\n"}, {"kprobe": FTRACE, "fentry": FTRACE}),
    ],
)
def test_what_a_switch_silences_is_out_with_its_remedy(host, positions, out):
    root = host(**positions)
    found = without_silent(WORKING, root)
    assert {name: outage.remedy for name, outage in found.items() if outage is not None} == {
        name: switch.remedy for name, switch in out.items()
    }
    for name in WORKING:
        assert switched_off(name, root) is out.get(name)


def test_what_is_out_already_keeps_its_reason(host):
    lacking = Outage("no kprobes")
    found = without_silent({**WORKING, "kprobe": lacking}, host(ftrace=b"0\n"))
    assert found["kprobe"] is lacking
    assert found["raw_tracepoint"] is None


def test_positions_are_read_with_the_counters_where_they_matter(host):
    root = host(kprobes=None)
    of = {True: {Gauge.FTRACE_ENABLED: 1}, False: {}}
    for switches, expected in of.items():
        samples = CounterSamples(0, root, switches=switches)
        assert samples.read().values == expected
    samples = CounterSamples(0, root, switches=True)
    samples.read()
    host(ftrace=b"0\n")
    assert samples.read().values == {Gauge.FTRACE_ENABLED: 0}
    host(ftrace=None)
    assert Gauge.FTRACE_ENABLED in samples.read().failed


@pytest.mark.parametrize("at_return", [False, True])
def test_no_kprobe_is_registered_while_ftrace_is_off(host, monkeypatch, at_return):
    """Nor is the kernel asked for one."""
    monkeypatch.setattr(kprobe.ctypes, "CDLL", None)
    with pytest.raises(OSError, match="ftrace_enabled is 0; sysctl -w") as caught:
        kprobe.open_kprobe("do_wp_page", at_return=at_return, root=host(ftrace=b"0\n"))
    assert caught.value.errno == errno.EBUSY


def test_no_fentry_is_attached_while_ftrace_is_off(host, monkeypatch):
    root = host(ftrace=b"0\n")
    monkeypatch.setattr(bpf, "refuse_while_ftrace_is_off", lambda: refuse_while_ftrace_is_off(root))
    monkeypatch.setattr(bpf, "_load", None)
    with pytest.raises(OSError, match="ftrace_enabled is 0"):
        bpf.attach_tracing(b"", 1, at_return=False)
