"""The capabilities that are documented are those that were measured, and the unit has them."""

import json
import re

import kubernetes_validate
import pytest
import yaml

from ksmtrace.cli import build_parser
from ksmtrace.cli.ignored import check_ignored
from ksmtrace.kernel.needs import PURPOSES, WAYS
from tools.needs import read_results, to_run, to_see_all

RESULTS = read_results()
UNIT = "docs/systemd/ksmtrace.service"


def full(names):
    return {f"CAP_{name}" for name in names}


def measured(way):
    """Of every kernel that has it."""
    found = [rows[way] for rows in RESULTS.values() if way in rows]
    return [row for row in found if not row["refused"]]


@pytest.mark.parametrize("name", WAYS)
def test_what_is_said_of_a_way_is_what_was_measured(name):
    """Each capability on one kernel at least, and on none another."""
    way, rows = WAYS[name], measured(name)
    assert rows
    assert set(way.to_run) == set().union(*(full(to_run(row)) for row in rows))
    seen_with = set().union(*(full(to_see_all(row)) for row in rows))
    assert set(way.to_see_all) == seen_with - set(way.to_run)
    kept = [full(row["kept"]) for row in rows if "kept" in row]
    assert not kept or set(way.later) == set().union(*kept)


@pytest.mark.parametrize("name", WAYS)
def test_root_needs_no_more_than_others(name):
    for row in measured(name):
        assert set(row["root"]) <= set(row["others"])


@pytest.mark.parametrize("name", WAYS)
def test_nothing_is_lost_when_capabilities_are_dropped(name):
    """What was seen with those that are kept is what was seen with all; none is kept in vain.

    Root needs each of them later, or another user, who lost something without it.
    """
    for row in measured(name):
        assert row.get("dropping", []) == []
        kept, later = set(row.get("kept", ())), set(row.get("needed_later", ()))
        assert later <= kept
        assert kept - later <= (row.get("lost_by_others") or {}).keys()


def test_the_unit_has_what_its_command_needs(repository):
    """`live` takes the best way that a kernel has."""
    text = (repository / UNIT).read_text()
    (command,) = re.findall(r"^ExecStart=\S+ (.*)$", text, re.MULTILINE)
    assert command.split()[0] == "live"
    assert not {"--probes", "--totals", "--cow"} & set(command.split())
    (bounding,) = re.findall(r"^CapabilityBoundingSet=(.*)$", text, re.MULTILINE)
    assert "--drop-capabilities" in command
    assert set(bounding.split()) == of_live()


def of_live():
    """What the best way may need, whichever it is."""
    ways = [WAYS["tracepoint"], WAYS["gather"]]
    return {name for way in ways for name in way.needed + way.later}


def test_the_container_has_as_much(repository):
    text = (repository / "packaging/container/Containerfile").read_text()
    (added,) = re.findall(r"--cap-add (\S+)", text)
    assert {f"CAP_{name.upper()}" for name in added.split(",")} == of_live()
    assert "--cap-drop all" in text


def test_the_pod_has_as_much_and_kubernetes_takes_it(repository):
    pod = yaml.safe_load((repository / "packaging/kubernetes/ksmtrace.yaml").read_text())
    kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)
    (container,) = pod["spec"]["template"]["spec"]["containers"]
    capabilities = container["securityContext"]["capabilities"]
    assert full(capabilities["add"]) == of_live()
    assert capabilities["drop"] == ["ALL"]


@pytest.mark.parametrize("where", ["container", "kubernetes"])
def test_what_a_container_runs_is_a_command_line(where, repository):
    if where == "container":
        text = (repository / "packaging/container/Containerfile").read_text()
        arguments = json.loads(re.findall(r"^CMD (.*)$", text, re.MULTILINE)[0])
    else:
        pod = yaml.safe_load((repository / "packaging/kubernetes/ksmtrace.yaml").read_text())
        arguments = pod["spec"]["template"]["spec"]["containers"][0]["args"]
    parser = build_parser()
    options = parser.parse_args(arguments)
    check_ignored(parser.of(options.verb), options)
    assert options.drop_capabilities


def test_every_capability_has_a_purpose():
    assert PURPOSES.keys() == {name for way in WAYS.values() for name in way.needed + way.later}
