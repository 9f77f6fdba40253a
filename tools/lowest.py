"""Prints the lowest versions that pyproject.toml allows: `python -m tools.lowest`.

One line for each dependency of the package and of its extra `report`, as pip takes it:
"NAME==VERSION".
"""

import re
import tomllib
from collections.abc import Iterator

from tools.structure import REPOSITORY

_BOUND = re.compile(r"([A-Za-z0-9._-]+)>=([0-9][0-9.]*)")


def lowest(document: dict[str, object]) -> Iterator[str]:
    """The lines.

    Raises:
        ValueError: a requirement is not a name and a lower bound.
    """
    project = document["project"]
    assert isinstance(project, dict), "pyproject.toml has a table of this name"
    extras = project["optional-dependencies"].values()
    for requirement in (*project["dependencies"], *(one for extra in extras for one in extra)):
        found = _BOUND.fullmatch(requirement)
        if found is None:
            raise ValueError(f"{requirement!r} is not NAME>=VERSION")
        yield f"{found[1]}=={found[2]}"


def main() -> None:
    """Print them."""
    text = (REPOSITORY / "pyproject.toml").read_text()
    print("\n".join(lowest(tomllib.loads(text))))


if __name__ == "__main__":
    main()
