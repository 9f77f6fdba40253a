"""The report: its verdict, its text, and the JSON document."""

import json
import re

import pytest

from ksmtrace.doctor import checks
from ksmtrace.doctor.text import to_text
from ksmtrace.errors import HostError
from ksmtrace.events import EventKind
from ksmtrace.kernel.bpf import Outage
from ksmtrace.kernel.privileges import CAPABILITIES
from ksmtrace.sources.live.probe_table import PROBES
from support.documents import assert_valid

FENTRY_REFUSED = Outage("fentry is refused (EPERM; missing CAP_BPF)", refused=True)
NO_KPROBES = Outage("no kprobes: kernel built without CONFIG_KPROBES", option="CONFIG_KPROBES")


@pytest.fixture
def poor(host):
    """No function can be probed, data symbols are missing, one capability is."""
    host.out = {"fentry": FENTRY_REFUSED, "kprobe": NO_KPROBES}
    host.without = host.without | {"ksm_scan", "vmemmap_base"}
    (host.root / "proc/self/status").write_text(f"CapEff:\t{(1 << 39) - 1:016x}\n")
    return host


def forget_bcc(monkeypatch, cause=None):
    def missing():
        raise HostError("elsewhere it is said how to get it") from cause

    monkeypatch.setattr(checks, "import_bcc", missing)


def test_the_document_follows_its_schema(poor):
    assert_valid("doctor", json.loads(json.dumps(poor.examine().to_json())))


def test_the_document(poor):
    found = poor.examine().to_json()
    assert found["able"] is found["able_sysfs"] is True
    assert found["tier"] == "tracepoint"
    assert found["distribution"] == "Debian GNU/Linux 12 (bookworm)"
    assert found["lockdown"] == "none"
    assert found["missing_capabilities"] == ["CAP_BPF"]
    assert found["mechanisms"]["kprobe"] == {"works": False, "reason": NO_KPROBES.sentence}
    assert found["mechanisms"]["perf"] == {"works": True, "reason": ""}
    assert set(found["events"]) == set(found["probes"]) == {kind.name.lower() for kind in PROBES}
    faults = found["events"]["cow_fault"]
    assert (faults["way"], faults["via"]) == ("total", "/proc/vmstat cow_ksm")
    assert [out["way"] for out in faults["rejected"]] == ["function", "unattributed"]
    assert {feature["present"] for feature in found["features"]} == {True}


def test_each_way_says_what_it_needs_and_what_is_lacking(poor):
    ways = json.loads(json.dumps(poor.examine().to_json()))["capabilities"]
    assert ways["tracepoint"]["to_run"] == ["CAP_BPF", "CAP_PERFMON"]
    assert {way["lacking"] == [] for way in ways.values()} == {True}  # CAP_SYS_ADMIN is there
    (poor.root / "proc/self/status").write_text(f"CapEff:\t{1 << 38:016x}\n")
    report = poor.examine()
    assert report.to_json()["capabilities"]["tracepoint"]["lacking"][0] == "CAP_BPF"
    text = to_text(report)
    assert "  tracepoint  BPF, PERFMON; " in text
    assert text.count("lacking here: ") == len(ways)


def test_the_text_fits_and_is_plain(poor):
    for width in (80, 120):
        lines = to_text(poor.examine(), width).splitlines()
        assert max(map(len, lines)) <= width
        assert all(
            line.isascii() and line.isprintable() and line == line.rstrip() for line in lines
        )


def test_the_answer_comes_first(host, monkeypatch):
    assert to_text(host.examine()).startswith("ready to trace, tier full: of 15 kinds of events, ")
    monkeypatch.setattr(checks.os, "geteuid", lambda: 65534)
    assert to_text(host.examine()).startswith("ready to trace")
    (host.root / "proc/self/status").write_text(f"CapEff:\t{1 << CAPABILITIES['CAP_BPF']:016x}\n")
    first, second, *_ = to_text(host.examine()).splitlines()
    assert first == "cannot trace here: not root, and without CAP_BPF and CAP_PERFMON"
    assert "--probes sysfs" in second


