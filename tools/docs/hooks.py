"""docs/HOOKS.md: every hook of plugins, from ksmtrace/hookspecs.py: `make docs`."""

import inspect

from ksmtrace import hookspecs
from tools.docs.marked import DOCS

DOCUMENT = DOCS / "HOOKS.md"

HEAD = """# Hooks

Made by `make docs` from `ksmtrace/hookspecs.py`. How a plugin is written and installed, step by
step: [CONTRIBUTING.md](../CONTRIBUTING.md#an-analyzer-4-steps). What is around the hooks:
[ARCHITECTURE.md](../ARCHITECTURE.md#hooks).
"""


def document() -> str:
    """The whole of it, hooks in the order in which a run calls them."""
    parts = [HEAD, inspect.getdoc(hookspecs) or ""]
    for name, function in vars(hookspecs).items():
        if name.startswith("ksmtrace_"):
            arguments = ", ".join(inspect.signature(function).parameters)
            parts += ["", f"## {name}({arguments})", "", inspect.getdoc(function) or ""]
    return "\n".join([*parts, ""])


if __name__ == "__main__":
    DOCUMENT.write_text(document())
