"""The command line's parser is known to ksmtrace/cli alone: the run gets typed options."""

import ast


def test_no_module_outside_the_command_line_knows_its_parser(repository):
    command_line = repository / "ksmtrace" / "cli"
    folders = (repository / name for name in ("ksmtrace", "plugins", "dashboards"))
    wrong = []
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        if command_line in path.parents:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in getattr(node, "names", []) if hasattr(alias, "name")]
            if "argparse" in (*names, getattr(node, "module", None)):
                wrong.append(str(path.relative_to(repository)))
    assert wrong == []