def test_each_reason_is_said_once_and_referred_to(poor):
    text = to_text(poor.examine())
    for reason in (FENTRY_REFUSED, NO_KPROBES):
        assert text.count(reason.sentence) == 1
    referred = {int(n) for group in re.findall(r"\[([\d,]+)\]", text) for n in group.split(",")}
    listed = [int(n) for n in re.findall(r"^  \[(\d+)\] ", text, re.MULTILINE)]
    assert listed == sorted(referred) == list(range(1, len(listed) + 1))


def test_what_a_better_kernel_would_give(poor):
    tried, booted = poor.examine().improvements
    assert tried.what.startswith("try with CAP_BPF")
    assert booted.what == "boot a kernel built with CONFIG_KALLSYMS_ALL=y and CONFIG_KPROBES=y"
    tried, booted = ({k.name: e.value for k, e in i.gains.items()} for i in (tried, booted))
    # candidates need symbols that probes of functions alone do not bring
    assert "CMP_AND_MERGE_PAGE" not in tried
    assert tried["BREAK_COW"] == booted["BREAK_COW"] == "exact"
    assert booted["CMP_AND_MERGE_PAGE"] == booted["SKIPPED"] == "derived"


@pytest.mark.parametrize(
    ("release_file", "symbols"),
    [
        ('ID=fedora\nVERSION_ID=42\nPRETTY_NAME="Fedora"', "dnf debuginfo-install kernel-core-"),
        ('ID=debian\nVERSION_ID="12"', "apt-get install linux-image-"),
        ("ID=nixos", "get the vmlinux with debug information of this very build"),
    ],
)
def test_a_probe_map_is_advised_where_kprobes_could_use_it(host, release_file, symbols):
    (host.root / "etc/os-release").write_text(release_file)
    (advice,) = host.examine().improvements
    assert {kind.name: how.value for kind, how in advice.gains.items()} == {
        "CMP_AND_MERGE_PAGE": "exact",
        "REPLACE_PAGE": "exact",
    }
    assert advice.commands[0].startswith(symbols)
    assert advice.commands[1].startswith("ksmtrace probemap ")
    assert advice.commands[2] == "ksmtrace live --probe-map FILE"
    host.out = {"kprobe": NO_KPROBES}
    assert [i.what for i in host.examine().improvements if "probe map" in i.what] == []


def test_hidden_addresses(host):
    host.addresses = False
    (host.root / "proc/sys/kernel/kptr_restrict").write_text("2\n")
    report = host.examine()
    assert report.to_json()["kptr_restrict"] == "2"
    advice = report.improvements[0]
    assert advice.commands == ("sysctl -w kernel.kptr_restrict=1",)
    assert {kind.name for kind in advice.gains} >= {"CMP_AND_MERGE_PAGE", "REMOVE_RMAP_ITEM"}


@pytest.mark.parametrize(
    ("file", "remedy", "tier"),
    [
        ("proc/sys/kernel/ftrace_enabled", "sysctl -w kernel.ftrace_enabled=1", "tracepoint"),
        (
            "sys/kernel/debug/kprobes/enabled",
            "echo 1 > /sys/kernel/debug/kprobes/enabled",
            "full",
        ),
    ],
)
def test_a_switch_by_which_probes_would_be_silent(host, file, remedy, tier):
    (host.root / file).parent.mkdir(parents=True, exist_ok=True)
    (host.root / file).write_text("0\n")
    report = host.examine()
    assert report.survey.tier == tier
    switch = next(one for one in report.improvements if one.commands == (remedy,))
    assert EventKind.CMP_AND_MERGE_PAGE in switch.gains or tier == "full"
    assert "none fires" in report.survey.mechanisms["kprobe"].sentence
    assert report.to_json()["mechanisms"]["raw_tracepoint"]["works"]


def test_lockdown(host):
    text = "none integrity [confidentiality]\n"
    (host.root / "sys/kernel/security/lockdown").write_text(text)
    host.out = dict.fromkeys(
        ("fentry", "kprobe"),
        Outage("BPF is refused (EPERM; lockdown is confidentiality)", refused=True),
    )
    report = host.examine()
    assert report.to_json()["lockdown"] == "confidentiality"
    assert report.improvements[0].what.startswith("boot with lockdown=integrity")


