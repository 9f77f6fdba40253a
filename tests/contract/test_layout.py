"""Rules for the tree as a whole: imports, packages, sizes, plugins, hooks, kernels."""

import re
import tomllib

import pytest

from tools.structure import FLOORS, circles, imported, module_circles, modules, part, upward

ALLOWED = {
    "events": {"events"},
    "model": {"events", "model", "session", "units"},
    "capture": {"events", "capture", "session", "errors", "temporary", ""},
    "kernel": {"events", "kernel", "session", "errors"},
    "probemap": {"probemap", "errors", "temporary"},
    "sources": {
        *("events", "model", "capture", "kernel", "probemap"),
        *("session", "errors", "resources", "engine", "workload", "sources"),
    },
    "pipeline": {
        "events",
        "lines",
        "model",
        "sources",
        "session",
        "errors",
        "hookspecs",
        "pipeline",
        "plugins",
        "section",
        "",
    },
    "workload": {"events", "kernel", "errors", "engine", "workload", ""},
    "engine": {"events", "session", "errors", "engine"},
    "policies": {"events", "session", "errors", "engine", "policies"},
    "whatif": {
        *("events", "session", "units", "errors", "capture"),
        *("workload", "engine", "drawing", "whatif", ""),
    },
    "audit": {
        *("events", "kernel", "session", "errors", "section", "units", "temporary"),
        *("estimate", "audit", ""),
    },
    "estimate": {
        *("events", "kernel", "session", "model", "errors", "section", "units", "estimate", ""),
    },
    "why": {
        *("events", "kernel", "session", "model", "errors", "section", "units", "sources"),
        *("estimate", "why", ""),
    },
    "conformance": {"events", "session", "errors", "engine", "drawing", "conformance"},
    "plugins": {
        "events",
        "lines",
        "model",
        "capture",
        "session",
        "errors",
        "pipeline",
        "plugins",
        "figures",
        "panel",
        "section",
        "units",
        "drawing",
        "serving",
        "",
    },
    "serving": {"kernel", "errors", "serving"},
    "dashboards": {"dashboards", "errors"},
    "drawing": {"section", "units", "lines", "drawing"},
    "documents": {
        *("events", "session", "figures", "kernel", "engine"),
        *("pipeline", "plugins", "documents", "estimate", "why", "audit", "model", ""),
    },
    "report": {
        *("section", "units", "drawing", "errors", "session"),
        *("model", "temporary", "report", ""),
    },
}
"""For each package, the parts of ksmtrace that it may import; "" is ksmtrace itself.

`FLOORS` is the order of all parts; this is what a package has to do with, of what lies below it.
"""

CIRCLES = {
    "ksmtrace.engine.ksm": "one C file's own",
    "ksmtrace.engine.uksm": "one C file's own",
    "ksmtrace.engine.machine": "a process has a page table, whose blocks know the process",
}
"""Where modules may import each other in a circle, and why."""


@pytest.fixture(scope="module")
def found():
    return modules()


def test_imports_follow_the_rule(found):
    wrong = [
        f"{module.name} -> {target}"
        for module in found.values()
        for target in module.imports
        if (package := top(module.name)) in ALLOWED and top(target) not in ALLOWED[package]
    ]
    assert wrong == []


def top(name):
    """The part of ksmtrace that a module belongs to; "" is ksmtrace itself."""
    return [*name.split("."), ""][1]


def test_nothing_is_imported_from_a_higher_floor(found):
    wrong = {(part(source), part(target)) for source, target in upward(found)}
    assert wrong == set()


def test_every_part_has_a_floor(found):
    floors = [part for floor in FLOORS for part in floor]
    assert len(floors) == len(set(floors))
    assert {part(name) for name in found} - set(floors) == set(), "add it to tools/structure.py"


def test_modules_import_each_other_in_no_circle(found):
    wrong = [
        circle
        for circle in module_circles(found)
        if not any(all(name.startswith(f"{place}.") for name in circle) for place in CIRCLES)
    ]
    assert wrong == []


def test_a_circle_is_found():
    graph = {"a": "b", "b": "c", "c": "ad", "d": "e", "e": "d", "f": "a"}
    assert circles(graph) == [["a", "b", "c"], ["d", "e"]]


