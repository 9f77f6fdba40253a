"""Code in the documents: what docs/CAPTURES.md shows is what its lines print, the rest compiles."""

import re
import subprocess
import sys

import pytest

SHOWN = re.compile(r"```python\n(.*?)```(?:\n\n```\n(.*?)```)?", re.DOTALL)
"""Code, and what it prints."""

END = "== end of a snippet =="


def snippets(repository, name):
    return SHOWN.findall((repository / "docs" / name).read_text(encoding="utf-8"))


def test_captures_are_read_as_shown(repository, bundled_capture, tmp_path):
    shown = snippets(repository, "CAPTURES.md")
    (tmp_path / "host.ksmtrace").symlink_to(bundled_capture)
    script = "".join(f"{code}\nprint({END!r})\n" for code, _ in shown)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.stderr == ""
    printed = ran.stdout.split(f"{END}\n")[:-1]
    assert [text for _, text in shown] == printed
    assert len(shown) > 5


def test_its_figures_are_those_of_the_document(repository, bundled_capture):
    """The JSON document counts the same events."""
    import json
    from pathlib import Path

    truth = json.loads(Path(f"{bundled_capture}.json").read_text())
    text = (repository / "docs/CAPTURES.md").read_text()
    assert f"\n{truth['events']['total']} events of {truth['kernel']['release']}\n" in text
    counts = dict(re.findall(r"^([A-Z_]{8,}) +(\d+)$", text, re.MULTILINE))
    assert len(counts) == 4
    assert {kind: truth["events"]["by_kind"][kind] for kind in counts} == {
        kind: int(count) for kind, count in counts.items()
    }


@pytest.mark.parametrize("name", ["MERGEABLE.md"])
def test_other_code_compiles(repository, name):
    for code, _ in snippets(repository, name):
        compile(code, name, "exec")


def test_a_program_is_started_with_mergeable_memory(repository):
    """The lines of docs/MERGEABLE.md, where the kernel has PR_SET_MEMORY_MERGE (6.4)."""
    (starter,) = (code for code, _ in snippets(repository, "MERGEABLE.md") if "execvp" in code)
    asks = "import ctypes; print(ctypes.CDLL(None).prctl(68, 0, 0, 0, 0))"
    ran = subprocess.run(
        [sys.executable, "-c", starter, sys.executable, "-c", asks],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = (ran.returncode, ran.stdout, ran.stderr)
    assert told in ((0, "1\n", ""), (1, "", "this kernel has no PR_SET_MEMORY_MERGE\n"))
