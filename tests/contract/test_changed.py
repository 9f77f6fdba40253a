"""`make check`: the tests of what differs from the branch `main`."""

import subprocess

import pytest

from tools import changed


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one commit on `main`, and a function that runs git in it."""
    monkeypatch.setattr(changed, "REPOSITORY", tmp_path)

    def git(*arguments):
        own = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *own, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-b", "main")
    for name in ("kept", "edited", "deleted", "committed"):
        (tmp_path / f"{name}.py").write_text(name)
    git("add", ".")
    git("commit", "-m", "first")
    return tmp_path, git


def names(base="main"):
    return sorted(str(path) for path in changed.changed(base))


def test_what_differs_is_committed_or_not_or_not_known_to_git(checkout):
    path, git = checkout
    assert names() == []
    git("switch", "-c", "work")
    (path / "committed.py").write_text("otherwise")
    git("commit", "-am", "second")
    (path / "edited.py").write_text("otherwise")
    (path / "deleted.py").unlink()
    (path / "a b.py").touch()
    (path / "\u00e9.py").touch()
    found = ["a b.py", "committed.py", "deleted.py", "edited.py", "\u00e9.py"]
    assert names() == found
    git("checkout", "--detach")
    assert names() == found
    # without the branch, what is not committed is all that can be known
    assert names("none") == [name for name in found if name != "committed.py"]
