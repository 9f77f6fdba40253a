"""Verbs on hosts that cannot be traced: one line with the remedy, and exit status 3."""

import json
import os
import shlex
import subprocess

import pytest

from conftest import cannot
from support.command import KSMTRACE, assert_one_line, ksmtrace

pytestmark = pytest.mark.live


@pytest.fixture(autouse=True)
def _root(request):
    if os.geteuid() != 0:
        cannot(request, "--require-live", "needs root")


def on_host_without(path, *arguments):
    """Run ksmtrace in a mount namespace of its own in which `path` is an empty directory."""
    command = shlex.join([KSMTRACE, *arguments])
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", f"mount -t tmpfs none {path} && exec {command}"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_no_ksm():
    assert_one_line(on_host_without("/sys/kernel/mm/ksm", "live", "--once"), 3, "CONFIG_KSM")
    assert_one_line(on_host_without("/sys/kernel/mm/ksm", "demo"), 3, "CONFIG_KSM")


def test_no_btf():
    assert_one_line(
        on_host_without("/sys/kernel/btf", "live", "--once"), 3, "CONFIG_DEBUG_INFO_BTF"
    )


def test_no_ksmd():
    assert_one_line(on_host_without("/proc", "live", "--once"), 3, "ksmd")


def within(script, *arguments):
    """Run ksmtrace after a line of shell in mount and PID namespaces of its own."""
    command = shlex.join([KSMTRACE, *arguments])
    return subprocess.run(
        ["unshare", "-m", "-p", "-f", "sh", "-c", f"{script} && {command}"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


SYSFS = ("live", "--once", "--json", "--duration", "1", "--probes", "sysfs")
OWN_PIDS = "mount -t proc proc /proc"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (OWN_PIDS, ("PID namespace of its own", "--pid=host", "--probes sysfs")),
        ("mount -t tmpfs none /proc", ("lists no process", "mount /proc", "--probes sysfs")),
    ],
)
def test_ksmd_is_hidden(script, words):
    """No kernel is said to lack KSM for it, and what needs no ksmd works."""
    ran = within(script, "live", "--once")
    assert_one_line(ran, 3, "ksmd is not to be seen", *words)
    assert "no KSM" not in ran.stderr
    ran = within(script, *SYSFS)
    assert ran.returncode == 0, ran.stderr
    document = json.loads(ran.stdout)
    assert "pages_shared" in document["counters"]
    assert "ksmd_cpu_ns" not in document["counters"]
    assert "ksmd is not to be seen" in ran.stderr


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/sys/kernel/mm/ksm", ("has no file run", "on the host")),
        ("/sys", ("not known whether this kernel has KSM", "sysfs is not mounted")),
    ],
)
def test_sysfs_is_hidden(path, words):
    ran = on_host_without(path, *SYSFS)
    assert_one_line(ran, 3, "CONFIG_KSM", *words)


