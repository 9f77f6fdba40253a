"""docs/QUESTIONS.md: what it shows is what ksmtrace prints."""

import os
import re
import subprocess

import pytest

from support.command import BIN

SHOWN = re.compile(r"```toml\n(.*?)```\n\n```console\n(.*?)```", re.DOTALL)
"""A workload, and commands with their output."""


@pytest.fixture(scope="module")
def text(repository):
    return (repository / "docs/QUESTIONS.md").read_text(encoding="utf-8")


def test_every_workload_prints_what_is_shown(text, tmp_path):
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    shown = SHOWN.findall(text)
    assert len(shown) == text.count("```toml") > 10
    for workload, session in shown:
        (tmp_path / "w.toml").write_text(workload)
        printed = []
        for command in re.findall(r"^\$ (.*)$", session, re.MULTILINE):
            ran = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command],
                cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
            )  # fmt: skip
            assert ran.stderr == ""
            printed += [f"$ {command}", *ran.stdout.splitlines()]
        assert session.splitlines() == printed


def test_every_heading_asks(text):
    asked = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert len(asked) > 20
    assert [line for line in asked if not line.endswith("?")] == []
