"""The distribution's bcc is found by a Python that does not look among its modules."""

import subprocess
import sys

import pytest

from ksmtrace.errors import HostError
from ksmtrace.kernel import host
from ksmtrace.kernel.host import import_bcc

MODULE = "from bcc.inner import BPF\n"


@pytest.fixture
def distribution(monkeypatch, tmp_path):
    """Where this host's distribution has its modules; no bcc is to be had but from there."""
    monkeypatch.setattr(host, "DISTRIBUTIONS_MODULES", (str(tmp_path / "*"),))
    monkeypatch.delitem(sys.modules, "bcc", raising=False)
    monkeypatch.delitem(sys.modules, "bcc.inner", raising=False)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if "dist-packages" not in one])
    yield tmp_path
    for name in ("bcc", "bcc.inner"):
        sys.modules.pop(name, None)


def put(directory, text=MODULE, inner="class BPF: pass\n"):
    (directory / "bcc").mkdir(parents=True)
    (directory / "bcc/__init__.py").write_text(text)
    (directory / "bcc/inner.py").write_text(inner)


def test_it_is_loaded_with_its_parts_and_nothing_else_of_there(distribution):
    put(distribution / "python3.11")
    before = list(sys.path)
    bcc = import_bcc()
    assert bcc.__file__ == str(distribution / "python3.11/bcc/__init__.py")
    assert bcc.BPF.__module__ == "bcc.inner"
    assert sys.path == before
    assert import_bcc() is bcc


def test_the_latest_of_several_is_taken(distribution):
    put(distribution / "python3.11")
    put(distribution / "python3.12")
    assert "python3.12" in import_bcc().__file__


def test_where_there_is_none_the_package_is_named(distribution):
    with pytest.raises(HostError, match="install"):
        import_bcc()


@pytest.mark.parametrize("text", ["import nothing_of_this_name\n", "raise OSError('libbcc.so')\n"])
def test_one_that_cannot_be_loaded_is_one_line_and_leaves_nothing(distribution, text):
    put(distribution / "python3", text)
    with pytest.raises(HostError, match="bcc cannot be imported") as caught:
        import_bcc()
    assert "\n" not in str(caught.value)
    assert "bcc" not in sys.modules


@pytest.mark.live
def test_a_virtualenv_without_the_systems_modules_has_it():
    """As pipx and uv make them."""
    program = (
        f"import sys; sys.path[:] = [one for one in {sys.path!r} if 'dist-packages' not in one]\n"
        "from ksmtrace.kernel.host import import_bcc\n"
        "print(import_bcc().BPF.__module__, 'dist-packages' in ''.join(sys.path))"
    )
    command = [sys.executable, "-I", "-S", "-c", program]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == (
        "bcc False\n"
    )
