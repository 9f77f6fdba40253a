"""The Debian package in a clean root of each release: built, installed, used, upgraded, purged."""

import json
import os
import re
import shutil
import subprocess
import time
from contextlib import ExitStack, contextmanager

import pytest

from tools.package.deb import RELEASES, build

CAPTURE = "tests/replay/data/debian-6.1.ksmtrace"
NEWER = "9.9.9"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]


class Root:
    """A root file system, in which commands run with this machine's kernel."""

    def __init__(self, path):
        self.path = path

    def run(self, *command):
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
        environment |= {"DEBIAN_FRONTEND": "noninteractive"}
        ran = subprocess.run(
            ["chroot", str(self.path), *command],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, (command, ran.stdout[-2000:], ran.stderr[-2000:])
        return ran

    def install(self, package):
        shutil.copy(package, self.path / "root")
        self.run("apt-get", "install", "-y", "--no-install-recommends", f"/root/{package.name}")

    def traces(self):
        """What in it bears the name."""
        found = self.run("find", "/etc", "/usr", "/var", "/lib", "-name", "*ksmtrace*").stdout
        return {line for line in found.split() if not line.startswith("/var/log")}


@contextmanager
def with_kernel(root):
    """/proc, /sys and /dev are there while the context lasts, and who has borrowed KSM."""
    with ExitStack() as mounted:
        (root.path / "run/lock").mkdir(exist_ok=True)
        for name in ("proc", "sys", "dev", "run/lock"):
            at = str(root.path / name)
            subprocess.run(["mount", "--rbind", f"/{name}", at], check=True)
            mounted.callback(subprocess.run, ["umount", "--recursive", at], check=True)
            subprocess.run(["mount", "--make-rslave", at], check=True)
        yield


@pytest.fixture(scope="module", params=RELEASES)
def release(request):
    return request.param


@pytest.fixture(scope="module")
def package(release):
    return build(release)


@pytest.fixture(scope="module")
def root(release, tmp_path_factory):
    """A clean one, with what apt needs."""
    assert os.geteuid() == 0, "needs root"
    path = tmp_path_factory.mktemp(release) / "root"
    command = ["mmdebstrap", "--quiet", "--variant=minbase", release, str(path)]
    subprocess.run(command, check=True)
    shutil.copy("/etc/resolv.conf", path / "etc/resolv.conf")
    made = Root(path)
    made.run("apt-get", "update", "-qq")
    yield made
    shutil.rmtree(path)


def newer(package, directory):
    """The same as a later version."""
    unpacked = directory / "unpacked"
    subprocess.run(["dpkg-deb", "-R", str(package), str(unpacked)], check=True)
    control = unpacked / "DEBIAN/control"
    text, changed = re.subn(
        r"^Version: .*$", f"Version: {NEWER}", control.read_text(), flags=re.MULTILINE
    )
    assert changed == 1
    control.write_text(text)
    made = directory / f"ksmtrace_{NEWER}.deb"
    subprocess.run(["dpkg-deb", "-Znone", "-b", str(unpacked), str(made)], check=True)
    return made


def test_lintian_finds_no_errors(package):
    found = subprocess.run(
        ["lintian", "--fail-on", "none", str(package)], capture_output=True, text=True, check=True
    )
    assert [line for line in found.stdout.splitlines() if line[:2] in ("E:", "W:")] == []


def test_from_installed_to_purged(root, package, clean_ksm, repository, tmp_path, capsys):
    before = root.traces()
    began = time.monotonic()
    root.install(package)
    installed = time.monotonic()
    with with_kernel(root):
        first = root.run("ksmtrace", "demo")
    assert "\nVerdict: " in first.stdout
    with capsys.disabled():
        print(
            f"\n{package.name}, {package.stat().st_size / 2**20:.1f} MiB: apt install took "
            f"{installed - began:.0f} s, the demo {time.monotonic() - installed:.0f} s more to a "
            "verdict"
        )
    shutil.copy(repository / CAPTURE, root.path / "root/host.ksmtrace")
    expected = json.loads((repository / f"{CAPTURE}.json").read_text())
    with with_kernel(root):
        assert root.run("ksmtrace", "--version").stdout.startswith("ksmtrace ")
        replayed = root.run("ksmtrace", "replay", "--json", "/root/host.ksmtrace")
        assert json.loads(replayed.stdout)["analyzers"] == expected["analyzers"]
        root.run("ksmtrace", "report", "/root/host.ksmtrace", "-o", "/root/host.html")
        assert "<svg" in (root.path / "root/host.html").read_text()
        doctor = json.loads(root.run("ksmtrace", "doctor", "--json").stdout)
        assert "/usr/lib/python3/dist-packages/bcc" in json.dumps(doctor)
        live = ("ksmtrace", "live", "--once", "--json", "--duration", "2", "--listen", "19917")
        assert json.loads(root.run(*live).stdout)["source"] == "live"
    for name in ("ksmtrace.1.gz", "ksmtrace-live.1.gz"):
        assert (root.path / "usr/share/man/man1" / name).exists()
    unit = root.path / "lib/systemd/system/ksmtrace.service"
    (command,) = re.findall(r"^ExecStart=(\S+)", unit.read_text(), re.MULTILINE)
    assert (root.path / command.lstrip("/")).exists()
    assert not list((root.path / "etc/systemd/system").rglob("ksmtrace*"))  # nobody has asked
    shared = root.path / "usr/share/ksmtrace/dashboards"
    files = [
        path for path in (repository / "dashboards").rglob("*") if path.suffix in (".json", ".yaml")
    ]
    wanted = {path.relative_to(repository / "dashboards") for path in files}
    assert {path.relative_to(shared) for path in shared.rglob("*") if path.is_file()} == wanted
    root.install(newer(package, tmp_path))
    assert root.run("dpkg-query", "-W", "-f", "${Version}", "ksmtrace").stdout == NEWER
    root.run("ksmtrace", "--version")
    root.run("apt-get", "purge", "-y", "ksmtrace")
    assert root.traces() == before
    assert not (root.path / "usr/lib/ksmtrace").exists()
