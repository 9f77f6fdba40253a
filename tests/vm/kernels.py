"""Finds Debian kernels of any suite with apt, and unpacks them so that a guest can boot them."""

import fcntl
import re
import shutil
import subprocess
import tempfile
import tomllib
from dataclasses import dataclass
from functools import cmp_to_key
from pathlib import Path

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
LISTS = Path("/var/cache/ksmtrace-kernels")


@dataclass(frozen=True)
class Kernel:
    """A row of kernels.toml."""

    name: str
    image: str
    suites: list[str]
    ci: bool


def kernels() -> dict[str, Kernel]:
    """Every kernel that we know, by name."""
    table = tomllib.loads((Path(__file__).parent / "kernels.toml").read_text())
    return {row["name"]: Kernel(**row) for row in table["kernel"]}


def install(kernel: Kernel) -> str:
    """Make the newest build of a kernel bootable from here (unpacked, not installed); returns its
    release. One at a time: another process waits, since apt would fail beside it."""
    LISTS.mkdir(parents=True, exist_ok=True)
    with (LISTS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _install(kernel)


def _install(kernel: Kernel) -> str:
    apt = _apt(kernel)
    names = _run(["apt-cache", *apt, "pkgnames", "linux-image-"]).split()
    images = [name for name in names if re.fullmatch(kernel.image, name)]
    if not images:
        raise SystemExit(f"apt finds no kernel {kernel.image} in {', '.join(kernel.suites)}")
    release = max(images, key=cmp_to_key(_newer)).removeprefix("linux-image-")
    modules = Path("/lib/modules") / release
    if (Path("/boot") / f"vmlinuz-{release}").exists() and (modules / "modules.dep").exists():
        return release
    # Newer kernels are split into several packages of one release.
    wanted = [f"linux-{part}-{release}" for part in ("image", "binary", "modules")]
    packages = [name for name in wanted if name in names or _exists(apt, name)]
    with tempfile.TemporaryDirectory(dir="/var/tmp") as work:
        _run(
            ["apt-get", *apt, "-q", "-o", "APT::Sandbox::User=root", "download", *packages],
            cwd=work,
        )
        unpacked = Path(work) / "x"
        for package in Path(work).glob("*.deb"):
            _run(["dpkg", "-x", str(package), str(unpacked)])
        found = next(path for path in unpacked.rglob(f"modules/{release}") if path.is_dir())
        for packed in found.rglob("*.ko.xz"):
            subprocess.run(["unxz", "-q", str(packed)], check=True)
        shutil.copytree(found, modules, dirs_exist_ok=True, symlinks=True)
        for file in (path for path in unpacked.rglob(f"*-{release}") if path.parent.name == "boot"):
            shutil.copy(file, "/boot")
        image = Path("/boot") / f"vmlinuz-{release}"
        if not image.exists():  # since 7.x it lies beside the modules
            shutil.copy(modules / "vmlinuz", image)
    _run(["depmod", "-a", release])
    return release


def _apt(kernel: Kernel) -> list[str]:
    """Options that make apt look at the kernel's suites, on this machine's own mirror."""
    uris = _run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    ).split()
    mirror = next(uri for uri in uris if uri.rstrip("/").endswith("/debian"))
    folder = LISTS / kernel.name
    (folder / "lists/partial").mkdir(parents=True, exist_ok=True)  # apt keeps nothing else in it
    sources = folder / "sources.list"
    lines = []
    for suite in kernel.suites:
        archive = mirror.rstrip("/") + ("-security" if suite.endswith("-security") else "")
        lines.append(f"deb [signed-by={KEYRING}] {archive} {suite} main\n")
    sources.write_text("".join(lines))
    options = {
        "Dir::Etc::sourcelist": sources, "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": folder / "lists", "Dir::Cache": folder,
    }  # fmt: skip
    flat = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    _run(["apt-get", *flat, "-q", "update"])
    return flat


def _exists(apt: list[str], name: str) -> bool:
    return bool(_run(["apt-cache", *apt, "search", "--names-only", f"^{re.escape(name)}$"]))


def _newer(one: str, other: str) -> int:
    """Order of two package names by Debian's rules for versions."""
    later = ["dpkg", "--compare-versions", one.removeprefix("linux-image-"), "gt"]
    ran = subprocess.run([*later, other.removeprefix("linux-image-")], check=False)
    return 1 if ran.returncode == 0 else -1


def _run(command: list[str], cwd: str | None = None) -> str:
    ran = subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd)
    if ran.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {ran.stderr.strip() or ran.stdout.strip()}")
    return ran.stdout