def test_bcc_is_missing(tmp_path):
    (tmp_path / "bcc.py").write_text("raise ImportError(\"No module named 'bcc'\")\n")
    ran = ksmtrace("live", "--once", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert_one_line(ran, 3, "python3-bpfcc")


def test_bcc_is_the_wrong_one(tmp_path):
    (tmp_path / "bcc.py").write_text("lattice = True\n")
    ran = ksmtrace("live", "--once", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert_one_line(ran, 3, "crystal-lattice", "pip uninstall bcc", "python3-bpfcc")


def test_a_tier_that_this_kernel_lacks():
    if os.path.exists("/sys/bus/event_source/devices/kprobe"):
        pytest.skip("this kernel has kprobes")
    assert_one_line(ksmtrace("live", "--once", "--probes", "kprobe"), 3, "CONFIG_KPROBES", "doctor")


def test_bpf_is_refused():
    """A root without the capabilities: one line with the reason, once, and what is left."""
    without = "-bpf,-perfmon,-sys_admin"
    ran = subprocess.run(
        ["setpriv", f"--bounding-set={without}", f"--inh-caps={without}",
         KSMTRACE, "live", "--once", "--duration", "1"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert_one_line(ran, 3, "BPF is refused (EPERM", "CAP_BPF", "--probes sysfs")
    assert ran.stderr.count("EPERM") == 1


def test_counters_alone_need_no_probes(ksm):
    """--probes sysfs: without BPF, the kernel's own totals, marked as such."""
    ksm.write("run", 1)
    ran = subprocess.run(
        ["setpriv", "--bounding-set=-all", "--inh-caps=-all",
         KSMTRACE, "live", "--once", "--json", "--duration", "1", "--probes", "sysfs"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    document = json.loads(ran.stdout)
    assert document["tier"] == "sysfs"
    assert set(document["counters"]) >= {"pages_shared", "pages_scanned", "cow_ksm"}
    assert document["probes"]["cmp_and_merge_page"]["exactness"] == "sampled"
    assert document["events"]["by_kind"]["CMP_AND_MERGE_PAGE"] == 0
    assert all(row["reconstructed"] is None for row in document["reconciliation"].values())


def test_ways_to_probe_that_do_not_exist():
    assert_one_line(ksmtrace("live", "--once", "--probes", "nonsense"), 2, "nonsense", "auto")


def test_ksm_is_switched_off(ksm):
    """Said in one line with the command, and the run goes on."""
    ran = ksmtrace("live", "--once", "--json", "--duration", "1")
    assert ran.returncode == 0
    (line,) = ran.stderr.splitlines()
    assert "echo 1 > /sys/kernel/mm/ksm/run" in line
    assert ran.stdout.startswith("{")


@pytest.mark.parametrize("path", ["/proc/nonsense/x", "/nonexistent/x", "/"])
def test_capture_cannot_be_written(ksm, path):
    ksm.write("run", 1)
    assert_one_line(ksmtrace("record", "-o", path, "--duration", "1"), 2, path)


def test_disk_is_full(ksm):
    """A capture on a full disk ends the recording with one line; what was written replays."""
    ksm.write("run", 1)
    ran = subprocess.run(
        ["unshare", "-m", "sh", "-c",
         f"mount -t tmpfs -o size=4k none /mnt && exec {KSMTRACE} record -o /mnt/c --duration 2"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert_one_line(ran, 2, "/mnt/c")


def test_doctor_says_what_is_missing():
    for path, said in (
        ("/sys/kernel/mm/ksm", "CONFIG_KSM"),
        ("/sys/kernel/btf", "CONFIG_DEBUG_INFO_BTF"),
        ("/proc", "ksmd"),
    ):
        ran = on_host_without(path, "doctor")
        assert ran.returncode == 3
        assert said in ran.stdout
        assert ran.stdout.startswith("cannot trace here")
        assert ran.stderr == ""


def test_doctor_on_this_host():
    ran = ksmtrace("doctor")
    assert ran.returncode == 0
    assert ran.stdout.startswith("ready to trace")
    assert max(map(len, ran.stdout.splitlines())) <= 80
    assert "\033" not in ran.stdout


def test_doctor_names_why_functions_cannot_be_probed():
    """As the kernel itself answers when it is tried; and that a kernel with kprobes would show
    more."""
    if os.path.exists("/sys/bus/event_source/devices/kprobe"):
        pytest.skip("this kernel has kprobes")
    found = json.loads(ksmtrace("doctor", "--json").stdout)
    assert found["able"]
    kprobe, fentry = (found["mechanisms"][name] for name in ("kprobe", "fentry"))
    assert "CONFIG_KPROBES" in kprobe["reason"]
    if fentry["works"]:
        pytest.skip("this kernel has fentry")
    assert "refused (EPERM" in fentry["reason"]
    (out,) = found["events"]["break_cow"]["rejected"]
    assert out["way"] == "function"
    assert any(kprobe["reason"] in reason for reason in out["reasons"])
    assert any(fentry["reason"] in reason for reason in out["reasons"])
    (booted,) = (i for i in found["improvements"] if "CONFIG_KPROBES=y" in i["what"])
    assert booted["gains"]["break_cow"] == "exact"


def test_doctor_as_nobody():
    """What can be known without root is in the output, with the remedy."""
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    try:
        ran = ksmtrace("doctor", **nobody)
    except PermissionError:
        pytest.skip("nobody may not read this checkout")
    assert (ran.returncode, ran.stderr) == (3, "")
    first, second, *_ = ran.stdout.splitlines()
    assert first == "cannot trace here: not root, and without CAP_BPF and CAP_PERFMON"
    assert "ksmtrace live --probes sysfs" in second
    assert "sudo" in ran.stdout
    ran = ksmtrace("doctor", "--json", **nobody)
    found = json.loads(ran.stdout)
    assert (ran.returncode, found["able"], found["able_sysfs"]) == (3, False, True)
    assert found["tier"] is None
    assert "CAP_SYS_ADMIN" in found["missing_capabilities"]
    assert all(out["reasons"] for event in found["events"].values() for out in event["rejected"])


def test_doctor_without_bcc_names_the_package(tmp_path):
    (tmp_path / "bcc.py").write_text("lattice = True\n")
    ran = ksmtrace("doctor", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert ran.returncode == 3
    assert "crystal-lattice" in ran.stdout
    assert "pip uninstall bcc" in ran.stdout
