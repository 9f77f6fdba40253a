"""Declarations of figures, held against what analyzers answer: keys, metric families, labels."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from ksmtrace.figures import Specs
from ksmtrace.pipeline.metric_names import Publishers
from support.command import ksmtrace
from tools.docs import declared, metrics

STEPS = (
    'op = "spawn"\nprocess = "a"',
    'op = "map"\nprocess = "a"\nregion = "r"\npages = 900',
    'op = "fill"\nprocess = "a"\nregion = "r"\ncontent = "byte:7"',
    'op = "mergeable"\nprocess = "a"\nregion = "r"',
    'op = "scan"\npasses = 3',
    'op = "poke"\nprocess = "a"\nregion = "r"\nfirst = 0\npages = 700\noffset = 8\nvalue = 9',
    'op = "scan"\npasses = 2',
    'op = "exit"\nprocess = "a"',
    'op = "scan"\npasses = 1',
)


@pytest.fixture(scope="module")
def answers(bundled_capture, tmp_path_factory) -> list[dict[str, Any]]:
    """The analyzers' parts of the documents of a kernel's capture and of a run of the engine."""
    directory = tmp_path_factory.mktemp("figures")
    workload, capture = directory / "workload.toml", directory / "run.ksmtrace"
    workload.write_text('name = "w"\n' + "\n".join(f"[[step]]\n{step}" for step in STEPS))
    assert ksmtrace("simulate", workload, "-o", capture).returncode == 0
    found = []
    for path in (bundled_capture, capture):
        ran = ksmtrace("replay", path, "--json")
        assert ran.returncode == 0, ran.stderr
        found.append(json.loads(ran.stdout)["analyzers"])
    return found


def given(specs: Specs, row: dict[str, Any], under: str = "") -> Iterator[tuple[str, bool]]:
    """Path of each key of a row, and whether it is declared; of objects and lists likewise."""
    by_name = {spec.name: spec for spec in specs}
    for key, value in row.items():
        if key not in by_name:
            yield f"{under}{key}", False
            continue
        spec = by_name[key]
        path = f"{under}{spec.key}"
        yield path, bool(spec.of) or is_plain(spec.key != spec.name, value)
        for entry in entries(spec.key != spec.name, value) if spec.of else ():
            yield from given(spec.of, entry, f"{path}.")


def is_plain(many: bool, value: Any) -> bool:
    """Whether there are no objects in a value, which would have keys to declare."""
    inner = value.values() if many and isinstance(value, dict) else [value]
    return not any("{" in json.dumps(one) for one in inner)


def entries(many: bool, value: Any) -> list[dict[str, Any]]:
    match value:
        case None:
            return []
        case list():
            return value
        case dict() if many:
            return list(value.values())
    return [value]


NEITHER_RUN_HAS = {
    "balance": ("other_processes.", "other_cgroups.", "other_vms."),
    "cow": ("fault_sample.",),
    "scan_cost": ("advisor_pages_to_scan.",),
    "snapshot": ("processes[].",),
}
"""Objects that are null, and lists that are empty, in both runs: less than eleven processes, no
windows, no advisor, nothing merged before the trace."""


@pytest.mark.parametrize("analyzer", declared.ANALYZERS)
def test_every_key_is_declared_and_every_declaration_has_its_key(answers, analyzer):
    specs, seen = declared.figures(analyzer), {}
    for answer in answers:
        seen |= dict(given(specs, answer[analyzer]))
        assert answer[analyzer].keys() == {spec.name for spec in specs}
    assert [path for path, known in seen.items() if not known] == []
    missing = [path for path, _ in declared.paths(specs) if path not in seen]
    assert missing == [
        path for path in missing if path.startswith(NEITHER_RUN_HAS.get(analyzer, ()))
    ]


@pytest.mark.parametrize("analyzer", declared.ANALYZERS)
def test_declarations_are_complete(analyzer):
    """Texts are sentences, units known, names conventional; what is computed says of which keys."""
    paths = dict(declared.paths(declared.figures(analyzer)))
    assert len(paths) == sum(1 for _ in declared.paths(declared.figures(analyzer)))
    for path, spec in paths.items():
        assert spec.help.endswith("."), path
        assert spec.unit in ("", "pages", "bytes", "seconds", "ratio", "text", "flag"), path
        assert len(spec.series) <= (len(spec.metric.labels) if spec.metric else 0), path
        assert spec.exactness in ("", "exact", "derived", "sampled"), path
    for family in declared.families(analyzer):
        assert (family.type == "counter") == family.name.endswith("_total"), family.name
        assert set(family.of) <= set(paths), family.name
    assert [f.name for f in declared.computed(analyzer) if not f.of] == []


def test_no_two_analyzers_declare_one_name():
    publishers = Publishers()
    for analyzer in declared.ANALYZERS:
        for family in declared.families(analyzer):
            assert publishers.add(analyzer, family.make()) is None, family.name


def test_a_run_publishes_what_is_declared_and_nothing_else():
    suffix = {"counter": "_total"}
    published = {
        (
            *(analyzer, f"{family.name}{suffix.get(family.type, '')}", family.type),
            *(
                family.documentation,
                frozenset(label for s in family.samples for label in s.labels if label != "le"),
            ),
        )
        for analyzer, family in metrics.families()
        if analyzer in declared.ANALYZERS
    }
    assert published == {
        (analyzer, family.name, family.type, family.help, frozenset(family.labels))
        for analyzer in declared.ANALYZERS
        for family in declared.families(analyzer)
    }


@pytest.fixture(scope="module")
def shown() -> tuple[dict[str, str], dict[str, set[str]], dict[str, set[str]]]:
    """By analyzer, of a run that has every figure: panels as text, names of sections' figures, and
    the keys that are not known yet, which panels leave out."""
    run = metrics.full_run()
    document = run.run().document
    assert document["plugins_failed"] == {}
    unknown = {
        name: {key for key, value in figures.items() if value is None}
        for name, figures in document["analyzers"].items()
    }
    console = Console(width=200)
    panels, sections = {}, {}
    for name, drawn in run.calls.each("ksmtrace_panels", session=run.session):
        with console.capture() as captured:
            console.print(*drawn)
        panels[name] = captured.get()
    for name, some in run.calls.each("ksmtrace_sections", session=run.session):
        sections[name] = {figure.name for section in some for figure in section.figures}
    return panels, sections, unknown


@pytest.mark.parametrize("analyzer", declared.ANALYZERS)
def test_what_is_declared_to_be_shown_is_shown(shown, analyzer):
    panels, sections, unknown = shown
    specs = [spec for _, spec in declared.paths(declared.figures(analyzer))]
    in_panel = {spec.panel.strip() for spec in specs if spec.name not in unknown[analyzer]} - {""}
    assert {name for name in in_panel if name not in panels.get(analyzer, "")} == set()
    assert {spec.section for spec in specs} - {""} - sections.get(analyzer, set()) == set()
