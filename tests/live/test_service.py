"""`ksmtrace live --no-tui` as a systemd service: the unit file, and what the journal gets."""

import os
import re
import shutil
import signal
import subprocess

import pytest

from conftest import cannot
from support.command import KSMTRACE, wait_until_attached

pytestmark = pytest.mark.live


@pytest.fixture
def unit(repository, tmp_path, request):
    """The unit, with this tree's command."""
    if shutil.which("systemd-analyze") is None:
        cannot(request, "--require-live", "needs systemd-analyze")
    text = (repository / "docs/systemd/ksmtrace.service").read_text()
    assert text.count("/usr/local/bin/ksmtrace ") == 1
    path = tmp_path / "ksmtrace.service"
    path.write_text(text.replace("/usr/local/bin/ksmtrace ", f"{KSMTRACE} "))
    return path


def test_systemd_has_nothing_to_say_of_the_unit(unit):
    ran = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")


def test_the_unit_is_hardened(unit):
    """systemd's own score, 0 (sealed) to 10; what is left is what attaching needs."""
    ran = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", unit],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert float(re.search(r"exposure level for .*: ([\d.]+)", ran.stdout)[1]) <= 3.0


def test_the_journal_gets_two_lines_of_a_run_in_which_all_is_well(unit, clean_ksm, tmp_path):
    """As the unit starts it, except for the port; ended as systemd ends it."""
    command = re.search(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)[1].split()
    command[command.index("--listen") + 1] = "0"
    with (tmp_path / "journal").open("w+") as journal:
        found = os.fstat(journal.fileno())
        environment = {**os.environ, "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        with subprocess.Popen(command, stdout=journal, stderr=journal, env=environment) as run:
            wait_until_attached(run.pid)
            run.send_signal(signal.SIGTERM)
        assert run.returncode == 130
        journal.seek(0)
        first, second, third = journal.read().splitlines()
    assert "KSM is switched off (run is " in first
    assert re.match(r"<6>ksmtrace: .* traces KSM of .*; tier .*; metrics at http://127", second)
    assert re.match(r"<6>ksmtrace: ends after \d+ s: .* 0 lost; KSM here: KSM is off", third)
