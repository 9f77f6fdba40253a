r"""Who a process is: a table of command lines and cgroups as programs and their managers make them.

Each row is one process of a host: who started it, its command line, the text of its
/proc/<pid>/cgroup, and then its cgroup, systemd unit and guest.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.events import EventKind, ProcessText, empty_records
from ksmtrace.events.batch import EventBatch
from ksmtrace.events.cgroup import unit_of
from ksmtrace.kernel.guests import parse_vm
from ksmtrace.kernel.processes import read_cgroup, read_vm
from ksmtrace.model.processes import ProcessTable
from ksmtrace.sources.live.identities import Identities

ID = "c8a1bd2f0e36b0a1f8d2e1b7b0d57f6d8b7b8a41a1f25d1f0a4d0c5b2f9e7a10"
V1 = (
    "12:pids:{0}\n11:freezer:{0}\n10:memory:{0}\n9:cpu,cpuacct:{0}\n8:devices:{0}\n"
    "1:name=systemd:{1}\n"
)
"""cgroup v1: {0} is the controllers', {1} systemd's own."""
HYBRID = V1 + "0::{2}\n"
V2 = "0::{0}\n"

QEMU = "/usr/bin/qemu-system-x86_64"
LIBVIRT = r"/machine.slice/machine-qemu\x2d3\x2dweb.scope/libvirt/emulator"
CH = r"/machine.slice/machine-ch\x2d5\x2dweb\x2d1.scope/emulator"
PODS = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod2f0b6e1c_9d5e.slice"
CRI = f"{PODS}/cri-containerd-{ID}.scope"
DOCKER = f"/system.slice/docker-{ID}.scope"

LINES = [
    ("RHEL", "/usr/libexec/qemu-kvm -name db", "db"),
    ("Ubuntu", "qemu-system-x86_64-spice -name guest=db", "db"),
    ("NixOS", "/nix/store/x/bin/.qemu-system-x86_64-wrapped -name a", "a"),
    ("microvm", "qemu-system-x86_64_microvm -name a", "a"),
    ("commas", f"{QEMU} -name acme,,web", "acme,web"),
    ("commas", f"{QEMU} -name guest=acme,,db,debug-threads=on", "acme,db"),
    ("commas", f"{QEMU} -name debug-threads=on,guest=x,,,,y", "x,,y"),
    ("commas", f"{QEMU} -name process=p,guest=a=b", "a=b"),
    ("merged", f"{QEMU} -name old -name guest=new", "new"),
    ("merged", f"{QEMU} -name old -name debug-threads=on", "old"),
    ("double dash", f"{QEMU} --name web", "web"),
    ("none", f"{QEMU} -name debug-threads=on", "qemu"),
    ("release", "./firecracker-v1.7.0-x86_64 --api-sock /tmp/blue.sock", "blue"),
    ("by directory", "firecracker --api-sock /srv/vms/red/firecracker.socket", "red"),
    ("by configuration", "firecracker --no-api --config-file /srv/green/vm_config.json", "green"),
    ("plain", "firecracker --api-sock /tmp/firecracker.sock", "firecracker"),
    ("shell", "cloud-hypervisor --api-socket path=/run/ch/blue.sock,x=1 --cpus boot=2", "blue"),
    ("static", "cloud-hypervisor-static --api-socket=/run/ch/blue.sock", "blue"),
    ("handed over", "cloud-hypervisor --api-socket fd=3", "cloud-hypervisor"),
    ("old libvirt", "cloud-hypervisor --api-socket /run/libvirt/ch/web-socket", "web"),
    ("none", "cloud-hypervisor --kernel k", "cloud-hypervisor"),
    ("crosvm", "crosvm run --name tv --cpus 2 vmlinux", "tv"),
    ("crosvm", "/usr/bin/crosvm run -s /run/crosvm/penguin.sock vmlinux", "penguin"),
    ("crosvm", "crosvm run --socket=/run/vm/termina/crosvm.sock k", "termina"),
    ("crosvm, another verb", "crosvm stop x.sock", "crosvm"),
    ("python", "/usr/bin/python3 -name x", ""),
    ("qemu-img", "qemu-img convert -name x", ""),
]  # fmt: skip
"""Command lines alone: who, line, guest."""

TABLE = [
    ("shell", f"{QEMU} -m 4G", V2.format("/user.slice"), "/user.slice", "user.slice", "qemu"),
    ("shell", "qemu-system-aarch64 -name db -m 1G", V2.format("/"), "/", "", "db"),
    # libvirt
    (
        "libvirt, v2", f"{QEMU} -name guest=web,debug-threads=on -S -object secret,id=masterKey0",
        V2.format(LIBVIRT), LIBVIRT, r"machine-qemu\x2d3\x2dweb.scope", "web",
    ),
    (
        "libvirt, v1", f"{QEMU} -name guest=web,debug-threads=on",
        V1.format(LIBVIRT, "/machine.slice"), LIBVIRT, r"machine-qemu\x2d3\x2dweb.scope", "web",
    ),
    (
        "libvirt, hybrid", f"{QEMU} -name guest=web", HYBRID.format(LIBVIRT, LIBVIRT, LIBVIRT),
        LIBVIRT, r"machine-qemu\x2d3\x2dweb.scope", "web",
    ),
    (
        "libvirt and cloud-hypervisor", "/usr/bin/cloud-hypervisor --api-socket fd=3",
        V2.format(CH), CH, r"machine-ch\x2d5\x2dweb\x2d1.scope", "web-1",
    ),
    (
        "libvirt, session", f"{QEMU} -name guest=web",
        V2.format("/user.slice/user-1000.slice/user@1000.service/app.slice"),
        "/user.slice/user-1000.slice/user@1000.service/app.slice", "user@1000.service", "web",
    ),
    # Proxmox
    (
        "Proxmox", "/usr/bin/kvm -id 100 -name web,debug-threads=on -no-shutdown",
        V2.format("/qemu.slice/100.scope"), "/qemu.slice/100.scope", "100.scope", "web",
    ),
    (
        "Proxmox, container", "/sbin/init", V2.format("/lxc/101/ns/init.scope"),
        "/lxc/101/ns/init.scope", "init.scope", "",
    ),
    # Incus, LXD
    (
        "Incus", "/opt/incus/bin/qemu-system-x86_64 -S -name web -uuid 6a0e -nodefaults",
        V2.format("/system.slice/incus.service"), "/system.slice/incus.service", "incus.service",
        "web",
    ),
    (
        "LXD", "/snap/lxd/current/bin/qemu-system-x86_64 -S -name u1 -uuid 9b",
        V2.format("/system.slice/snap.lxd.daemon.service"),
        "/system.slice/snap.lxd.daemon.service", "snap.lxd.daemon.service", "u1",
    ),
    # Firecracker
    ("jailed", "/firecracker --id=vm-7 --x 1", V2.format("/fc/vm-7"), "/fc/vm-7", "", "vm-7"),
    (
        "jailed", "firecracker --id vm-8 --api-sock /run/firecracker.socket",
        V1.format("/firecracker/vm-8", "/"), "/firecracker/vm-8", "", "vm-8",
    ),
    # Kata, on each of its hypervisors
    (
        "Kata", f"/opt/kata/bin/cloud-hypervisor --api-socket /run/vc/vm/{ID}/clh-api.sock",
        V2.format(f"{PODS}/kata_{ID}"), f"{PODS}/kata_{ID}", PODS.rpartition("/")[2], ID,
    ),
    (
        "Kata", f"/opt/kata/bin/qemu-system-x86_64 -name sandbox-{ID},debug-threads=on",
        V2.format(CRI), CRI, CRI.rpartition("/")[2], f"sandbox-{ID}",
    ),
    ("Kata", f"firecracker --id {ID}", V2.format(CRI), CRI, CRI.rpartition("/")[2], ID),
    (
        "Kata, Dragonball", f"containerd-shim-kata-v2 -namespace k8s.io -address x -id {ID}",
        V2.format(CRI), CRI, CRI.rpartition("/")[2], ID,
    ),
    ("kernel thread", "", V2.format("/"), "/", "", ""),
    # containers; a hybrid host has the memory controller in v1, and the unified hierarchy at "/"
    ("docker, v2", "nginx", V2.format(DOCKER), DOCKER, DOCKER.rpartition("/")[2], ""),
    ("docker, v1", "nginx", V1.format(f"/docker/{ID}", "/x"), f"/docker/{ID}", "", ""),
    ("docker, hybrid", "x", HYBRID.format(f"/docker/{ID}", "/x", "/"), f"/docker/{ID}", "", ""),
    (
        "hybrid, memory at the root", "sshd", HYBRID.format("/", "/x", "/system.slice/ssh.service"),
        "/system.slice/ssh.service", "ssh.service", "",
    ),
    (
        "v1, memory at the root", "sshd", V1.format("/", "/system.slice/ssh.service"),
        "/system.slice/ssh.service", "ssh.service", "",
    ),
    ("removed", "x", V2.format("/a/b (deleted)"), "/a/b", "", ""),
    ("colon", "x", "0::/a:b/c\n", "/a:b/c", "", ""),
    ("outside of the namespace", "x", V2.format("/../other"), "/../other", "", ""),
    ("no cgroups", "x", "", "", "", ""),
]  # fmt: skip


def process(root, pid, line, cgroup, start=1000):
    entry = root / f"proc/{pid}"
    entry.mkdir(parents=True, exist_ok=True)
    (entry / "cmdline").write_bytes(line.replace(" ", "\0").encode() + b"\0")
    (entry / "cgroup").write_text(cgroup)
    (entry / "stat").write_text(f"{pid} (x y) z) S {'1 ' * 18}{start} 0\n")
    return root


@pytest.mark.parametrize(
    ("line", "text", "cgroup", "unit", "vm"),
    [row[1:] for row in TABLE],
    ids=[f"{number}-{row[0]}" for number, row in enumerate(TABLE)],
)
def test_who_a_process_is(tmp_path, line, text, cgroup, unit, vm):
    root = process(tmp_path, 5, line, text)
    found = read_cgroup(5, root)
    assert found == cgroup
    assert unit_of(found) == unit
    assert read_vm(5, found, root) == vm


@pytest.mark.parametrize(
    ("line", "vm"),
    [row[1:] for row in LINES],
    ids=[f"{number}-{row[0]}" for number, row in enumerate(LINES)],
)
def test_whom_a_command_line_runs(line, vm):
    assert parse_vm(line.split()) == vm


def test_a_process_that_is_gone(tmp_path):
    assert (read_cgroup(6, tmp_path), read_vm(6, root=tmp_path)) == ("", "")
    assert parse_vm([]) == ""


class Host:
    """Identities of processes of a made-up /proc, and the table that their records make."""

    def __init__(self, root):
        self.root = root
        self.identities, self.table = Identities(root), ProcessTable()

    def meet(self, mm, pid, kind=EventKind.PROCESS):
        records = empty_records(1)
        records["kind"], records["mm"], records["aux"] = kind, mm, pid
        self._apply(records)
        self._apply(self.identities.follow(records))

    def look(self):
        texts = 0
        for found in self.identities.sample(at_end=True):
            self._apply(found)
            texts += int((found["kind"] == EventKind.PROCESS_TEXT).sum())
        return texts

    def _apply(self, records):
        batch = EventBatch(records)
        if len(batch):
            for part in self.table.parts(batch):
                self.table.apply(part)

    def of(self, mm):
        one = self.table.of(mm)
        return one.cgroup, one.vm


def test_two_guests_are_never_one(tmp_path):
    """Proxmox allows two guests of one name; firecracker without an id has none."""
    host = Host(tmp_path)
    lines = ["kvm -id 100 -name web", "kvm -id 101 -name web", "firecracker", "firecracker"]
    for number, line in enumerate(lines):
        process(tmp_path, 10 + number, line, "0::/a\n")
        host.meet(100 + number, 10 + number)
    assert [host.of(100 + number)[1] for number in range(4)] == [
        "web", "web (pid 11)", "firecracker", "firecracker (pid 13)"
    ]  # fmt: skip
    assert host.look() == 0
    host.meet(100, 10, EventKind.MM_EXIT)
    process(tmp_path, 30, lines[0], "0::/a\n")
    host.meet(130, 30)
    assert host.of(130)[1] == "web"


def test_processes_that_move(tmp_path):
    """libvirt puts a guest into its scope once it runs."""
    host = Host(
        process(tmp_path, 5, f"{QEMU} -name web", V2.format("/system.slice/libvirtd.service"))
    )
    host.meet(1, 5)
    assert host.of(1) == ("/system.slice/libvirtd.service", "web")
    assert host.look() == 0
    process(tmp_path, 5, f"{QEMU} -name web", V2.format(LIBVIRT))
    assert host.look() > 0
    assert host.of(1) == (LIBVIRT, "web")
    process(tmp_path, 5, f"{QEMU} -name web2", V2.format("/b"))
    host.look()
    assert host.of(1) == ("/b", "web2")


def test_a_pid_given_again_is_nobody_who_was_met(tmp_path):
    host = Host(process(tmp_path, 5, "a", V2.format("/a")))
    host.meet(1, 5)
    process(tmp_path, 5, f"{QEMU} -name b", V2.format("/b"), start=2000)
    assert host.look() == 0
    assert host.of(1) == ("/a", "")
    host.meet(2, 5)
    assert host.of(2) == ("/b", "b")


@given(name=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30))
def test_any_name_of_qemus_comes_back(name):
    """As libvirt writes it: virQEMUBuildBufferEscapeComma."""
    written = f"guest={name.replace(',', ',,')},debug-threads=on"
    assert parse_vm([QEMU, "-name", written]) == name


def test_texts_are_of_the_kinds_that_are_recorded():
    assert {one.name.lower() for one in ProcessText} == {"cgroup", "vm"}
