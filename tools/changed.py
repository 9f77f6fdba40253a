"""Prints the tests of what differs from the branch `main`: `python -m tools.changed [--base main]`.

What a commit or the working tree changed below ksmtrace/PACKAGE is tested by tests/unit/PACKAGE, a
plugin by its own test_NAME*.py, a test by itself. The contract tests are always among them. A
change whose effects lie elsewhere (tests/support, pyproject.toml) is for `make test`.
"""

import argparse
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
UNIT = Path("tests/unit")
ALWAYS = ("tests/contract", "tests/replay/test_bundled_capture.py")
ELSEWHERE = {
    "bpf": UNIT / "sources/live",
    "dashboards": UNIT / "dashboards",
    "tools/dashboards": UNIT / "dashboards",
}
"""Folders whose tests have another name than they."""


def changed(base: str) -> list[Path]:
    """Files that differ from where this branch left `base`, those not yet known to git too."""
    start = "".join(_git("merge-base", "HEAD", base)).strip() or "HEAD"
    names = _git("diff", "--name-only", "--no-renames", "-z", start)
    return [
        Path(name) for name in (*names, *_git("ls-files", "--others", "--exclude-standard", "-z"))
    ]


def tests_of(path: Path) -> Iterator[Path]:
    """Test files and folders that a change of this file calls for."""
    folder, name = path.parent, path.stem
    if path.parts[0] == "plugins":
        plugin = path.parts[1].removesuffix(".py")
        yield from _existing(
            path.relative_to(REPOSITORY)
            for path in (REPOSITORY / UNIT / "plugins").glob(f"test_{plugin}*.py")
        )
    elif folder.is_relative_to(UNIT):
        yield from _existing([path] if name.startswith("test_") else [folder])
    elif path.parts[0] == "ksmtrace":
        yield from _nearest(folder.relative_to("ksmtrace"), name)
    else:
        yield from _existing(at for part, at in ELSEWHERE.items() if folder.is_relative_to(part))


def _nearest(inner: Path, name: str) -> Iterator[Path]:
    """The test folder of the package, else of the one around it; for a root module, its file."""
    if inner == Path():
        yield from _existing([UNIT / f"test_{name}.py"])
        return
    folders = [UNIT / inner, *(UNIT / parent for parent in inner.parents if parent != Path())]
    yield from list(_existing(folders))[:1]


def _existing(paths: Iterable[Path]) -> Iterator[Path]:
    yield from (path for path in paths if (REPOSITORY / path).exists())


def _git(*arguments: str) -> list[str]:
    """What git prints, without the zero bytes between."""
    ran = subprocess.run(
        ["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    return [part for part in ran.stdout.split("\0") if part]


def main() -> None:
    """Print them, one on a line, without those that a folder among them has."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="main")
    found = {test for path in changed(parser.parse_args().base) for test in tests_of(path)}
    print(*ALWAYS, *sorted(test for test in found if found.isdisjoint(test.parents)), sep="\n")


if __name__ == "__main__":
    main()
