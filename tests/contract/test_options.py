"""The command line's parser is known to ksmtrace/cli alone: the run gets typed options."""

from tools.structure import imported, modules


def test_no_module_outside_the_command_line_knows_its_parser():
    wrong = [
        module.name
        for module in modules().values()
        if not module.name.startswith("ksmtrace.cli")
        if any(name.split(".")[0] == "argparse" for name in imported(module.path))
    ]
    assert wrong == []
