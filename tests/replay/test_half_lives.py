"""A run with both half-lives known, of merges and until a write: promtool accepts its metrics."""

import json
import subprocess
from dataclasses import replace

import pytest

from ksmtrace.sources.engine import EngineSource
from ksmtrace.workload.file import parse_workload
from support.command import ksmtrace
from support.exposition import samples
from support.prometheus import need_prometheus
from support.recordings import write

STEPS = (
    'op = "spawn"\nprocess = "a"',
    'op = "map"\nprocess = "a"\nregion = "r"\npages = 100',
    'op = "fill"\nprocess = "a"\nregion = "r"\ncontent = "byte:7"',
    'op = "mergeable"\nprocess = "a"\nregion = "r"',
    'op = "scan"\npasses = 3',
    'op = "poke"\nprocess = "a"\nregion = "r"\nfirst = 0\npages = 70\noffset = 8\nvalue = 9',
    'op = "scan"\npasses = 2',
    'op = "discard"\nprocess = "a"\nregion = "r"\nfirst = 70\npages = 20',
    'op = "scan"\npasses = 2',
)
"""Most of the merges are written to, most of the rest are unmapped: ksmd finds both out."""


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    """The document and the text file of a replay of that run."""
    directory = tmp_path_factory.mktemp("half-lives")
    text = "\n".join(
        ('name = "half-lives"', "[tunables]", "smart_scan = 0", *(f"[[step]]\n{s}" for s in STEPS))
    )
    source = EngineSource(parse_workload(text.encode(), "half-lives"))
    # the engine's events as if a kernel's: only of such is time known
    kernel = replace(source.session.kernel, machine="x86_64")
    source.session = replace(source.session, kernel=kernel)
    capture = write(directory / "run.ksmtrace", source, source.batches())
    ran = ksmtrace("replay", capture, "--json", "--textfile", directory)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout), (directory / "ksmtrace.prom").read_text()


def test_each_half_life_has_a_metric_of_its_own(replayed):
    document, text = replayed
    analyzers = document["analyzers"]
    written_to = analyzers["cow"]["half_life_seconds"]
    lasting = analyzers["merge_life"]["merge_half_life_seconds"]
    assert written_to is not None
    assert lasting is not None
    found = samples(text)
    assert found["ksmtrace_merge_written_half_life_seconds",] == pytest.approx(written_to)
    assert found["ksmtrace_merge_half_life_seconds",] == pytest.approx(lasting)


def test_promtool_accepts_them(request, replayed):
    need_prometheus(request, "promtool")
    ran = subprocess.run(
        ["promtool", "check", "metrics"],
        input=replayed[1], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")
