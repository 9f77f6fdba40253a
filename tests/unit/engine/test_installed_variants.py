"""Variants of installed packages: found, loaded when asked for, and costing only themselves."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.engine.engine import Engine
from ksmtrace.engine.installed_variants import InstalledVariants
from ksmtrace.engine.variants import BUILT_IN, VARIANTS
from ksmtrace.errors import KsmtraceError
from support.packages import install

GOOD = """
from dataclasses import replace
from ksmtrace.engine.variants import KERNELS
VARIANT = replace(KERNELS["ksm-6.1"], name="{name}")
"""
OURS = [*VARIANTS]
"""Before any package of these tests is installed."""

FAULTS = {
    "does not exist": (None, "ModuleNotFoundError: No module named"),
    "raises": ("raise OSError('no\\nluck')", "OSError: no luck"),
    "exits": ("import sys\nsys.exit(7)", "SystemExit: 7"),
    "is no Python": ("def", "SyntaxError: "),
    "lacks the object": ("", "AttributeError: "),
    "raises on access": ("def __getattr__(name):\n    raise RuntimeError(name)", "RuntimeError: "),
    "holds something else": ("VARIANT = {}", "it is a dict and no ksmtrace.engine.ksm.variant"),
    "has another name": (GOOD.format(name="other"), "it calls itself 'other'"),
    "cannot be made": (
        GOOD.format(name="bad")
        + "VARIANT = replace(VARIANT, make=lambda variant, nodes, watcher: 1 / 0)",
        "ZeroDivisionError: division by zero",
    ),
    "makes no scanner": (
        GOOD.format(name="bad") + "VARIANT = replace(VARIANT, make=lambda *_: object())",
        "its object is no Scanner: it lacks comparisons, counters, exiting, ",
    ),
}


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def installed(site, package, name, text, module="mine"):
    install(site, package, {name: f"{module}:VARIANT"}, {} if text is None else {module: text})


def of_packages(variants):
    return [name for name in variants if name not in OURS]


def test_a_variant_of_a_package_is_one_of_all(site):
    installed(site, "a-package", "mine", GOOD.format(name="mine"))
    variants = InstalledVariants(BUILT_IN)
    assert [*variants][: len(BUILT_IN)] == [*BUILT_IN]
    assert of_packages(variants) == ["mine"]
    assert len(variants) == len(OURS) + 1
    assert variants.named("mine").name == variants["mine"].name == "mine"
    assert "mine" in variants
    assert variants.broken() == []


def test_nothing_is_imported_for_a_built_in_name(site):
    installed(site, "a-package", "mine", "raise RuntimeError")
    variants = InstalledVariants(BUILT_IN)
    for name in BUILT_IN:
        assert variants.named(name) is variants[name] is BUILT_IN[name]
    assert "mine" not in sys.modules


def test_only_what_is_asked_for_is_imported(site):
    installed(site, "a-package", "mine", GOOD.format(name="mine"))
    installed(site, "b-package", "other", "raise RuntimeError", module="theirs")
    assert InstalledVariants(BUILT_IN).named("mine")
    assert "theirs" not in sys.modules


@pytest.mark.parametrize(("text", "why"), FAULTS.values(), ids=FAULTS)
def test_a_variant_that_cannot_be_used_costs_itself_alone(site, text, why):
    installed(site, "a-package", "bad", text)
    installed(site, "b-package", "good", GOOD.format(name="good"), module="fine")
    variants = InstalledVariants(BUILT_IN)
    assert of_packages(variants) == ["good"]
    (line,) = variants.broken()
    assert line.startswith(
        "variant 'bad' of a-package 1.0 (entry point mine:VARIANT) cannot be used: "
    )
    assert why in line
    assert line.endswith("; mend or uninstall a-package")
    assert "\n" not in line
    for ask in (variants.named, variants.__getitem__):
        with pytest.raises(KsmtraceError) as raised:
            ask("bad")
        assert str(raised.value) == line


def test_what_fails_is_imported_once(site):
    text = "import counted\ncounted.times += 1\nraise RuntimeError"
    install(site, "a-package", {"bad": "mine:VARIANT"}, {"mine": text, "counted": "times = 0"})
    variants = InstalledVariants(BUILT_IN)
    for _ in range(2):
        assert len(variants.broken()) == 1
        assert of_packages(variants) == []
    assert sys.modules["counted"].times == 1


def test_a_name_that_is_taken_stays_whose_it_is(site):
    """Of ksmtrace first, then by the package's name; whatever the order on the path."""
    for package in ("b-package", "a-package"):
        module = package[0] + "_module"
        points = dict.fromkeys(("pksm", "cmd", "mine"), f"{module}:VARIANT")
        install(site, package, points, {module: GOOD.format(name="mine")})
    variants = InstalledVariants(BUILT_IN)
    assert variants.named("pksm") is BUILT_IN["pksm"]
    assert variants.named("cmd").make is VARIANTS.named("cmd").make
    assert variants.named("mine").name == "mine"
    assert "a_module" in sys.modules
    assert "b_module" not in sys.modules
    *ours, mine = sorted(variants.broken(), key=lambda line: "'mine'" in line)
    assert len(ours) == 4
    assert all("the name is taken by ksmtrace" in line for line in ours)
    assert "variant 'mine' of b-package 1.0 " in mine
    assert "the name is taken by a-package 1.0; mend or uninstall b-package" in mine


def test_an_unknown_name_has_all_others_listed(site):
    installed(site, "a-package", "mine", GOOD.format(name="mine"))
    installed(site, "b-package", "bad", "", module="theirs")
    variants = InstalledVariants(BUILT_IN)
    with pytest.raises(KsmtraceError) as raised:
        variants.named("nobody")
    listed = str(raised.value).partition("known: ")[2].rstrip(")").split(", ")
    assert listed == [*BUILT_IN, *(name for name in variants if name not in BUILT_IN)]
    assert "mine" in listed
    assert "bad" not in listed
    with pytest.raises(KeyError):
        variants["nobody"]


@given(st.text(max_size=12))
def test_any_name_is_found_or_refused_in_one_line(name):
    try:
        found = VARIANTS.named(name)
    except KsmtraceError as error:
        found, line = None, str(error)
    assert (found is None) == (name not in VARIANTS)
    assert found.name == name if found else line.isprintable()


@pytest.mark.parametrize("name", ["7.2-mine", "two words", "ünlich", "-x"])
def test_a_name_that_would_not_do(site, name):
    """One that begins with a number would be taken for a kernel's release."""
    installed(site, "a-package", name, GOOD.format(name=name))
    (line,) = InstalledVariants(BUILT_IN).broken()
    assert "a name begins with a letter" in line


def test_what_a_package_raises_is_one_line_and_what_is_built_in_is_not_hidden():
    other = Engine("ksm-6.1").variant
    with pytest.raises(ZeroDivisionError), VARIANTS.blamed(other):
        _ = 1 / 0
    with (
        pytest.raises(KsmtraceError, match=r"^variant 'cmd' failed: ZeroDivisionError: "),
        VARIANTS.blamed(VARIANTS.named("cmd")),
    ):
        _ = 1 / 0
    with pytest.raises(KsmtraceError, match=r"^as it is$"), VARIANTS.blamed(other):
        raise KsmtraceError("as it is")
