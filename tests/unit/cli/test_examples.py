"""Every verb's --help has examples, and they work."""

import shlex

import pytest

from ksmtrace.cli import VERBS, build_parser
from ksmtrace.cli.examples import EXAMPLES
from support.command import ksmtrace

COMMANDS = [command for examples in EXAMPLES.values() for command, _ in examples]
OFFLINE = [command for command in COMMANDS if command.split()[0] == "ksmtrace"]
STATUS = {"--check": 1, "doctor": None, "probemap": 2}
"""Of the capture's verdict; of this host, whatever it can do; of a vmlinux that is none."""


def words_of(command):
    return shlex.split(command.removeprefix("sudo "))[1:]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_examples_of_itself_in_its_help(verb):
    text = build_parser().of(verb).format_help()
    assert EXAMPLES[verb]
    for command, words in EXAMPLES[verb]:
        assert words_of(command)[0] == verb
        assert f"  {command}\n      {words}\n" in text
    assert all(len(line) <= 80 for line in text.splitlines())


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_are_parsed(command):
    options = build_parser().parse_args(words_of(command))
    assert options.verb in VERBS


@pytest.mark.parametrize("command", OFFLINE)
def test_examples_that_need_no_root_work(command, repository, tmp_path):
    (tmp_path / "host.ksmtrace").symlink_to(repository / "tests/replay/data/debian-6.1.ksmtrace")
    (tmp_path / "W.toml").symlink_to(repository / "tests/data/workloads/every-variant.toml")
    (tmp_path / "vmlinux").write_bytes(b"no kernel")
    ran = ksmtrace(*words_of(command), cwd=tmp_path)
    (expected,) = [s for word, s in STATUS.items() if word in command] or [0]
    assert expected in (None, ran.returncode), ran.stderr
    assert "Traceback" not in ran.stderr
    if ran.returncode == 0:
        written = [path for path in tmp_path.iterdir() if not path.is_symlink()]
        assert ran.stdout or len(written) > 1