@pytest.mark.parametrize(
    ("identity", "command"),
    [
        ("debian", "apt-get install python3-bpfcc"),
        ("fedora", "dnf install python3-bcc"),
        ("nixos", "install the Python 3 module of bcc"),
    ],
)
def test_missing_bcc_names_this_distributions_package(host, monkeypatch, identity, command):
    (host.root / "etc/os-release").write_text(f"ID={identity}\n")
    forget_bcc(monkeypatch, ImportError("No module named 'bcc'"))
    report = host.examine()
    assert not report.able
    assert report.able_sysfs
    (failed,) = (check for check in report.checks if not check.passed)
    assert failed.remedy.startswith(command)
    assert "No module named" in failed.detail
    forget_bcc(monkeypatch)
    (failed,) = (check for check in host.examine().checks if not check.passed)
    assert "crystal-lattice" in failed.detail
    assert failed.remedy.startswith(f"pip uninstall bcc; {command}")


def test_a_host_that_has_nothing(tmp_path, host, monkeypatch):
    """No KSM, no BTF, no libbpf, no bcc, no /proc, not root: a report all the same."""
    from ksmtrace.doctor import examine

    forget_bcc(monkeypatch)
    monkeypatch.setattr(checks.os, "geteuid", lambda: 65534)
    monkeypatch.setattr(checks, "load_libbpf", checks.import_bcc)
    bare = tmp_path / "bare"
    bare.mkdir()
    report = examine(bare)
    assert not report.able
    assert not report.able_sysfs
    assert [check.passed for check in report.checks] == [False] * 6
    assert all(check.remedy for check in report.checks)
    assert report.survey.tier is None
    assert report.survey.mechanisms == {}
    assert {present for _, present in report.features} == {False, None}
    text = to_text(report)
    assert text.startswith("cannot trace here: it is not known whether this kernel has KSM")
    assert "CONFIG_DEBUG_INFO_BTF" in text
    assert "CONFIG_KSM" in text
    json.dumps(report.to_json())


def test_a_broken_libbcc_is_no_traceback(host, monkeypatch):
    def broken():
        raise OSError("libbcc.so.0: cannot open shared object file")

    monkeypatch.setattr(checks, "import_bcc", broken)
    (failed,) = (check for check in host.examine().checks if not check.passed)
    assert "libbcc.so.0" in failed.detail
    assert failed.remedy.startswith("apt-get install python3-bpfcc")


def test_btf_of_another_format(host, monkeypatch):
    """BTF that is there and cannot be read is a failed check, with the remedy."""
    from ksmtrace.doctor import examine

    def unreadable(path):
        raise HostError("BTF cannot be read by libbpf")

    monkeypatch.setattr(checks, "Btf", unreadable)
    monkeypatch.setattr("ksmtrace.doctor.Btf", unreadable)
    (failed,) = (check for check in examine(host.root).checks if not check.passed)
    assert (failed.name, failed.remedy) == ("BTF", "update libbpf: apt-get install libbpf1")


def test_as_nobody_everything_would_come_with_root(host):
    host.out = dict.fromkeys(
        ("fentry", "kprobe", "raw_tracepoint", "perf"),
        Outage("BPF is refused (EPERM)", refused=True),
    )
    (host.root / "proc/self/status").write_text("CapEff:\t0\n")
    report = host.examine()
    assert report.survey.tier is None
    (advice,) = report.improvements
    assert advice.what.startswith("run as root with CAP_SYS_ADMIN, ")
    seen = {event.kind for event in report.survey.events if event.probe.exactness == "absent"}
    assert seen <= set(advice.gains)


def test_ksm_is_switched_off(host):
    """No failure: `live` would run, and be short of events."""
    (host.root / "sys/kernel/mm/ksm/run").write_text("0\n")
    report = host.examine()
    assert report.able
    assert report.checks[0].remedy == "echo 1 > /sys/kernel/mm/ksm/run"


def test_ksmd_is_not_there(host):
    (host.root / "proc/41/stat").unlink()
    report = host.examine()
    assert not report.able
    assert report.able_sysfs
    (ksmd,) = (check for check in report.checks if check.name == "ksmd")
    assert "not to be seen" in ksmd.detail
    assert "PID namespace" in ksmd.detail
