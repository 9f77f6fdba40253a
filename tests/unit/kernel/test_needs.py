"""What a process lacks of the capabilities that a way of tracing needs."""

import pytest

from ksmtrace.kernel.capabilities import NUMBERS
from ksmtrace.kernel.needs import WAYS, lacking


@pytest.fixture
def having(tmp_path):
    """A host on which this process has these capabilities; None for one that does not tell."""

    def made(names):
        (tmp_path / "proc/self").mkdir(parents=True, exist_ok=True)
        if names is not None:
            effective = sum(1 << NUMBERS[name] for name in names)
            (tmp_path / "proc/self/status").write_text(f"CapEff:\t{effective:016x}\n")
        return tmp_path

    return made


@pytest.mark.parametrize("way", WAYS)
def test_all_or_nothing(having, way):
    assert lacking(way, having(NUMBERS)) == []
    assert lacking(way, having(WAYS[way].needed)) == []
    assert lacking(way, having(())) == list(WAYS[way].needed)


@pytest.mark.parametrize("way", WAYS)
def test_a_host_that_does_not_tell_lacks_nothing(having, way):
    assert lacking(way, having(None)) == []


@pytest.mark.parametrize("way", WAYS)
def test_each_is_missed(having, way):
    for name in WAYS[way].needed:
        others = [other for other in WAYS[way].needed if other not in (name, "CAP_SYS_ADMIN")]
        assert name in lacking(way, having(others))


def test_who_may_administer_the_system_may_load_programs(having):
    assert WAYS["tracepoint"].to_run == ("CAP_BPF", "CAP_PERFMON")
    found = lacking("tracepoint", having(["CAP_SYS_ADMIN"]))
    assert found == [name for name in WAYS["tracepoint"].to_see_all if name != "CAP_SYS_ADMIN"]
