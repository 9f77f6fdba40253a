"""Switches that forbid skips, and fixtures that borrow this machine's KSM."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings

from ksmtrace.errors import HostError
from ksmtrace.kernel.host import import_bcc
from ksmtrace.sources.live import program
from ksmtrace.workload.guard import KsmGuard
from ksmtrace.workload.processes import Processes
from support import documents
from support.precompiled import FOLDER, compile_on_host

# A shell that starts CI in the background ignores Ctrl-C, and what it starts inherits that: not
# what these tests are about.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Times say nothing on a machine that is shared.
# To explain a failure hypothesis traces every line of every example: many times the time of the
# examples themselves.
settings.register_profile(
    "ksmtrace", deadline=None, phases=[phase for phase in Phase if phase is not Phase.explain]
)
settings.load_profile("ksmtrace")


_COMPILE_TEXT = program.compile_text


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--require-live", action="store_true", help="tests of this kernel must run")
    parser.addoption("--require-vm", action="store_true", help="tests in guest kernels must run")
    parser.addoption(
        "--capture-to", metavar="FILE", help="keep the capture of the guest's long run"
    )
    parser.addoption(
        "--in-guest", action="store_true", help="we are in a guest: run only its tests"
    )
    parser.addoption(
        "--soak",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="how long tests/soak traces (default 60)",
    )
    parser.addoption(
        "--examples",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="try this share only of each property's examples and of a guest test's rounds, never "
        "fewer than five",
    )


def pytest_configure(config: pytest.Config) -> None:
    # Each JSON document that any test makes or reads follows its JSON Schema; in a guest, whose
    # processor is emulated, those that are printed.
    documents.watch(made=not config.getoption("--in-guest"))
    if config.getoption("--in-guest") and FOLDER in os.environ:
        program.compile_text = compile_on_host


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """In a guest, print each failure and its time at once: a stopped one has no summary."""
    report = yield
    if item.config.getoption("--in-guest"):
        print(f"\n{report.nodeid} {report.when} {report.outcome} after {report.duration:.0f} s")
        if report.failed:
            print(report.longreprtext)
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests for guests run in guests only, and nothing else does there; slow ones with every
    round only."""
    in_guest, share = config.getoption("--in-guest"), config.getoption("--examples")
    chosen = [item for item in items if (item.get_closest_marker("guest") is not None) == in_guest]
    if in_guest and share < 1:
        chosen = [item for item in chosen if item.get_closest_marker("slow") is None]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen
    if share < 1:
        functions = [item for item in items if isinstance(item, pytest.Function)]
        for test in {at for item in functions for at in (item.cls, item.obj) if at is not None}:
            _try_fewer_examples(test, share)


def _try_fewer_examples(test: Any, share: float) -> None:
    """A property, or the test case of a state machine, with a share of its examples."""
    for name in ("_hypothesis_internal_use_settings", "settings"):  # no public way to the first
        whole = getattr(test, name, None)
        if isinstance(whole, settings):
            most = whole.max_examples
            setattr(
                test, name, settings(whole, max_examples=min(most, max(5, round(most * share))))
            )


def cannot(request: pytest.FixtureRequest, switch: str, reason: str) -> None:
    """Skip, or fail where the switch says that this test must run."""
    if request.config.getoption(switch):
        pytest.fail(f"{reason} ({switch} is given)")
    pytest.skip(reason)


@pytest.fixture
def bcc_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs are compiled by bcc, in a guest too."""
    monkeypatch.setattr(program, "compile_text", _COMPILE_TEXT)


@contextmanager
def borrowed_ksm(request: pytest.FixtureRequest) -> Iterator[KsmGuard]:
    if os.geteuid() != 0:
        cannot(request, "--require-live", "needs root")
    try:
        import_bcc()
        guard = KsmGuard(clean=True)
    except HostError as error:
        cannot(request, "--require-live", str(error))
    with guard:
        yield guard


@pytest.fixture
def scaled(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """So many of a test's own rounds as --examples leaves, and never fewer than five."""
    share: float = request.config.getoption("--examples")
    return lambda count: min(count, max(5, round(count * share)))


@pytest.fixture
def ksm(request: pytest.FixtureRequest) -> Iterator[KsmGuard]:
    """This machine's KSM, clean, ours alone, and restored afterwards."""
    with borrowed_ksm(request) as guard:
        yield guard


@pytest.fixture
def clean_ksm(request: pytest.FixtureRequest) -> None:
    """This machine's KSM left clean, for a command that takes the guard itself."""
    with borrowed_ksm(request):
        pass


@pytest.fixture
def processes() -> Iterator[Processes]:
    """Processes of a workload, all gone afterwards."""
    with Processes() as running:
        yield running


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout."""
    return Path(__file__).parent.parent


@pytest.fixture(scope="session")
def bundled_capture(repository: Path) -> Path:
    """The capture that is shipped: the guest's long run on Debian's 6.1."""
    return repository / "tests/replay/data/debian-6.1.ksmtrace"
