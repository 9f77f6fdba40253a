"""Options of several values, which argparse would give the file behind them."""

import pytest

from ksmtrace.cli import build_parser
from ksmtrace.cli.options import add_capture_options
from ksmtrace.cli.parser import Parser
from ksmtrace.errors import KsmtraceError

A, B = ("a", 1), ("b", 2)

LINES = [
    ("simulate W --set a=1 b=2", "workload", {"settings": [A, B]}),
    ("simulate --set a=1 W", "workload", {"settings": [A]}),
    ("simulate --set a=1 b=2 W", "workload", {"settings": [A, B]}),
    ("simulate --set a=1 b=2 W --variant v", "workload", {"settings": [A, B], "variant": "v"}),
    ("simulate --set a=1 --set b=2 W", "workload", {"settings": [A, B]}),
    ("simulate --set a=1 -- W", "workload", {"settings": [A]}),
    ("whatif --variant u v W", "file", {"variant": ["u", "v"]}),
    ("whatif --variant u W --set a=1", "file", {"variant": ["u"], "set": ["a=1"]}),
    ("whatif --variant u --set a=1 W", "file", {"variant": ["u"], "set": ["a=1"]}),
    ("whatif W --variant u v", "file", {"variant": ["u", "v"]}),
]


@pytest.mark.parametrize(("line", "file", "rest"), LINES)
def test_the_file_may_stand_behind_an_option_of_several_values(line, file, rest):
    options = vars(build_parser().parse_args(line.split()))
    assert options[file] == "W"
    assert {name: options[name] for name in rest} == rest


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("simulate --set a=1", "required: WORKLOAD"),
        ("simulate --set W", "'W' is not TUNABLE=VALUE"),
        ("simulate --set a=1 b c", "'b' is not TUNABLE=VALUE"),
        ("whatif --variant W", "required: FILE"),
        ("whatif W --variant u --nonsense", "--nonsense"),
        ("live --pid 1 x", "'x'"),
    ],
)
def test_what_cannot_be_read_either_way_is_told_of_the_first(line, why):
    with pytest.raises(KsmtraceError) as ended:
        build_parser().parse_args(line.split())
    assert ended.value.status == 2
    assert why in str(ended.value)


@pytest.mark.parametrize(
    ("text", "mib"), [("1", 1), ("64", 64), ("0" * 30 + "64", 64), ("9" * 9, 10**9 - 1)]
)
def test_a_size_is_read_to_its_last_digit(text, mib):
    parser = Parser()
    add_capture_options(parser)
    assert parser.parse_args(["--max-batch", text]).max_batch == mib << 20


@pytest.mark.parametrize("text", ["0", "0" * 40, "1" + "0" * 30, "000000000001x", "-1", "٣", ""])
def test_what_is_no_size_is_refused(text):
    parser = Parser()
    add_capture_options(parser)
    with pytest.raises(KsmtraceError, match="is no number of MiB"):
        parser.parse_args(["--max-batch=" + text])
