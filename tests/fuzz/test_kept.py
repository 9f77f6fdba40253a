"""Every file that is kept goes through its target as documented, without atheris; and, where
atheris is installed, some seconds of new ones do."""

import importlib.util
import os
import subprocess
import sys

import pytest

from fuzz import FOLDER, MOST_GROWTH_MIB, TARGETS, kept

SECONDS = 8
"""For each target, with every example: some two minutes in all."""


def ran(repository, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(repository / "tests")}
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_kept_is_read_or_refused_as_documented(repository, name):
    files = list(kept(name))
    assert files
    again = ran(repository, "fuzz.again", name)
    assert again.returncode == 0, again.stderr[-3000:]
    count, growth_mib = map(int, again.stdout.split())
    assert count == len(files)
    assert growth_mib < MOST_GROWTH_MIB


def test_every_module_is_a_target():
    helpers = {"__init__", "again", "common", "run", "seeds", "test_kept"}
    assert {path.stem for path in FOLDER.glob("*.py")} - helpers == set(TARGETS)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="needs atheris")
@pytest.mark.parametrize("name", TARGETS)
def test_some_seconds_of_fuzzing_find_nothing(repository, tmp_path, name):
    found = ran(repository, "fuzz.run", name, SECONDS, tmp_path)
    assert found.returncode == 0, found.stderr[-6000:]
