"""CONTRIBUTING's recipes name what is there, and what they ask for is there for all that exists."""

import re
import tomllib
from pathlib import Path

import pytest

from ksmtrace.engine.installed_variants import GROUP
from ksmtrace.engine.variants import BUILT_IN, VARIANTS
from ksmtrace.plugins import BUILTINS, Role
from tools.structure import modules


@pytest.fixture(scope="module")
def recipes(repository):
    return (repository / "CONTRIBUTING.md").read_text()


def test_every_path_is_there(repository, recipes):
    """A name in capitals is a placeholder: some file must have its place."""
    named = {
        path
        for path in re.findall(r"`([\w*./-]+)`", recipes)
        if re.match(r"(ksmtrace|plugins|bpf|dashboards|tests|tools|docs)/", path)
    }
    patterns = {path: re.sub(r"\b[A-Z]{3,}\b(?!\.md)|(?<=_)NAME", "*", path) for path in named}
    missing = [path for path, pattern in patterns.items() if not any(repository.glob(pattern))]
    assert len(named) > 10
    assert missing == []


def test_every_make_target_is_there(repository, recipes):
    targets = set(re.findall(r"^([a-z-]+):", (repository / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", recipes + (repository / "README.md").read_text()))
    assert {"check", "test", "test-all"} <= named
    assert named - targets == set()


def test_unit_tests_lie_as_the_code_does(repository):
    """`make check` finds the tests of what changed by that."""
    unit = repository / "tests/unit"
    folders = {path.parent.relative_to(unit) for path in unit.rglob("test_*.py")} - {Path()}
    packages = {Path(*name.split(".")[1:]) for name in modules(repository)}
    assert folders - packages == set()


def test_every_analyzer_is_in_the_documents(repository):
    text = "".join(path.read_text() for path in (repository / "docs").glob("*.md"))
    names = [builtin.name for builtin in BUILTINS if builtin.role is Role.ANALYZER]
    assert [name for name in names if f"`{name}`" not in text and f"`{name}." not in text] == []


def test_every_policy_has_its_entry_point_and_its_test(repository):
    """A module without one would be dead, and an entry point without one costs a line each time."""
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    points = project["entry-points"][GROUP]
    named = {value.partition(":")[0].rpartition(".")[2] for value in points.values()}
    written = {path.stem for path in (repository / "ksmtrace/policies").glob("[a-z]*.py")}
    tests = {path.stem for path in (repository / "tests/unit/policies").glob("test_*.py")}
    assert named == written
    assert {f"test_{name}" for name in written} <= tests
    assert all(value.startswith("ksmtrace.policies.") for value in points.values())
    assert VARIANTS.broken() == []
    assert [*VARIANTS] == [*BUILT_IN, *sorted(points)], "make .venv/ready-test registers them"


def test_the_recipe_of_a_variant_has_the_steps_of_the_example(repository, recipes):
    """What each of them forgotten gives, tests/unit/cli/test_variant_package.py shows."""
    _, heading, rest = recipes.partition("### A variant of another package, ")
    text = rest.partition("\n### ")[0]
    assert heading
    assert int(rest[0]) == len(re.findall(r"^\d\. ", text, re.MULTILINE)) == 2
    example = tomllib.loads((repository / "tests/variant_package/pyproject.toml").read_text())
    assert len(example["project"]["entry-points"][GROUP]) == 1
    assert len(example["tool"]["setuptools"]["py-modules"]) == 1
    assert f'[project.entry-points."{GROUP}"]' in text
