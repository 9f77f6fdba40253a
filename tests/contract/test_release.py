"""The version is one: pyproject.toml's, the tag's, the changelog's, the packages'."""

import re
import subprocess
import tomllib

import pytest

from ksmtrace import __version__
from tools.package.deb import package_version


@pytest.fixture(scope="module")
def version(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]["version"]


def test_the_command_says_it(version):
    assert __version__ == version


def test_a_commit_with_a_tag_of_a_version_has_that_version(repository, version):
    command = ["git", "tag", "--points-at", "HEAD"]
    tags = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    versions = [tag for tag in tags.stdout.split() if re.fullmatch(r"v\d.*", tag)]
    assert versions in ([], [f"v{version}"])


def test_the_changelog_has_what_is_to_come_and_no_later_version(repository, version):
    text = (repository / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## \[(.*?)\]", text, re.MULTILINE)
    assert headings[0] in ("Unreleased", version)
    released = [heading for heading in headings if heading != "Unreleased"]
    assert not released or released[0] == version


@pytest.mark.parametrize(
    ("version", "release", "expected"),
    [
        ("0.1.0", "bookworm", "0.1.0+deb12"),
        ("1.2.0.dev3", "trixie", "1.2.0~dev3+deb13"),
    ],
)
def test_later_versions_and_releases_are_later_for_dpkg(version, release, expected):
    assert package_version(version, release) == expected
    for earlier in ("0.0.9+deb13", "0.1.0~dev1+deb12"):
        command = ["dpkg", "--compare-versions", earlier, "lt", expected]
        subprocess.run(command, check=True)
