"""A page in a real browser that has no network."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import cannot

_SWITCHES = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--hide-scrollbars", "--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND"),
)


def browse(request: pytest.FixtureRequest, profile: Path, uri: str, *switches: str) -> str:
    """What Chromium prints of the page at `uri`, once nothing is wrong on its console."""
    if shutil.which("chromium") is None:
        cannot(request, "--require-live", "needs chromium")
    # A namespace of its own has no network at all.
    alone = ["unshare", "--net"] if os.geteuid() == 0 and shutil.which("unshare") else []
    command = [*alone, "chromium", *_SWITCHES, f"--user-data-dir={profile}", *switches, uri]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    ours = [line for line in ran.stderr.splitlines() if "CONSOLE" in line and "file://" in line]
    assert ours == []
    return ran.stdout