UPWARD = (
    "import ksmtrace.engine.bulk.columns as columns",
    "from ksmtrace.engine import bulk",
    "from ksmtrace.engine.bulk import *",
    "from ..bulk.columns import Columns",
    "from ..bulk import columns",
    "from .. import bulk",
    "from ...engine.bulk import columns",
    "def late():\n    from ksmtrace.engine.bulk.columns import Columns",
    "if TYPE_CHECKING:\n    from ksmtrace.engine.bulk.columns import Columns",
)


@pytest.mark.parametrize("line", UPWARD)
def test_an_import_is_found_however_it_is_written(tmp_path, line):
    for module in ("", "ksm", "bulk"):
        package = tmp_path / "ksmtrace/engine" / module
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
    (tmp_path / "ksmtrace/engine/bulk/columns.py").touch()
    (tmp_path / "ksmtrace/engine/ksm/scan.py").write_text(line)
    ((source, target),) = upward(modules(tmp_path))
    assert source == "ksmtrace.engine.ksm.scan"
    assert target.startswith("ksmtrace.engine.bulk")


def test_bcc_is_imported_in_one_place(found):
    users = {
        module.name
        for module in found.values()
        if any(name.split(".")[0] == "bcc" for name in imported(module.path))
    }
    assert users == {"ksmtrace.kernel.host"}


def test_no_plugin_imports_another(found):
    wrong = [
        f"{module.name} -> {target}"
        for module in found.values()
        if top(module.name) == "plugins"
        for target in module.imports
        if target.startswith("ksmtrace.plugins.")
        and target.split(".")[2] not in module.name.split(".")
    ]
    assert wrong == []


def test_every_package_is_in_the_wheel(repository):
    listed = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["setuptools"][
        "packages"
    ]
    found = set()
    for root, prefix in (
        ("ksmtrace", "ksmtrace"),
        ("plugins", "ksmtrace.plugins"),
        ("bpf", "ksmtrace.bpf"),
        ("dashboards", "ksmtrace.dashboards"),
    ):
        for init in (repository / root).rglob("__init__.py"):
            inner = init.parent.relative_to(repository / root).parts
            found.add(".".join((prefix, *inner)))
    assert sorted(found) == sorted(listed)


def test_modules_stay_small(found):
    large = {module.name: module.lines for module in found.values() if module.lines > 400}
    assert large == {}


def test_every_builtin_plugin_has_a_module_and_a_test(repository):
    from ksmtrace.plugins import BUILTINS

    names = {builtin.name for builtin in BUILTINS}
    for name in names:
        assert (repository / "tests/unit/plugins" / f"test_{name}.py").exists(), name
    files = {p.stem for p in (repository / "plugins").glob("*.py")} | {
        p.parent.name for p in (repository / "plugins").glob("*/__init__.py")
    }
    assert files - {"__init__", "plugins"} == names


def test_every_analyzer_is_a_folder_of_one_shape(repository):
    """The plugin in __init__.py, declarations in figures.py, panels and sections in view.py."""
    from ksmtrace.plugins import BUILTINS, Role

    for name in (builtin.name for builtin in BUILTINS if builtin.role is Role.ANALYZER):
        texts = {
            path.stem: path.read_text() for path in (repository / "plugins" / name).glob("*.py")
        }
        has = {
            "class Plugin:": "__init__",
            "FIGURES = (": "figures",
            "def panel(": "view",
            "def section(": "view",
        }
        for text, module in has.items():
            found = [stem for stem in texts if f"\n{text}" in texts[stem]]
            if found or module != "view":
                assert found == [module], (name, text)


def test_every_kernel_is_said_in_full():
    from kernels import kernels

    for kernel in kernels().values():
        assert re.compile(kernel.image)
        assert kernel.suites
    assert {"6.1", "6.12"} <= {name for name, kernel in kernels().items() if kernel.ci}


@pytest.mark.parametrize("word", ["/work/", "pypi.org", "deb.debian.org"])
def test_nothing_names_this_machine(repository, word):
    import subprocess

    found = subprocess.run(
        ["git", "grep", "-lF", word, "--", ".", ":!tests/contract/test_layout.py"],
        cwd=repository, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.stdout == ""
