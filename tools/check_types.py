"""Runs mypy on the package as it is installed: one tree, with plugins, dashboards and bpf in it.

    python -m tools.check_types             the whole package, and tools
    python -m tools.check_types FILE ...    these files

In the checkout `ksmtrace.plugins` is no path below `ksmtrace`, and mypy would take all that is
imported from it for Any. It therefore reads a tree of links, which pyproject.toml names as
`mypy_path`.
"""

import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
TREE = REPOSITORY / "build/types/ksmtrace"
BESIDE = ("plugins", "dashboards", "bpf")
"""Packages of ksmtrace whose folders lie beside its own."""


def link_package() -> None:
    """Make `TREE` what the checkout has, link by link: another mypy may be reading it."""
    TREE.mkdir(parents=True, exist_ok=True)
    inner = [path for path in (REPOSITORY / "ksmtrace").iterdir() if path.name != "__pycache__"]
    wanted = {path.name: path for path in (*inner, *(REPOSITORY / name for name in BESIDE))}
    for link in TREE.iterdir():
        if link.name not in wanted or not link.exists():
            link.unlink(missing_ok=True)
    for name, path in wanted.items():
        with suppress(FileExistsError):
            (TREE / name).symlink_to(path)


def run_mypy(*arguments: str) -> tuple[int, str]:
    """Run mypy with pyproject.toml's settings.

    Returns its exit status, and its output with the checkout's paths in place of the links'.
    """
    link_package()
    command = [sys.executable, "-m", "mypy", *arguments]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    output = re.sub(rf"build/types/ksmtrace/({'|'.join(BESIDE)})/", r"\1/", ran.stdout + ran.stderr)
    return ran.returncode, output.replace("build/types/", "")


if __name__ == "__main__":
    status, output = run_mypy(*sys.argv[1:])
    print(output, end="")
    sys.exit(status)
