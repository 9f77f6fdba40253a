"""mypy sees through every import of the package: none is Any."""

import pytest

from tools.check_types import run_mypy


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("ksmtrace.plugins.cow", "Plugin"),
        ("ksmtrace.plugins.balance", "Plugin"),
        ("ksmtrace.dashboards.write", "write_dashboards"),
        ("ksmtrace.resources", "bpf_source"),
    ],
)
def test_a_misuse_of_an_import_is_found(tmp_path, module, name):
    snippet = tmp_path / "misuse.py"
    snippet.write_text(f"from {module} import {name}\n\n{name}.no_such_attribute\n")
    status, output = run_mypy(str(snippet))
    assert status == 1, output
    assert "no_such_attribute" in output
    assert "Found 1 error" in output
