"""Man pages and completions have every verb and option, and their own readers take them."""

import argparse
import re
import subprocess

import pytest

from ksmtrace.cli import VERBS, build_parser
from ksmtrace.cli.examples import EXAMPLES
from tools.package.manuals import SHELLS, verbs_of, write_completions, write_manuals


@pytest.fixture(scope="module")
def manuals(tmp_path_factory):
    directory = tmp_path_factory.mktemp("made") / "man"
    write_manuals(directory, "2026-01-02")
    return directory


@pytest.fixture(scope="module")
def completions(tmp_path_factory):
    directory = tmp_path_factory.mktemp("made") / "completions"
    write_completions(directory)
    return directory


def options_of(parser):
    return {
        option
        for action in parser._actions
        if action.help is not argparse.SUPPRESS
        for option in action.option_strings
    }


def test_a_page_for_each_verb_names_each_option(manuals):
    names = {path.name for path in manuals.iterdir()}
    assert names == {"ksmtrace.1", *(f"ksmtrace-{verb}.1" for verb in VERBS)}
    for verb, parser in verbs_of(build_parser()).items():
        text = (manuals / f"ksmtrace-{verb}.1").read_text().replace("\\", "")
        assert re.search(rf"^ksmtrace-{verb} - \S.*[^.]$", text, re.MULTILINE)
        for option in options_of(parser) - {"-h", "--help"}:
            assert option in text, (verb, option)
    whole = (manuals / "ksmtrace.1").read_text()
    for verb in VERBS:
        assert verb in whole
    assert "2026\\-01\\-02" in whole


def shown(page):
    """A page as its reader shows it, 200 columns wide, in plain characters."""
    command = ["groff", "-man", "-Tascii", "-rLL=200n", "-P-cbou", str(page)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_groff_has_no_complaint(manuals):
    for page in manuals.iterdir():
        command = ["groff", "-man", "-Tutf8", "-ww", "-K", "utf8", str(page)]
        said = subprocess.run(command, capture_output=True, text=True, check=True)
        assert said.stderr == "", page.name


def test_examples_and_statuses_are_sections_of_their_own_lines_as_in_the_help(manuals):
    for verb, rows in EXAMPLES.items():
        page = shown(manuals / f"ksmtrace-{verb}.1")
        (examples,) = re.findall(r"^EXAMPLES$(.*?)^\S", page, re.MULTILINE | re.DOTALL)
        lines = [line.strip() for line in examples.splitlines() if line.strip()]
        assert lines == [text for row in rows for text in row]
        assert "COMMENTS" not in page
    assert "\nEXIT STATUS\n       0 done, 1 the run" in shown(manuals / "ksmtrace.1")
    assert "dpkg-deb --fsys-tarfile linux-image-*-dbg" in shown(manuals / "ksmtrace-probemap.1")


def test_bash_completes_verbs_options_and_files(completions, tmp_path):
    """Bash itself is asked, as when somebody presses Tab."""
    (tmp_path / "host.ksmtrace").touch()
    script = """
    source "$1"; shift
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
    _shtab_ksmtrace
    printf '%s\\n' "${COMPREPLY[@]}"
    """

    def completed(*words):
        command = ["bash", "-c", script, "bash", str(completions / "bash"), *words]
        answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
        return set(answer.stdout.split())

    assert completed("ksmtrace", "re") == {"record", "replay", "report"}
    assert completed("ksmtrace", "live", "--dur") == {"--duration"}
    assert completed("ksmtrace", "replay", "ho") == {"host.ksmtrace"}
    assert completed("ksmtrace", "live", "--record", "ho") == {"host.ksmtrace"}
    assert completed("ksmtrace", "live", "--probes", "k") == {"kprobe"}
    assert completed("ksmtrace", "replay", "-p", "no:t") == {"no:tui"}
    assert completed("ksmtrace", "schema", "si") == {"simulate"}


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_can_read_its_own(completions, shell):
    subprocess.run([shell, "-n", str(completions / shell)], check=True)


def test_every_shell_has_every_option_of_every_verb(completions):
    for shell in SHELLS:
        text = (completions / shell).read_text()
        for verb, parser in verbs_of(build_parser()).items():
            assert verb in text
            for option in options_of(parser):
                assert option.lstrip("-") in text, (shell, verb, option)
