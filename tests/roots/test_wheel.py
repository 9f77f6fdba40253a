"""The wheel, as pipx and uv install it: by a Python that looks for nothing of the system's."""

import json
import os
import subprocess
import sys
import venv

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
CAPTURE = "tests/replay/data/debian-6.1.ksmtrace"


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory):
    directory = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "pip", "-q", "wheel", "--no-deps", "-w", str(directory)]
    subprocess.run([*command, str(repository)], check=True)
    (made,) = directory.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installers(tmp_path_factory):
    """Where pipx and uv are."""
    directory = tmp_path_factory.mktemp("installers")
    venv.create(directory, with_pip=True)
    pip = [str(directory / "bin/pip"), "-q", "install", "pipx", "uv"]
    subprocess.run(pip, check=True)
    return directory / "bin"


@pytest.fixture(params=["pipx", "uv"])
def installed(request, wheel, installers, tmp_path):
    """The command, installed so."""
    home = {"PIPX_HOME": str(tmp_path / "home"), "PIPX_BIN_DIR": str(tmp_path / "bin")}
    home |= {"UV_TOOL_DIR": str(tmp_path / "home"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    commands = {"pipx": ["install", str(wheel)], "uv": ["tool", "install", str(wheel)]}
    subprocess.run(
        [str(installers / request.param), *commands[request.param]],
        env={**os.environ, **home}, check=True,
    )  # fmt: skip
    return str(tmp_path / "bin/ksmtrace")


def test_it_replays_and_finds_the_distributions_bcc(installed, repository, tmp_path):
    def run(*arguments):
        ran = subprocess.run(
            [installed, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    expected = json.loads((repository / f"{CAPTURE}.json").read_text())
    replayed = json.loads(run("replay", "--json", str(repository / CAPTURE)))
    assert replayed["analyzers"] == expected["analyzers"]
    assert "dist-packages/bcc" in run("doctor")
    live = json.loads(run("live", "--once", "--json", "--duration", "2", "--probes", "tracepoint"))
    assert live["tier"] == "tracepoint"
