"""`--events` prints what the capture holds, and of an engine's run what the kernel would do."""

import json
from collections import Counter

import pytest

from ksmtrace.events import EventKind
from ksmtrace.listing.words import FUNCTIONS
from support.command import assert_one_line, ksmtrace

PAIR = """
name = "pair"
variant = "ksm-6.12"

[[step]]
op = "spawn"
process = "a"

[[step]]
op = "map"
process = "a"
region = "r"
pages = 2

[[step]]
op = "fill"
process = "a"
region = "r"
content = "twin:1"

[[step]]
op = "mergeable"
process = "a"
region = "r"

[[step]]
op = "scan"
passes = 2
"""


def printed(*arguments):
    ran = ksmtrace(*arguments)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    return [line.split(maxsplit=2) for line in ran.stdout.splitlines() if line[0] != "#"]


def test_as_many_of_each_kind_as_the_document_counts(bundled_capture):
    document = json.loads(ksmtrace("replay", bundled_capture, "--json").stdout)
    counted = {
        FUNCTIONS[EventKind[name]]: number
        for name, number in document["events"]["by_kind"].items()
        if number
    }
    found = Counter(
        rest.split()[0] for _, _, rest in printed("replay", bundled_capture, "--events")
    )
    assert {name: counted[name] for name in found} == found
    assert set(counted) - set(found) <= {"sample", "process_text", "process_sample"}


REFUSED = """
[[step]]
op = "set"
tunables = { max_page_sharing = 2 }
"""


def test_a_run_that_is_refused_a_tunable_ends_with_that(tmp_path):
    (tmp_path / "pair.toml").write_text(PAIR + REFUSED)
    ran = ksmtrace("simulate", tmp_path / "pair.toml", "--events")
    assert ran.returncode == 1
    assert "refuses max_page_sharing" in ran.stderr
    *_, stop, refused = ran.stdout.splitlines()
    assert "ksm_stop_scan" in stop
    assert refused.endswith("sysfs_kf_write max_page_sharing=2 err=-EBUSY")


def test_what_a_run_does_not_show_is_said_at_the_top(tmp_path):
    (tmp_path / "pair.toml").write_text(PAIR)
    run = ("simulate", tmp_path / "pair.toml", "--variant", "ksm-6.1", "--events", "--kind")
    assert ksmtrace(*run, "skipped,break_cow").stdout.splitlines()[1:] == [
        "# should_skip_rmap_item: not seen: this version has no smart scan"
    ]
    assert ksmtrace(*run, "break_cow").stdout.splitlines()[1:] == []


def test_options_choose(bundled_capture):
    """As grep would of the whole."""
    whole = printed("replay", bundled_capture, "--events")
    chosen = printed(
        *("replay", "--events", "--kind", "stable_append,do_wp_page", "--pass", "3-5,6-0X9"),
        *("--pid", "124", "--address", "0x100000000000-0x100000100000", bundled_capture),
    )
    wanted = []
    for seconds, number, rest in whole:
        function, *words = rest.split()
        of = dict(word.split("=") for word in words)
        if (
            function in ("stable_tree_append", "do_wp_page")
            and number in "3456789"
            and of.get("pid") == "124"
            and 0x100000000000 <= int(of["address"], 16) <= 0x100000100000
        ):
            wanted.append([seconds, number, rest])
    assert chosen == wanted != []


def test_the_calls_by_which_two_equal_pages_merge(tmp_path):
    """In the order of cmp_and_merge_page (mm/ksm.c): the second page finds the first in the
    unstable tree; both are merged, and appended to a node of the stable tree."""
    (tmp_path / "pair.toml").write_text(PAIR)
    lines = printed("simulate", tmp_path / "pair.toml", "--events", "--pass", "1")
    calls = [(rest.split()[0], "0x100000001000" in rest) for _, _, rest in lines]
    assert calls == [
        ("ksm_start_scan", False),
        ("process", False),
        ("cmp_and_merge_page", False),
        ("try_to_merge_one_page", True),
        ("try_to_merge_one_page", False),
        ("replace_page", False),
        ("remove_rmap_item_from_tree", False),
        ("stable_tree_append", False),
        ("stable_tree_append", True),
        ("cmp_and_merge_page", True),
        ("ksm_stop_scan", False),
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--kind", "skipped"), ("--kind", "give --events")),
        (("--events", "--kind", "madvise"), ("'madvise'", "cmp_and_merge_page")),
        (("--events", "--pass", "4-2"), ("--pass", "'4-2'")),
        (("--events", "--mm", "ff00"), ("--mm", "'ff00'", "0x")),
        (("--events", "--address", "0x1ffffffffffffffff"), ("--address", "64 bits")),
        (("--events", "--pid", "1-2"), ("--pid", "'1-2'")),
        (("--events", "--pid", "1_2"), ("--pid", "'1_2' is not a number")),
        (("--events", "--pid", "\u0661"), ("--pid", "is not a number")),
        (("--events", "--pid", "9" * 5000), ("--pid", "64 bits")),
        (("--events", "--pid", "1,"), ("--pid", "'' is not a number")),
        (("--events", "--pass", "1-"), ("--pass", "'1-'", "a dash in between")),
        (("--events", "--json"), ("leave out --json",)),
        (("--events", "-p", "cow"), ("leave out -p",)),
    ],
)
def test_what_makes_no_sense(bundled_capture, arguments, words):
    assert_one_line(ksmtrace("replay", bundled_capture, *arguments), 2, *words)
