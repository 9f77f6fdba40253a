"""Packages as installed ones look to Python: modules, and metadata with entry points."""

import shutil
import subprocess
import sys


def built(source, folder):
    """Install with pip the package whose folder is `source`; the directory to have on the path.

    Args:
        source: it has a pyproject.toml; it is copied, as a build leaves files in it.
        folder: an empty one.
    """
    package = shutil.copytree(source, folder / "package")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target"]
    subprocess.run([*command, str(folder / "site"), str(package)], check=True)
    return folder / "site"


def install(folder, package, points, modules, version="1.0"):
    """Put into `folder`, which is or will be on the path, what an installed package consists of.

    Args:
        folder: as site-packages is.
        package: its name.
        points: of the group ksmtrace.variants, by name.
        modules: text by name.
        version: the package's.
    """
    info = folder / f"{package.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    lines = [f"{name} = {value}" for name, value in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[ksmtrace.variants]", *lines, ""]))
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
