"""A variant of another package, once installed, is everywhere where a variant can be named."""

import json
import os
import shutil

import pytest

from ksmtrace.engine.variants import VARIANTS
from support.command import assert_one_line, ksmtrace
from support.packages import built, install
from support.workload_steps import workload_toml

STEPS = (
    "spawn a", "map a r 12", "fill a r pages=10 content=byte:97", "scan 1",
    "poke a r pages=1 offset=0 value=1", "scan 1",
)  # fmt: skip
EDGES = {"full_scans": 2, "pages_scanned": 20}


@pytest.fixture(scope="module")
def site(repository, tmp_path_factory):
    """Where tests/variant_package is installed."""
    return built(repository / "tests/variant_package", tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def environment(site):
    return {**os.environ, "PYTHONPATH": str(site)}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "w.toml"
    path.write_text(workload_toml(*STEPS))
    return path


def named_in(file, tmp_path, variant="at-once", **tunables):
    """The workload with the variant, and its tunables, in the file."""
    path = tmp_path / "named.toml"
    rows = "".join(f"{name} = {value}\n" for name, value in tunables.items())
    table = f'variant = "{variant}"\n[tunables]\n{rows}'
    path.write_text(file.read_text().replace("[tunables]\n", table))
    return path


def test_simulate_takes_it_by_its_option_and_by_the_file(file, environment, tmp_path):
    for arguments in ((file, "--variant", "at-once"), (named_in(file, tmp_path),)):
        ran = ksmtrace("simulate", *arguments, "--json", env=environment)
        assert (ran.returncode, ran.stderr) == (0, "")
        document = json.loads(ran.stdout)
        assert (document["variant"], document["mode"]) == ("at-once", "reference")
        counters = [one["counters"] for one in document["snapshots"]]
        assert [one["pages_sharing"] for one in counters] == [9, 8]
        assert counters[-1].items() >= EDGES.items()


def test_its_own_tunables_are_those_of_workloads_and_of_sweeps(file, environment, tmp_path):
    few, many = named_in(file, tmp_path, least=2), "least=2,11"
    ran = ksmtrace("whatif", few, "--sweep", many, "--json", env=environment)
    assert (ran.returncode, ran.stderr) == (0, "")
    found = json.loads(ran.stdout)["scenarios"]
    assert [one["saved_bytes"] for one in found] == [8 * 4096, 0]
    assert [one["comparisons"] for one in found] == [9, 0]
    ran = ksmtrace("simulate", named_in(file, tmp_path, least=1), env=environment)
    assert_one_line(ran, 2, "named.toml: tunables: least = 1: refused with EINVAL")
    ran = ksmtrace("simulate", named_in(file, tmp_path, least='"2"'), env=environment)
    assert_one_line(ran, 2, "least = '2' is not an integer")


def test_it_is_listed_and_not_imported(environment, tmp_path):
    """Neither is one that cannot be imported."""
    site = tmp_path / "site"
    install(site, "broken-one", {"broken": "no_such_module:VARIANT"}, {})
    path = f"{environment['PYTHONPATH']}{os.pathsep}{site}"
    ran = ksmtrace("plugins", "--json", env={**environment, "PYTHONPATH": path})
    assert (ran.returncode, ran.stderr) == (0, "")
    listed = {one["name"]: one for one in json.loads(ran.stdout)["variants"]}
    assert listed["at-once"]["origin"].startswith("ksmtrace-at-once ")
    assert listed["broken"]["does"] == "no_such_module:VARIANT"
    assert (listed["ksm-4.4"]["origin"], listed["cmd"]["origin"]) == ("built-in", "built-in")
    assert set(listed) == {*VARIANTS, "at-once", "broken"}
    text = ksmtrace("plugins", env=environment).stdout
    assert [line for line in text.splitlines() if line.startswith("at-once ")]


def test_a_tunable_of_it_is_unknown_without_it(file, tmp_path):
    ran = ksmtrace("simulate", named_in(file, tmp_path, "ksm-6.1", least=2))
    assert_one_line(ran, 2, "unknown tunable 'least'")


def test_whatif_runs_it_among_all_and_by_name(file, environment):
    ran = ksmtrace("whatif", file, "--json", env=environment)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "at-once" in [one["variant"] for one in json.loads(ran.stdout)["scenarios"]]
    ran = ksmtrace("whatif", file, "--variant", "at-once", env=environment)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "at-once" in ran.stdout


def test_messages_list_it(file, environment):
    for verb in ("simulate", "whatif"):
        ran = ksmtrace(verb, file, "--variant", "nobody", env=environment)
        assert_one_line(ran, 2, "--variant: unknown variant 'nobody' (known: ksm-4.4, ", "at-once")
        ran = ksmtrace(verb, file, "--variant", "nobody")
        assert_one_line(ran, 2, "unknown variant 'nobody' (known: ksm-4.4, ")
        assert "at-once" not in ran.stderr


def test_its_records_say_what_they_do_not_show(file, environment, tmp_path):
    capture = tmp_path / "c.ksmtrace"
    ran = ksmtrace("simulate", file, "--variant", "at-once", "-o", capture, env=environment)
    assert (ran.returncode, ran.stderr) == (0, "")
    ran = ksmtrace("replay", capture, "--json")  # where the package is not installed
    assert (ran.returncode, ran.stderr) == (0, "")
    session = json.loads(ran.stdout)
    assert session["kernel"]["release"] == "at-once"
    examined = session["probes"]["cmp_and_merge_page"]
    assert (examined["exactness"], examined["note"]) == (
        "absent", "pages are looked up, not examined one by one",
    )  # fmt: skip
    for arguments in (("replay", capture, "--engine"), ("whatif", capture)):
        ran = ksmtrace(*arguments)
        assert_one_line(ran, 2, "at-once")


def test_what_it_raises_ends_its_run_alone(file, environment):
    raising = {**environment, "AT_ONCE_RAISES": "1"}
    why = "variant 'at-once' failed: LookupError: told to raise"
    ran = ksmtrace("simulate", file, "--variant", "at-once", env=raising)
    assert_one_line(ran, 2, why)
    ran = ksmtrace("whatif", file, "--variant", "ksm-6.1", "at-once", "--json", env=raising)
    assert (ran.returncode, ran.stderr) == (0, "")
    first, second, third = json.loads(ran.stdout)["scenarios"]
    assert first["ended_early"] is second["ended_early"] is None
    assert why in third["ended_early"]


def test_a_broken_one_costs_whatif_one_line_and_nothing_else(file, environment, tmp_path):
    install(tmp_path, "worn-out", {"bad": "nowhere:VARIANT"}, {})
    broken = {**environment, "PYTHONPATH": f"{environment['PYTHONPATH']}:{tmp_path}"}
    line = (
        "variant 'bad' of worn-out 1.0 (entry point nowhere:VARIANT) cannot be used: "
        "ModuleNotFoundError: No module named 'nowhere'; mend or uninstall worn-out"
    )
    ran = ksmtrace("whatif", file, "--json", env=broken)
    assert (ran.returncode, ran.stderr) == (0, f"ksmtrace: {line}\n")
    assert "at-once" in [one["variant"] for one in json.loads(ran.stdout)["scenarios"]]
    ran = ksmtrace("whatif", file, "--variant", "ksm-6.1", env=broken)
    assert (ran.returncode, ran.stderr) == (0, "")
    for verb in ("simulate", "whatif"):
        assert_one_line(ksmtrace(verb, file, "--variant", "bad", env=broken), 2, line)
    ran = ksmtrace("simulate", named_in(file, tmp_path, "bad"), env=broken)
    assert_one_line(ran, 2, "named.toml: ", line)


def test_no_package_is_looked_into_for_a_built_in_variant(file, tmp_path):
    """Nor for its tunables, nor for those that no variant of the run has."""
    install(tmp_path, "worn-out", {"bad": "bad:VARIANT"}, {"bad": "print('imported')"})
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for arguments in (
        ("simulate", file, "--variant", "pksm"),
        ("simulate", named_in(file, tmp_path, "uksm", seed=3)),
        ("whatif", file, "--variant", "uksm", "ksm-6.1", "--set", "seed=3"),
        ("whatif", file, "--sweep", "max_page_sharing=2,256"),
    ):
        ran = ksmtrace(*arguments, env=environment)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert "imported" not in ran.stdout
    assert "imported" in ksmtrace("whatif", file, env=environment).stdout


def test_without_its_entry_point_it_is_unknown(file, site, tmp_path):
    """The recipe's second step, forgotten."""
    shutil.copy(site / "ksmtrace_at_once.py", tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ran = ksmtrace("simulate", file, "--variant", "at-once", env=environment)
    assert_one_line(ran, 2, "unknown variant 'at-once'")


def test_without_its_module_it_cannot_be_used(file, tmp_path):
    """The first."""
    install(tmp_path, "at-once", {"at-once": "ksmtrace_at_once:VARIANT"}, {})
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ran = ksmtrace("simulate", file, "--variant", "at-once", env=environment)
    assert_one_line(ran, 2, "entry point ksmtrace_at_once:VARIANT", "ModuleNotFoundError")
