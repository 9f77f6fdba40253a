"""Builds Debian packages: `python -m tools.package.deb [RELEASE...]`, into dist/.

Everything is laid out in build/deb/RELEASE, and built by debhelper from packaging/debian. What
Debian lacks or has too old comes as wheels for that release's Python, so one host builds for all.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from email.utils import formatdate
from pathlib import Path
from typing import NamedTuple

from tools.package.manuals import write_completions, write_manuals

REPOSITORY = Path(__file__).parent.parent.parent
LAID_OUT, DONE = REPOSITORY / "build/deb", REPOSITORY / "dist"


class Release(NamedTuple):
    """A release of Debian.

    Attributes:
        number: is in the package's version.
        python: of its python3.
    """

    number: int
    python: str


RELEASES = {"bookworm": Release(12, "3.11"), "trixie": Release(13, "3.13")}
_COPIED = ("README.md", "WORKLOADS.md", "docs", "dashboards")
_PLATFORMS = tuple(f"manylinux_2_{minor}" for minor in (17, 24, 27, 28, 31, 34, 35, 36))


def package_version(version: str, release: str) -> str:
    """The Debian version of a version of ksmtrace for a release, as 0.1.0+deb12."""
    return f"{version.replace('.dev', '~dev')}+deb{RELEASES[release].number}"


def build(release: str) -> Path:
    """Build the package of a release; returns it.

    Raises:
        subprocess.CalledProcessError: pip or debhelper fails.
    """
    python = RELEASES[release].python
    source = LAID_OUT / release / "source"
    shutil.rmtree(source.parent, ignore_errors=True)
    source.mkdir(parents=True)
    for name in _COPIED:
        one = REPOSITORY / name
        (shutil.copytree if one.is_dir() else shutil.copy)(one, source / name)
    shutil.copytree(REPOSITORY / "packaging/debian", source / "debian")
    changed = _changed_at()
    version = _wheels(source / "wheels", python)
    (source / "python-version").write_text(f"{python}\n")
    write_manuals(source / "man", time.strftime("%F", time.gmtime(changed)))
    write_completions(source / "completions")
    wheels = sorted(path.name for path in (source / "wheels").iterdir())
    (source / "bundled.txt").write_text("".join(f"{name}\n" for name in wheels))
    (maintainer,) = re.findall(r"(?m)^Maintainer: (.*)$", (source / "debian/control").read_text())
    (source / "debian/changelog").write_text(
        f"ksmtrace ({package_version(version, release)}) {release}; urgency=medium\n\n"
        f"  * See NEWS.\n\n -- {maintainer}  {formatdate(changed)}\n"
    )
    shutil.copy(REPOSITORY / "CHANGELOG.md", source / "NEWS")
    command = ["dpkg-buildpackage", "--build=binary", "--no-sign", "--no-check-builddeps"]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(changed)}
    with (source.parent / "log").open("wb") as log:
        subprocess.run(
            command, cwd=source, env=environment, stdout=log, stderr=subprocess.STDOUT, check=True
        )
    (made,) = source.parent.glob("*.deb")
    DONE.mkdir(exist_ok=True)
    return Path(shutil.copy(made, DONE))


def _changed_at() -> int:
    """The time of the last commit, in seconds: the same source makes the same package."""
    command = ["git", "log", "-1", "--format=%ct"]
    return int(subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True).stdout)


def _wheels(directory: Path, python: str) -> str:
    """Put ksmtrace's wheel and those of all that it needs for that Python into a directory.

    Returns the version of ksmtrace.
    """
    pip = [sys.executable, "-m", "pip", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(directory), str(REPOSITORY)], check=True)
    (own,) = directory.iterdir()
    platforms = [f"--platform={one}_{os.uname().machine}" for one in _PLATFORMS]
    target = [*platforms, f"--python-version={python}", "--only-binary=:all:"]
    subprocess.run([*pip, "download", "-d", str(directory), *target, f"{own}[report]"], check=True)
    return own.name.split("-")[1]


def main() -> None:
    """Build what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("releases", nargs="*", choices=[*RELEASES, []], metavar="RELEASE")
    for release in parser.parse_args().releases or RELEASES:
        made = build(release)
        print(f"{made.relative_to(REPOSITORY)}: {made.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
