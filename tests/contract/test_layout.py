"""What holds for the tree as a whole, so that nobody has to remember it."""

import ast
import re
import tomllib

import pytest

ALLOWED = {
    "events": {"events"},
    "model": {"events", "model", "session"},
    "capture": {"events", "capture", "session", "errors", ""},
    "kernel": {"events", "kernel", "session", "errors"},
    "probemap": {"probemap", "errors"},
    "sources": {
        *("events", "model", "capture", "kernel", "probemap"),
        *("session", "errors", "resources", "engine", "workload", "sources"),
    },
    "pipeline": {
        "events",
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
    "workload": {"events", "kernel", "errors", "engine", "workload"},
    "engine": {"events", "session", "errors", "engine"},
    "whatif": {
        *("events", "session", "errors", "capture"),
        *("workload", "engine", "whatif", ""),
    },
    "engine_replay": {"events", "session", "errors", "engine", "engine_replay"},
    "plugins": {
        "events",
        "model",
        "capture",
        "session",
        "errors",
        "pipeline",
        "plugins",
        "panel",
        "section",
        "units",
        "drawing",
        "",
    },
    "dashboards": {"dashboards", "errors"},
    "drawing": {"section", "units", "drawing"},
    "report": {"pipeline", "section", "units", "drawing", "errors", "report", ""},
}
"""For each package, the parts of ksmtrace that it may import; "" is ksmtrace itself."""


def modules(repository):
    yield from (repository / "ksmtrace").rglob("*.py")
    yield from (repository / "plugins").rglob("*.py")
    yield from (repository / "dashboards").rglob("*.py")


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "ksmtrace":
                yield from (f"ksmtrace.{alias.name}" for alias in node.names)
            else:
                yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_imports_follow_the_rule(repository):
    wrong = []
    for path in modules(repository):
        parts = path.relative_to(repository).parts
        package = parts[0] if parts[0] != "ksmtrace" else parts[1] if len(parts) > 2 else None
        for name in imported(ast.parse(path.read_text())):
            if name.split(".")[0] == "bcc" and parts[-1] != "host.py":
                wrong.append(f"{path}: imports bcc")
            if package not in ALLOWED or not name.startswith("ksmtrace."):
                continue
            part = name.split(".")[1]
            if part in ("hookimpl", "__version__"):
                part = ""
            if part not in ALLOWED[package]:
                wrong.append(f"{'/'.join(parts)}: {name}")
    assert wrong == []


def test_no_plugin_imports_another(repository):
    wrong = []
    for path in (repository / "plugins").rglob("*.py"):
        own = path.relative_to(repository / "plugins").parts[0].removesuffix(".py")
        wrong += [
            f"{path}: {name}"
            for name in imported(ast.parse(path.read_text()))
            if name.startswith("ksmtrace.plugins.") and name.split(".")[2] != own
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


def test_modules_stay_small(repository):
    large = {
        str(path): n
        for path in modules(repository)
        if (n := len(path.read_text().splitlines())) > 400
    }
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


def test_every_hook_is_described_with_its_arguments(repository):
    import inspect

    from ksmtrace import hookspecs

    text = (repository / "ARCHITECTURE.md").read_text()
    described = set(re.findall(r"^### (ksmtrace_\w+\([^)]*\))$", text, re.MULTILINE))
    specified = {
        f"{name}({', '.join(inspect.signature(function).parameters)})"
        for name, function in vars(hookspecs).items()
        if name.startswith("ksmtrace_")
    }
    assert described == specified


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
