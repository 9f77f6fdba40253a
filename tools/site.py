"""Builds the site of documents into build/site: `make site`.

The documents lie where a reader of the repository looks for them, at the top and in docs/; MkDocs
wants one folder, which is made of links to them, so that every link between them holds.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
SOURCE = REPOSITORY / "build/site-source"

PARTS = (
    *("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "DECISIONS.md"),
    *("WORKLOADS.md", "LICENSE", "docs", "dashboards"),
    *("packaging/container", "packaging/kubernetes"),
)
"""Documents, and what they link to."""


def gather() -> None:
    """Make the folder of links."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    for part in PARTS:
        link = SOURCE / part
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(REPOSITORY / part)


def build() -> int:
    """Build the site; returns the exit status, which is not 0 where a link or anchor is broken."""
    gather()
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    # --quiet would keep its warnings from --strict
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean"]
    ran = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        print(ran.stdout, ran.stderr, sep="", file=sys.stderr)
    return ran.returncode


if __name__ == "__main__":
    sys.exit(build())
