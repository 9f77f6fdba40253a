"""Switches that forbid skips, and fixtures that borrow this machine's KSM."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ksmtrace.errors import HostError
from ksmtrace.workload.guard import KsmGuard
from ksmtrace.workload.processes import Processes


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--require-live", action="store_true", help="tests of this kernel must run")
    parser.addoption("--require-vm", action="store_true", help="tests in guest kernels must run")
    parser.addoption("--capture-to", metavar="FILE", help="keep the capture of the guest's long run")
    parser.addoption("--in-guest", action="store_true", help="we are in a guest: run only its tests")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests for guests run in guests only, and nothing else does there."""
    in_guest = config.getoption("--in-guest")
    chosen = [item for item in items if (item.get_closest_marker("guest") is not None) == in_guest]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


def cannot(request: pytest.FixtureRequest, switch: str, reason: str) -> None:
    """Skip, or fail where the switch says that this test must run."""
    if request.config.getoption(switch):
        pytest.fail(f"{reason} ({switch} is given)")
    pytest.skip(reason)


@pytest.fixture
def ksm(request: pytest.FixtureRequest) -> Iterator[KsmGuard]:
    """This machine's KSM, clean, ours alone, and restored afterwards."""
    if os.geteuid() != 0:
        cannot(request, "--require-live", "needs root")
    try:
        import bcc  # noqa: F401

        with KsmGuard(clean=True) as guard:
            yield guard
    except (HostError, ImportError) as error:
        cannot(request, "--require-live", str(error))


@pytest.fixture
def processes() -> Iterator[Processes]:
    """Processes of a workload, all gone afterwards."""
    with Processes() as running:
        yield running


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout."""
    return Path(__file__).parent.parent
